"""Every utterance is answered: short barge-ins in a row, utterances split by pauses, words that come late."""

from __future__ import annotations

import asyncio
from itertools import accumulate

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.bots.conversation import NAMES, STOP_WORD, Outcome, Setting, Spoken, converse, is_valid, number_of
from tests.virtual_time import VirtualTimeLoop

SPOKEN_MS = 70
"""Milliseconds of audio for each character of an answer: two seconds for a whole one."""
SURE_MS = 40
"""Milliseconds of a voice that nobody can know of yet: two frames of audio."""
NEWEST_MS = 100
"""Milliseconds before the bot's first sound that hold no voice."""


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
    assert_never_speaks_into_a_voice(outcome, script)


def assert_never_speaks_into_a_voice(outcome: Outcome, script: list[Spoken]) -> None:
    for begins_ms, ends_ms in voices(script):
        for at_s in outcome.answered_at:
            within = begins_ms + SURE_MS < round(1000 * at_s) < ends_ms + NEWEST_MS - SURE_MS
            assert not within, f"it begins to speak {at_s} s into a voice from {begins_ms} to {ends_ms} ms"


def voices(script: list[Spoken]) -> list[tuple[int, int]]:
    """Return when the user's voice begins and ends, in milliseconds since the conversation began."""
    ends = list(accumulate(ms for _, ms in script))
    return [(end - ms, end) for (word, ms), end in zip(script, ends, strict=True) if word]


# ------------------------------------------------------------------------------------------- cases

QUESTION: list[Spoken] = [("alpha", 400), ("bravo", 300)]
SPLIT: list[Spoken] = [*QUESTION, ("", 0), ("charlie", 300), ("delta", 400)]


def barge_ins(gap_ms: int, before_ms: int = 1500) -> list[Spoken]:
    """A question, then over its answer "stop" and two more, each after so long a pause."""
    first = [*QUESTION, ("", before_ms), (STOP_WORD, 400), ("", gap_ms)]
    return [*first, ("charlie", 400), ("", gap_ms), ("delta", 300)]


def split(pause_ms: int) -> list[Spoken]:
    return [(word, ms or pause_ms) for word, ms in SPLIT]


@pytest.mark.parametrize(
    ("gap_ms", "final_s", "lag_s"),
    [(300, 0.024, 0.0), (300, 1.0, 0.3), (700, 0.3, 0.2), (1500, (0.024, 2.0), 0.1), (2500, 3.0, 0.2)],
)
def test_three_short_barge_ins_in_a_row(gap_ms: int, final_s: float, lag_s: float) -> None:
    script = barge_ins(gap_ms)
    outcome = hold(script, Setting(final_s=final_s, lag_ms=round(1000 * lag_s) or None))
    assert_answered(outcome, script)
    assert not any(asked[-1]["content"].endswith(STOP_WORD) for asked in outcome.asked)


def test_words_whose_transcripts_come_in_one_moment_are_all_heard() -> None:
    """The first of them interrupts the bot; a plain recogniser was slow with the utterance before."""
    over_it: list[Spoken] = [("bravo", 240), ("", 700), ("alpha", 500), ("", 300), ("delta", 500), ("", 700)]
    script: list[Spoken] = [*QUESTION, ("", 1200), *over_it, ("golf", 300)]
    assert_answered(hold(script, Setting(final_s=(0.024, 2.9, 0.3), lag_ms=200, voice_s=0.5)), script)


def test_a_stop_word_is_not_joined_to_what_is_said_six_seconds_later() -> None:
    script: list[Spoken] = [*QUESTION, ("", 1500), (STOP_WORD, 400), ("", 6000), ("charlie", 400)]
    outcome = hold(script)
    assert_answered(outcome, script)
    said = [message["content"] for message in outcome.messages if message["role"] == "user"]
    assert said == ["alpha bravo", STOP_WORD, "charlie"]
    assert outcome.asked[-1][-1]["content"] == "charlie"


@pytest.mark.parametrize("final_s", [0.024, 1.0, 2.9])
def test_a_stop_word_before_anything_else_is_a_turn_of_its_own(final_s: float) -> None:
    script: list[Spoken] = [(STOP_WORD, 400), ("", 6000), ("charlie", 400)]
    outcome = hold(script, Setting(final_s=final_s))
    said = [message["content"] for message in outcome.messages if message["role"] == "user"]
    assert said == [STOP_WORD, "charlie"]
    assert outcome.heard == [1]


