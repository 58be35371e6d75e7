"""Every utterance is answered: short barge-ins in a row, utterances split by pauses, words that come late."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bots.conversation import NAMES, STOP_WORD, Outcome, Setting, Spoken, converse, is_valid, number_of
from tests.virtual_time import VirtualTimeLoop

SPOKEN_MS = 70
"""Of audio for each character of an answer: two seconds for a whole one."""


def hold(script: list[Spoken], setting: Setting | None = None) -> Outcome:
    setting = setting or Setting()
    setting.ms_per_character = SPOKEN_MS
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(converse(script, setting))


def assert_answered(outcome: Outcome, script: list[Spoken]) -> None:
    """Every word is written down once, and the last answer is to all of them and heard to its end."""
    said = [word for word, _ in script if word]
    assert outcome.user_said.split() == said, "every word once, in order"
    assert all(map(is_valid, outcome.asked))
    assert "uu" not in outcome.roles
    last = outcome.messages[-1]["content"]
    number = number_of(last)
    assert last == f"Answer {number} is what I have to say.", "the last answer is heard to its end"
    assert outcome.asked[number - 1] == outcome.messages[:-1], "and is to everything"
    assert outcome.heard[-1] == number
    assert outcome.heard == sorted(set(outcome.heard)), "none goes on after another"


# ------------------------------------------------------------------------------------------- cases

QUESTION: list[Spoken] = [("alpha", 400), ("bravo", 300)]
LAGS_S = (0.0, 0.1, 0.2, 0.3)
FINALS_S = (0.024, 0.3, 1.0, 2.0, 3.0)


@pytest.mark.parametrize("lag_s", LAGS_S)
@pytest.mark.parametrize("final_s", FINALS_S)
@pytest.mark.parametrize("gap_ms", [300, 700, 1500, 2500])
def test_three_short_barge_ins_in_a_row(gap_ms: int, final_s: float, lag_s: float) -> None:
    script: list[Spoken] = [*QUESTION, ("", 1500), (STOP_WORD, 400), ("", gap_ms)]
    script += [("charlie", 400), ("", gap_ms), ("delta", 300)]
    assert_answered(hold([*script, ("", 6000)], Setting(final_s=final_s, lag_s=lag_s)), script)


@pytest.mark.parametrize("lag_s", LAGS_S)
@pytest.mark.parametrize("final_s", FINALS_S)
@pytest.mark.parametrize("pause_ms", [100, 400, 800, 1200, 2000])
def test_an_utterance_split_by_a_pause(pause_ms: int, final_s: float, lag_s: float) -> None:
    script: list[Spoken] = [("alpha", 400), ("bravo", 300), ("", pause_ms), ("charlie", 300), ("delta", 400)]
    assert_answered(hold([*script, ("", 6000)], Setting(final_s=final_s, lag_s=lag_s)), script)


@pytest.mark.parametrize("lag_s", LAGS_S)
@pytest.mark.parametrize("final_s", FINALS_S)
def test_words_spoken_as_soon_as_the_bot_has_said_its_last_one(final_s: float, lag_s: float) -> None:
    setting = Setting(final_s=final_s, lag_s=lag_s)
    first = hold([*QUESTION, ("", 6000)], setting)
    ended_s = first.answered_at[0] + len("Answer 1 is what I have to say.") * SPOKEN_MS / 1000
    pause_ms = 20 * round(50 * (ended_s + 0.1 - 0.7))
    script: list[Spoken] = [*QUESTION, ("", pause_ms), ("charlie", 300)]
    assert_answered(hold([*script, ("", 6000)], setting), script)
