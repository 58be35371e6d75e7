"""Words told apart among a model's tokens, and when they began."""

from __future__ import annotations

import numpy as np
import pytest

from nemotron_speech.engines.base import Word
from nemotron_speech.engines.shared.word_times import onsets, word_times, words_of_tokens

ALONE = {
    "in": "ɪn",
    "the": "ðə",
    "best": "bˈɛst",
    "sea.": "sˈiː.",
    "of": "ʌv",
    "a": "ɐ",
    "TTS": "tˌiːtˌiːˈɛs",
}


def spans(text: str, tokens: str, space: str | None = " ") -> list[tuple[str, str]]:
    """Each word with its tokens."""
    words, word_of, first = words_of_tokens(text, tokens, space, lambda word: ALONE.get(word, word))
    assert len(word_of) == (len(tokens) if words else 0)
    assert list(word_of) == sorted(word_of)
    for number, token in enumerate(first):
        assert word_of[token] >= number
    return [
        (word, "".join(t for t, w in zip(tokens, word_of, strict=True) if w == number))
        for number, word in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("one two", "one two", [("one", "one "), ("two", "two")]),
        ("one two", "  one  two ", [("one", "  one  "), ("two", "two ")]),
        ("- one - two", "one two", [("one", "one "), ("two", "two")]),
        ("one - two", "one - two", [("one", "one "), ("-", "- "), ("two", "two")]),
        (
            "best in the sea.",
            "bˈɛst ɪnðə sˈiː.",
            [("best", "bˈɛst "), ("in", "ɪn"), ("the", "ðə "), ("sea.", "sˈiː.")],
        ),
        (
            "best of a sea.",
            "bˈɛst əvə sˈiː.",
            [("best", "bˈɛst "), ("of", "əv"), ("a", "ə "), ("sea.", "sˈiː.")],
        ),
        (
            "a TTS of best",
            "ɐ tˌiː tˌiː ˈɛs ʌv bˈɛst",
            [("a", "ɐ "), ("TTS", "tˌiː tˌiː ˈɛs "), ("of", "ʌv "), ("best", "bˈɛst")],
        ),
        ("", "abc", []),
        ("one two", "", []),
        ("one two", "   ", []),
        ("...", "abc", [("...", "abc")]),
        ("a b c d e f", "x", []),
    ],
)
def test_tokens_are_told_apart_by_the_spaces_between_words(
    text: str, tokens: str, expected: list[tuple[str, str]]
) -> None:
    assert spans(text, tokens) == expected


def test_tokens_without_spaces_tell_no_words() -> None:
    assert spans("one two", "one two", space=None) == []


def test_a_word_that_a_dictionary_fails_on_is_as_long_as_it_is_written() -> None:
    def fails(word: str) -> str:
        raise KeyError(word)

    assert words_of_tokens("best in the sea", "best inthe sea", " ", fails).first == (0, 5, 7, 11)


def test_a_word_without_a_token_of_its_own_begins_with_its_neighbour() -> None:
    words = words_of_tokens("of a", "v", " ", lambda word: word)
    assert words.first == (0, 0)
    assert words.times([100], 500) == (Word("of", 100, 100), Word("a", 100, 500))


def test_texts_and_tokens_that_are_too_different_are_not_matched() -> None:
    text = " ".join(["word"] * 500)
    assert words_of_tokens(text, " ".join(["w"] * 300), " ", list).words == ()
    assert len(words_of_tokens(text, " ".join(["w"] * 450), " ", list).words) == 500


def test_a_word_lasts_until_the_next_and_one_unheard_lies_between_its_neighbours() -> None:
    assert word_times("abcd", {0: 50.0, 1: 100.0, 3: 300.0}, 450.4) == (
        Word("a", 50, 100),
        Word("b", 100, 200),
        Word("c", 200, 300),
        Word("d", 300, 450),
    )
    assert word_times("ab", {1: 500.0}, 400.0)[-1] == Word("b", 400, 400)
    assert word_times((), {}, 400.0) == ()


def attention(*attended: int, tokens: int) -> np.ndarray:
    """Attention that is mostly on one token in each step."""
    blurred = np.full((len(attended), tokens), 0.1 / tokens, np.float32)
    blurred[range(len(attended)), attended] += 0.9
    return blurred


def test_a_token_begins_when_it_is_first_attended_to() -> None:
    assert onsets(attention(0, 0, 1, 1, 1, 2, 3, 3, tokens=4)) == [0, 2, 5, 6]


def test_a_glance_ahead_or_back_moves_nothing() -> None:
    assert onsets(attention(0, 0, 3, 0, 0, 1, 1, 0, 1, 1, 2, 3, 3, tokens=4)) == [0, 5, 10, 11]


def test_a_token_that_was_passed_over_begins_with_the_next() -> None:
    assert onsets(attention(0, 0, 2, 2, tokens=3)) == [0, 2, 2]


def test_a_token_that_was_never_reached_begins_at_the_end() -> None:
    assert onsets(attention(0, 0, 1, 1, tokens=4)) == [0, 2, 4, 4]
