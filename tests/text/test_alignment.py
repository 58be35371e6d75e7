"""Each written word knows when it was spoken, whatever it became on its way to the voice."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemotron_speech.engines.base import Word
from nemotron_speech.text import Spoken, say
from nemotron_speech.text.rewrite import Edit, Rewrite
from tests.text.test_say import LANGUAGES, TEXTS


def evenly(spoken: Spoken, ms: int = 100) -> list[Word]:
    """What an engine reports that takes as long for every word."""
    words = [word for word in spoken.text.split() if any(map(str.isalnum, word))]
    return [Word(word, index * ms, (index + 1) * ms) for index, word in enumerate(words)]


def times(text: str, language: str = "en", engine: list[Word] | None = None) -> list[tuple[str, int, int]]:
    spoken = say(text, language)
    words = evenly(spoken)
    return spoken.times(words if engine is None else engine, 100.0 * len(words))


@given(TEXTS, LANGUAGES, st.data())
@settings(max_examples=300)
def test_every_written_word_has_its_place_in_order_and_within_the_audio(
    text: str, language: str, data: st.DataObject
) -> None:
    spoken = say(text, language)
    known = evenly(spoken)
    some = [word for word in known if data.draw(st.booleans())]
    audio_ms = 100.0 * len(known)
    placed = spoken.times(some, audio_ms)
    assert [word for word, _, _ in placed] == [w for w in text.split() if any(map(str.isalnum, w))]
    edges = [edge for _, start, end in placed for edge in (start, end)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= audio_ms for edge in edges)


@given(st.lists(st.from_regex(r"[a-z]{1,8}[.,]?", fullmatch=True), min_size=1, max_size=20))
def test_words_that_did_not_change_keep_exactly_the_times_of_the_engine(words: list[str]) -> None:
    spoken = say(" ".join(words), "es")
    if spoken.text != " ".join(words):
        return
    assert spoken.times(evenly(spoken), 100.0 * len(words)) == [
        (word, index * 100, (index + 1) * 100) for index, word in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It costs $5 now", [("It", 0, 100), ("costs", 100, 200), ("$5", 200, 400), ("now", 400, 500)]),
        ("$3.50!", [("$3.50!", 0, 300)]),
        ("**Bold** [a page](b/c)", [("**Bold**", 0, 100), ("[a", 100, 200), ("page](b/c)", 200, 300)]),
        ("Hello — 🙂 friend", [("Hello", 0, 100), ("friend", 100, 200)]),
        ("Ask jane@x.org today", [("Ask", 0, 100), ("jane@x.org", 100, 600), ("today", 600, 700)]),
    ],
)  # fmt: skip
def test_a_word_lasts_as_long_as_the_words_it_became(text: str, expected: list[tuple[str, int, int]]) -> None:
    assert times(text) == expected


def test_words_that_became_one_expression_share_its_time() -> None:
    placed = times("at 20 °C outside")
    assert placed[0] == ("at", 0, 100)
    assert placed[-1] == ("outside", 400, 500)
    assert [word for word, _, _ in placed] == ["at", "20", "°C", "outside"]
    assert placed[1][1] == 100
    assert placed[2][2] == 400
    assert placed[1][2] == placed[2][1]


def test_a_word_that_was_not_spoken_takes_no_time() -> None:
    placed = times("```\ncode\n```\nand more")
    assert placed == [("code", 0, 0), ("and", 0, 100), ("more", 100, 200)]


def test_words_the_engine_left_out_share_the_gap() -> None:
    engine = [Word("one", 0, 100), Word("four", 700, 800)]
    placed = times("one two three four", engine=engine)
    assert placed[0] == ("one", 0, 100)
    assert placed[3] == ("four", 700, 800)
    assert (placed[1][1], placed[2][2]) == (100, 700)
    assert placed[1][2] == placed[2][1]


def test_without_times_of_the_engine_words_share_the_audio_by_their_length() -> None:
    spoken = say("I understand, yes", "en")
    placed = spoken.times([], 1000.0)
    assert placed[0][1] == 0
    assert placed[-1][2] == 1000
    lengths = [end - start for _, start, end in placed]
    assert lengths[1] > lengths[2] > lengths[0]


def test_an_engine_that_repeats_or_splits_words_does_not_lose_the_others() -> None:
    engine = [
        Word("five", 0, 50),
        Word("dol", 50, 80),
        Word("lars", 80, 100),
        Word("now", 100, 200),
        Word("now", 200, 300),
    ]
    assert times("$5 now", engine=engine)[-1] == ("now", 100, 200)


edits = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4), st.text("xyz ", max_size=4)), max_size=6)


@given(st.text("abc ", min_size=1, max_size=30), st.lists(edits, max_size=4))
def test_what_was_not_edited_comes_from_where_it_stood(
    source: str, passes: list[list[tuple[int, int, str]]]
) -> None:
    rewrite = Rewrite(source)
    for one in passes:
        rewrite.apply(_in_order(one, len(rewrite.text)))
    origins = [rewrite.origin(index, index + 1) for index in range(len(rewrite.text))]
    assert all(a <= b for (a, _), (b, _) in pairwise(origins))
    for character, (start, end) in zip(rewrite.text, origins, strict=True):
        assert 0 <= start <= end
        if character in "abc":
            assert source[start:end] == character or end - start != 1


def _in_order(wanted: list[tuple[int, int, str]], length: int) -> list[Edit]:
    found: list[Edit] = []
    at = 0
    for start, size, text in sorted(wanted):
        start, end = max(at, min(start, length)), min(max(at, min(start, length)) + size, length)
        found.append(Edit(start, end, text))
        at = end
    return found
