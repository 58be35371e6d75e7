"""Whoever is heard while the bot speaks: what the bot does, what is heard of it, and what is written down."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipecat.frames.frames import InterimTranscriptionFrame

from pipecat_bots.context.assistant import CUT_OFF
from pipecat_bots.context.user import KEPT_SILENT
from pipecat_bots.frames import VoiceActivityFrame
from pipecat_bots.playout import LEAD_S, LONGEST_HOLD_S
from tests.bots.fakes import Step
from tests.bots.turns.interruptions import (
    ANSWER_S,
    WORD_MS,
    WORDS,
    Late,
    Moment,
    Samples,
    Scene,
    Voice,
    scene,
)
from tests.virtual_time import VirtualTimeLoop

WHOLE = " ".join(WORDS)
TICKS = list(range(1, round(ANSWER_S * 100) + 1))
PIECE_S = 0.04
"""What the transport sends at a time."""
MHM = Voice(400, "mhm")
COUGH = Voice(300)
CLICK = Voice(60)
LAUGHTER = Voice(1500)
STOP = Voice(500, "stop")
WORDS_OF_MINE = Voice(900, "what about Paris")


def act(*moments: Moment, rest_s: float = 7.0, thinks_s: float = 0.0) -> Scene:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(scene(moments, rest_s, thinks_s=thinks_s))


def assert_undisturbed(outcome: Scene) -> None:
    """The whole answer was heard once and in order, and nothing else happened."""
    assert outcome.line.heard == TICKS
    assert outcome.answers == [WHOLE]
    assert outcome.said == ["What is it?"]
    assert outcome.turns == len(outcome.bot.asked) == 1


def words_heard(ticks: Sequence[int]) -> int:
    """How many words were heard to their end."""
    return len(ticks) * 10 // WORD_MS


def test_undisturbed_the_answer_is_heard_without_gaps() -> None:
    outcome = act()
    assert_undisturbed(outcome)
    assert outcome.silent_from(0.0) == pytest.approx(ANSWER_S, abs=0.01)


# --------------------------------------------------------------------------------- not interruptions


@pytest.mark.parametrize(
    "voice",
    [
        MHM,
        Voice(300, "okay"),
        Voice(700, "Yeah, right."),
        COUGH,
        CLICK,
        LAUGHTER,
        Voice(1200, "Ha ha, hahaha!"),
    ],
)
@pytest.mark.parametrize("at", [0.5, 2.13, 4.0])
def test_what_is_no_interruption_costs_a_pause_and_nothing_else(voice: Voice, at: float) -> None:
    outcome = act((at, voice))
    assert_undisturbed(outcome)
    assert outcome.silent_from(at) < at + 0.25
    assert outcome.backchannels == ([voice.text] if voice.text else [])


@pytest.mark.parametrize("voice", [MHM, COUGH, LAUGHTER])
def test_the_bot_goes_on_within_300_ms_of_knowing(voice: Voice) -> None:
    known = 2.0 + voice.ms / 1000 + 0.18 + voice.final_s
    outcome = act((2.0, voice))
    assert outcome.sounds_again(outcome.silent_from(2.0) + 0.001) - known < 0.3


def test_a_click_costs_no_more_than_a_short_breath() -> None:
    outcome = act((2.0, CLICK))
    silent = outcome.silent_from(2.0)
    assert outcome.sounds_again(silent + 0.001) - silent < 0.35


def test_three_backchannels_in_one_answer_leave_it_whole() -> None:
    outcome = act((0.7, MHM), (2.5, Voice(300, "Right.")), (4.5, MHM))
    assert_undisturbed(outcome)
    assert outcome.backchannels == ["mhm", "Right.", "mhm"]


def test_assent_at_the_end_of_a_question_is_an_answer_to_it() -> None:
    outcome = act((ANSWER_S - 0.4, Voice(400, "okay")))
    assert outcome.said == ["What is it?", "okay"]
    assert len(outcome.bot.asked) == 2


def test_assent_after_the_answer_is_an_answer() -> None:
    outcome = act((ANSWER_S + 0.6, Voice(400, "yeah")))
    assert outcome.said == ["What is it?", "yeah"]
    assert outcome.backchannels == []


# ------------------------------------------------------------------------------------ interruptions


@pytest.mark.parametrize("tenth", range(1, 59))
def test_the_conversation_ends_at_the_last_word_heard_wherever_it_is_interrupted(tenth: int) -> None:
    outcome = act((tenth / 10, Voice(500, "stop")), rest_s=0.4)
    heard = words_heard(outcome.line.heard)
    assert outcome.line.heard == TICKS[: len(outcome.line.heard)]
    assert outcome.silent_from(tenth / 10) <= tenth / 10 + 0.04 + LEAD_S + PIECE_S
    written = (outcome.answers or [""])[0].removesuffix(CUT_OFF).removesuffix(KEPT_SILENT).split()
    assert written == WORDS[: len(written)]
    assert abs(len(written) - heard) <= 1


def test_real_words_interrupt_and_are_answered() -> None:
    outcome = act((2.0, WORDS_OF_MINE), rest_s=8.0)
    assert outcome.said == ["What is it?", "what about Paris"]
    assert outcome.answers[0].endswith(CUT_OFF)
    assert outcome.answers[1] == WHOLE
    assert outcome.line.heard[-len(TICKS) :] == [n + len(TICKS) for n in TICKS]


def test_words_that_only_the_final_knows_interrupt_and_are_answered_without_waiting_again() -> None:
    outcome = act((2.0, Voice(400, "No, thanks.", interims=False)), rest_s=8.0)
    assert outcome.said[1:] == ["No, thanks."]
    answered = outcome.sounds_again(outcome.silent_from(2.0) + 0.001)
    assert answered - (2.0 + 0.4) < 0.35


def test_assent_that_goes_on_to_something_else_interrupts() -> None:
    outcome = act((2.0, Voice(1200, "okay but what about Paris")), rest_s=8.0)
    assert outcome.said[1:] == ["okay but what about Paris"]


def test_a_voice_that_lasts_interrupts_before_there_is_a_word() -> None:
    voice = Voice(3500, "entschuldigung", interims=False)
    outcome = act((2.0, voice), rest_s=8.0)
    assert outcome.turns == 2
    assert outcome.sounds_again(outcome.silent_from(2.0) + 0.001) > 2.0 + 3.5, "a hold is shorter"
    assert outcome.said[1:] == ["entschuldigung"]


@pytest.mark.parametrize("text", ["stop", "Stop!", "Okay, stop it please.", "That's enough.", "be quiet"])
def test_a_stop_word_silences_the_bot_and_gets_no_answer(text: str) -> None:
    outcome = act((2.0, Voice(600, text)), rest_s=3.0)
    assert len(outcome.bot.asked) == 1
    assert outcome.said == ["What is it?", text]
    assert outcome.silent_from(2.0) < 2.0 + 0.3
    assert outcome.line.heard == TICKS[: len(outcome.line.heard)]


def test_a_stop_word_ends_an_answer_that_is_being_prepared() -> None:
    outcome = act((-2.0, STOP), rest_s=9.0, thinks_s=3.0)
    assert len(outcome.bot.asked) == 1, "stopping is not a question"
    assert outcome.line.heard == []
    assert outcome.said == ["What is it? stop"]


def test_words_said_while_an_answer_is_prepared_join_the_question() -> None:
    outcome = act((-2.0, WORDS_OF_MINE), rest_s=12.0, thinks_s=3.0)
    assert outcome.said == ["What is it? what about Paris"]
    assert outcome.answers == [WHOLE]


@pytest.mark.parametrize("after_s", [1.5, 6.0])
def test_what_is_said_after_a_stop_word_is_a_message_of_its_own(after_s: float) -> None:
    outcome = act((1.0, STOP), (1.0 + after_s, WORDS_OF_MINE), rest_s=8.0)
    assert outcome.said == ["What is it?", "stop", "what about Paris"]
    assert [message["role"][0] for message in outcome.messages] == list("uauaua")
    assert outcome.messages[3]["content"] == KEPT_SILENT
    assert len(outcome.bot.asked) == 2


@pytest.mark.parametrize("at", [-2.0, 1.0, ANSWER_S - 0.2, ANSWER_S + 0.1, ANSWER_S + 1.0, ANSWER_S + 4.0])
def test_a_stop_word_alone_is_never_answered_whenever_it_is_said(at: float) -> None:
    outcome = act((at, STOP), rest_s=9.0 if at < 0 else 4.0, thinks_s=3.0 if at < 0 else 0.0)
    assert len(outcome.bot.asked) == 1
    assert outcome.messages[-1]["content"] == KEPT_SILENT
    assert outcome.said[-1].endswith("stop")


def test_a_stop_word_behind_which_a_cough_follows_is_not_answered_either() -> None:
    """Its transcript comes while the cough is heard, so that it cannot end the turn at once."""
    outcome = act((1.0, Voice(500, "stop", final_s=0.1)), (1.75, Voice(600)), rest_s=6.0)
    assert len(outcome.bot.asked) == 1
    assert outcome.messages[-1]["content"] == KEPT_SILENT


# ------------------------------------------------------------------------------------ late transcripts


def test_a_transcript_that_comes_after_its_turn_waits_until_the_bot_has_spoken_and_is_answered() -> None:
    outcome = act((1.0, Late("with sugar please")), rest_s=14.0)
    assert outcome.line.heard == [*TICKS, *(n + len(TICKS) for n in TICKS)], "no answer is cut off"
    assert outcome.said == ["What is it?", "with sugar please"]
    assert outcome.answers == [WHOLE, WHOLE]


def test_a_late_transcript_that_is_interrupted_joins_what_interrupts() -> None:
    outcome = act((1.0, Late("with sugar please")), (3.0, WORDS_OF_MINE), rest_s=9.0)
    assert sorted(outcome.said[1].split()) == sorted(["with", "sugar", "please", "what", "about", "Paris"])
    assert outcome.answers[-1] == WHOLE
    assert len(outcome.said) == 2


def test_a_late_transcript_is_not_forgotten_with_a_backchannel() -> None:
    outcome = act((1.0, Late("with sugar please")), (3.0, MHM), rest_s=14.0)
    assert outcome.said == ["What is it?", "with sugar please"]
    assert outcome.backchannels == ["mhm"]


def test_a_late_transcript_takes_back_an_answer_that_nobody_has_heard() -> None:
    outcome = act((-1.0, Late("with sugar please")), rest_s=12.0, thinks_s=2.0)
    assert outcome.said == ["What is it? with sugar please"]
    assert outcome.answers == [WHOLE]


def test_stopping_something_is_no_stop_word() -> None:
    outcome = act((1.0, Voice(900, "stop the music")), rest_s=8.0)
    assert len(outcome.bot.asked) == 2


def test_three_interruptions_in_a_row_each_get_their_answer() -> None:
    outcome = act((1.0, WORDS_OF_MINE), (4.0, WORDS_OF_MINE), (7.0, WORDS_OF_MINE), rest_s=8.0)
    assert len(outcome.bot.asked) == 4
    assert [answer.endswith(CUT_OFF) for answer in outcome.answers] == [True, True, True, False]
    assert outcome.line.heard[-len(TICKS) :] == [n + 3 * len(TICKS) for n in TICKS]


def test_an_interruption_while_the_bot_holds_its_breath_for_a_backchannel_counts() -> None:
    outcome = act((2.0, MHM), (2.5, WORDS_OF_MINE), rest_s=8.0)
    assert len(outcome.bot.asked) == 2
    assert outcome.said[-1].endswith("what about Paris")


def test_a_recogniser_that_says_nothing_holds_the_bot_for_a_bounded_time() -> None:
    outcome = act((2.0, Voice(400, answered=False)), rest_s=8.0)
    assert_undisturbed(outcome)
    silent = outcome.silent_from(2.0)
    assert outcome.sounds_again(silent + 0.001) - silent < LONGEST_HOLD_S


# ---------------------------------------------------------------------------------- whatever happens

VOICE = st.sampled_from(
    [
        MHM,
        COUGH,
        CLICK,
        LAUGHTER,
        STOP,
        WORDS_OF_MINE,
        Voice(400, "Paris please", interims=False),
        Voice(2500),
    ]
)
GAP_S = st.floats(0.1, 3.0)


@settings(max_examples=12, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(GAP_S, VOICE), max_size=4))
def test_whatever_happens_what_is_written_is_what_was_heard(script: list[tuple[float, Voice]]) -> None:
    moments, at = [], 0.0
    for gap_s, voice in script:
        moments.append((at + gap_s, voice))
        at += gap_s + voice.ms / 1000 + 0.25
    outcome = act(*moments, rest_s=7.0)
    parts = _answers_heard(outcome.line.heard)
    assert outcome.line.heard == sorted(set(outcome.line.heard))
    for part in parts:
        assert part == list(range(part[0], part[0] + len(part)))
        assert part[0] % len(TICKS) == 1
    spoken = [answer for answer in outcome.answers if answer != KEPT_SILENT]
    written = [answer.removesuffix(CUT_OFF).split() for answer in spoken]
    audible = [len(part) for part in parts if len(part) * 10 > WORD_MS]
    assert len(written) - len(audible) in (-1, 0, 1)
    total = sum(words_heard(part) for part in parts)
    assert abs(sum(map(len, written)) - total) <= len(parts)
    assert all(words == WORDS[: len(words)] for words in written)


def _answers_heard(ticks: Sequence[int]) -> list[list[int]]:
    parts: dict[int, list[int]] = {}
    for tick in ticks:
        parts.setdefault((tick - 1) // len(TICKS), []).append(tick)
    return list(parts.values())


# ----------------------------------------------------------------------------------- what is judged


def voiced_s(samples: Samples) -> float:
    return float(np.count_nonzero(samples)) / 16000


@pytest.mark.parametrize("final_s", [0.024, 0.6])
@pytest.mark.parametrize("interims", [True, False])
def test_an_interruption_is_judged_by_all_that_was_said_of_it_and_nothing_before(
    interims: bool, final_s: float
) -> None:
    interruption = Voice(1800, "what about Paris", interims, final_s)
    outcome = act((0.5, MHM), (2.13, interruption))
    assert outcome.said == ["What is it?", "what about Paris"]
    assert voiced_s(outcome.ear.heard[-1]) == pytest.approx(1.8, abs=0.03)


class SpokenInOneBreath(Voice):
    """A voice whose first words are understood in the silence behind it, before that is a pause."""

    def steps(self) -> list[Step]:
        steps = super().steps()
        silent = next(n for n, step in enumerate(steps) if _is_end(step))
        steps.insert(silent + 5, InterimTranscriptionFrame("what about", "", ""))
        return steps


def _is_end(step: Step) -> bool:
    return isinstance(step, VoiceActivityFrame) and not step.voiced


def test_an_interruption_that_is_known_in_the_silence_behind_it_is_judged_too() -> None:
    outcome = act((2.13, SpokenInOneBreath(600, "what about Paris", interims=False, final_s=0.6)))
    assert len(outcome.ear.heard) == 2
    assert voiced_s(outcome.ear.heard[-1]) == pytest.approx(0.6, abs=0.03)


def test_a_turn_that_follows_another_at_once_is_judged_without_it() -> None:
    outcome = act((-0.9, WORDS_OF_MINE), thinks_s=1.0)
    assert outcome.said == ["What is it? what about Paris"]
    assert list(map(voiced_s, outcome.ear.heard)) == pytest.approx([0.4, 0.9], abs=0.03)
