"""Rules about words: no text of any language makes one fail, and one that fails keeps no turn open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger

from pipecat_bots.turn_text import english as turn_grammar
from pipecat_bots.turn_text.completeness import cue
from pipecat_bots.turn_text.dictation import resumes
from pipecat_bots.turn_text.guarded import guarded
from pipecat_bots.turn_text.languages import LANGUAGES
from pipecat_bots.turn_text.vocabulary import Completeness, Words
from pipecat_bots.turns import endpointing as turn_end
from pipecat_bots.turns.endpointing import TurnEnd

NUMBERS = ("one", "seven", "twenty", "hundred", "oh", "double", "5", "05", "2026", "a", "b", "vingt", "zwei")
GRAMMAR = sorted(
    {word for value in vars(turn_grammar).values() if isinstance(value, frozenset) for word in value}
)
"""Closed classes of English, and the verbs it has rules for."""
BETWEEN = (" ", " ", " ", ". ", "? ", ", ", "'", "-", " ... ")
unguarded_cue: Callable[[str, str, bool], Completeness] = cue.__wrapped__.__wrapped__  # type: ignore[attr-defined]
unguarded_resumes: Callable[[str, str, str], bool] = resumes.__wrapped__  # type: ignore[attr-defined]


def words_of_language(language: str) -> list[str]:
    table = LANGUAGES[language]
    values = (getattr(table, field.name) for field in fields(Words))
    words = {word for value in values for word in value if isinstance(word, str)} - {""}
    return [*sorted(words), *NUMBERS, *(GRAMMAR if language == "en" else ())]


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, str]:
    """A language, and a few of its closed-class words with anything between them."""
    language = draw(st.sampled_from(sorted(LANGUAGES)))
    words = draw(st.lists(st.sampled_from(words_of_language(language)), min_size=1, max_size=7))
    text = "".join(word + draw(st.sampled_from(BETWEEN)) for word in words)
    return language, text.strip() if draw(st.booleans()) else text


@settings(max_examples=600, deadline=None)
@given(texts(), st.booleans())
def test_no_words_of_any_language_make_a_rule_fail(said: tuple[str, str], resumed: bool) -> None:
    language, text = said
    unguarded_cue(text, language, resumed)
    unguarded_resumes(text, text, language)


@pytest.mark.parametrize(
    "text",
    [
        *("is", "do", "can", "have", "did", "must", "Yes it is. Do", "so", "if", "what", "to know"),
        "Im trying to optimize my workflow and would",
    ],
)
def test_a_bare_auxiliary_is_read_like_any_other_words(text: str) -> None:
    unguarded_cue(text, "en", False)


@given(st.text(max_size=60), st.sampled_from([*LANGUAGES, "ja", ""]))
def test_no_text_makes_a_rule_fail(text: str, language: str) -> None:
    unguarded_cue(text, language, False)


# -------------------------------------------------------------------------------- a rule that fails


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="WARNING")
    yield lines
    logger.remove(sink)


def test_a_fault_is_logged_once_and_leaves_the_turn_to_silence_and_prosody(
    log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @guarded(Completeness.PLAIN)
    def faulty(text: str, language: str, resumed: bool) -> Completeness:
        return [][len(text)]

    monkeypatch.setattr(turn_end, "cue", faulty)
    for probability, more_ms in ((0.9, 0), (0.0, 700)):
        turn = TurnEnd()
        turn.speaks()
        turn.voice(False)
        turn.pauses(200)
        turn.judged(probability)
        turn.said("is", is_last=True)
        assert turn.over is (more_ms == 0)
        turn.audio(more_ms)
        assert turn.over
    assert len(log) == 1
    assert "faulty" in log[0]