COMPLETE = (0.9,)
UNFINISHED = (0.0, 0.9)
"""Verdicts on the end of the turn, after the first half and after the whole."""


@pytest.mark.parametrize(
    ("pause_ms", "verdicts", "final_s", "lag_s"),
    [
        (100, COMPLETE, 1.0, 0.3),
        (400, COMPLETE, 0.024, 0.2),
        (400, UNFINISHED, (0.024, 2.9), 0.1),
        (800, UNFINISHED, (0.024, 1.5), 0.2),
        (1200, COMPLETE, (2.0, 0.1), 0.3),
        (2000, COMPLETE, 3.0, 0.1),
    ],
)
def test_an_utterance_split_by_a_pause(
    pause_ms: int, verdicts: tuple[float, ...], final_s: float, lag_s: float
) -> None:
    script = split(pause_ms)
    setting = Setting(verdicts=verdicts, final_s=final_s, lag_ms=round(1000 * lag_s) or None)
    assert_answered(hold(script, setting), script)


@pytest.mark.parametrize(("final_s", "lag_s"), [(0.024, 0.0), (1.5, 0.3)])
def test_words_spoken_as_soon_as_the_bot_has_said_its_last_one(final_s: float, lag_s: float) -> None:
    setting = Setting(final_s=final_s, lag_ms=round(1000 * lag_s) or None)
    first = hold(QUESTION, setting)
    ended_s = first.answered_at[0] + len("Answer 1 is what I have to say.") * SPOKEN_MS / 1000
    script: list[Spoken] = [*QUESTION, ("", 20 * round(50 * (ended_s + 0.1 - 0.7))), ("charlie", 300)]
    assert_answered(hold(script, setting), script)


# -------------------------------------------------------------------------------- whatever happens

WORD = st.sampled_from(NAMES[1:])
STRETCH_MS = st.integers(11, 30).map(lambda frames: 20 * frames)
"""Long enough for the detector of speech to be sure, which takes 200 ms."""
PAUSE_MS = st.one_of(st.integers(2, 25), st.integers(10, 60), st.integers(50, 140)).map(lambda n: 20 * n)
FINAL_S = st.one_of(st.sampled_from((0.001, 0.024, 1.0, 2.0, 2.9)), st.floats(0.0, 2.99))


@st.composite
def scripts(draw: st.DrawFn, most: int) -> list[Spoken]:
    """A question, then short stretches of speech, over the answer or not; the last one is no stop word."""
    script: list[Spoken] = [*QUESTION, ("", draw(PAUSE_MS))]
    for _ in range(draw(st.integers(0, most))):
        word = draw(st.one_of(WORD, st.just(STOP_WORD)))
        script += [(word, draw(STRETCH_MS)), ("", draw(PAUSE_MS))]
    return [*script, (draw(WORD), draw(STRETCH_MS))]


SETTINGS = st.builds(
    Setting,
    verdicts=st.lists(st.sampled_from((0.9, 0.45, 0.2, 0.0)), min_size=1, max_size=3),
    verdict_s=st.sampled_from((0.01, 0.04, 0.3)),
    final_s=st.lists(FINAL_S, min_size=1, max_size=4),
    lag_ms=st.sampled_from((None, 60, 100, 200, 300)),
    first_token_s=st.sampled_from((0.001, 0.09, 0.3, 1.0)),
    voice_s=st.sampled_from((0.001, 0.11, 0.5)),
    speculation=st.sampled_from((0.0, 1.0)),
)
WITHOUT_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""Phases of a search whose examples take half a second each, and of which a short one says no more."""


@settings(max_examples=8, suppress_health_check=list(HealthCheck), phases=WITHOUT_SHRINKING)
@given(scripts(3), SETTINGS)
def test_every_utterance_is_answered_whatever_the_pauses_and_however_late_its_words(
    script: list[Spoken], setting: Setting
) -> None:
    assert_answered(hold(script, setting), script)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@settings(max_examples=400, suppress_health_check=list(HealthCheck), phases=WITHOUT_SHRINKING)
@given(scripts(6), SETTINGS)
def test_every_utterance_is_answered_in_a_longer_search(script: list[Spoken], setting: Setting) -> None:
    assert_answered(hold(script, setting), script)
