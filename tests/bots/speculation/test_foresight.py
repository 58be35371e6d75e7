"""Words in a young silence are believed as far as those in silences before were right."""

from __future__ import annotations

import random

import pytest

from pipecat_bots.speculation.foresight import PROBE_EVERY, Foresight
from pipecat_bots.speculation.gain import TURNS, Gain
from pipecat_bots.speculation.speculation import Speculation, SpeculationBudget
from pipecat_bots.turn_text.completeness import same_words

SENTENCE = "what time is it"
PAUSE_MS = 140


class Listening:
    """A recogniser with a lag, asked as the service does."""

    def __init__(self, flushes: bool) -> None:
        self.foresight = Foresight(same_words)
        self._flushes = flushes
        self.asked = 0
        self.confirmed = self.withdrawn = 0
        self.ahead_ms: list[int] = []

    def silence(self, lag_ms: float, breath_ms: int | None = None, pause_ms: int = PAUSE_MS) -> None:
        """A silence, from when the detector is sure of it, that is a breath or becomes a pause."""
        begun, begun_at = "", 0
        self.foresight.quiet()
        due = self.foresight.silent()
        length = breath_ms if breath_ms is not None else pause_ms
        for at in range(0, length, 20):
            if due:
                self.asked += 1
                self.foresight.asked()
                text = SENTENCE if at >= lag_ms or self._flushes else "what time is"
                if self.foresight.answered(text, at, self._flushes) and text != begun:
                    self.withdrawn += bool(begun)
                    begun, begun_at = text, at
            due = self.foresight.audio(20)
        if breath_ms is not None:
            self.foresight.voiced()
            self.withdrawn += bool(begun)
            return
        self.foresight.pauses()
        self.foresight.final(SENTENCE)
        self.withdrawn += begun not in ("", SENTENCE)
        if begun == SENTENCE:
            self.confirmed += 1
            self.ahead_ms.append(pause_ms - begun_at)


def test_one_that_says_that_it_flushes_is_believed_at_once() -> None:
    listening = Listening(flushes=True)
    for _ in range(12):
        listening.silence(lag_ms=0)
    assert listening.ahead_ms == [PAUSE_MS] * 12
    assert listening.asked == 12


@pytest.mark.parametrize(("lag_ms", "ahead_ms"), [(0, 140), (30, 100), (70, 60), (100, 20)])
def test_the_lag_of_one_that_says_nothing_is_learnt_from_its_finals(lag_ms: int, ahead_ms: int) -> None:
    listening = Listening(flushes=False)
    for _ in range(12):
        listening.silence(lag_ms)
    assert listening.ahead_ms[-3:] == [ahead_ms] * 3
    assert listening.confirmed == 9, "the first three tell"
    assert listening.withdrawn == 0


def test_one_that_lags_behind_the_pause_is_hardly_asked_any_more_and_believed_when_it_is_fast_again() -> None:
    listening = Listening(flushes=False)
    for _ in range(8 * PROBE_EVERY):
        listening.silence(lag_ms=300)
    assert listening.confirmed == listening.withdrawn == 0
    assert listening.foresight.rests
    asked = listening.asked
    for _ in range(PROBE_EVERY):
        listening.silence(lag_ms=300)
    assert listening.asked - asked <= 4, "one silence in eight"
    for _ in range(4 * PROBE_EVERY):
        listening.silence(lag_ms=0)
    assert listening.confirmed > 0
    assert listening.withdrawn == 0


@pytest.mark.parametrize("lags_ms", [(0, 300), (60, 140), (100, 200, 300), (20, 20, 20, 20, 300)])
def test_a_lag_that_varies_is_not_trusted_before_nine_silences_in_ten_are_right(
    lags_ms: tuple[int, ...],
) -> None:
    listening = Listening(flushes=False)
    for turn in range(60):
        listening.silence(lags_ms[turn % len(lags_ms)])
    assert listening.withdrawn <= 0.1 * (listening.withdrawn + listening.confirmed) + 1


@pytest.mark.parametrize("flushes", [True, False])
@pytest.mark.parametrize("breaths", [0.0, 0.1, 0.3])
def test_breaths_of_the_user_cost_fewer_than_one_answer_in_ten(flushes: bool, breaths: float) -> None:
    listening, chance = Listening(flushes), random.Random(7)
    for _ in range(200):
        while chance.random() < breaths:
            listening.silence(lag_ms=0, breath_ms=chance.choice((20, 40, 60, 100)))
        listening.silence(lag_ms=0)
    assert listening.confirmed >= 190
    assert listening.withdrawn < 0.1 * (listening.withdrawn + listening.confirmed)


def test_breaths_as_long_as_pauses_are_forgotten_when_the_user_draws_none_any_more() -> None:
    listening = Listening(flushes=True)
    for _ in range(20):
        listening.silence(lag_ms=0, breath_ms=80)
        listening.silence(lag_ms=0, pause_ms=90)
    begun = listening.confirmed + listening.withdrawn
    assert begun <= 6, "too few of them are pauses"
    for _ in range(30):
        listening.silence(lag_ms=0, pause_ms=90)
    assert listening.ahead_ms[-5:] == [90] * 5


@pytest.mark.parametrize(("late_ms", "rests"), [(20, False), (60, True)])
def test_answers_that_hold_finals_up_are_too_dear(late_ms: int, rests: bool) -> None:
    foresight = Foresight(same_words)
    for _ in range(2 * PROBE_EVERY):
        foresight.quiet()
        if foresight.silent():
            foresight.asked()
        foresight.pauses()
        for _ in range(late_ms // 20):
            foresight.audio(20)
        foresight.answered(SENTENCE, 0, flushed=True)
        foresight.final(SENTENCE)
    assert foresight.rests is rests


def test_noise_that_the_detector_is_not_sure_of_counts_as_silence_in_the_end() -> None:
    foresight = Foresight(same_words)
    foresight.quiet()
    assert [foresight.audio(20) for _ in range(7)] == [False] * 6 + [True]


# ---------------------------------------------------------------------------------------------- gain


def turn(gain: Gain, took_s: float, ahead_s: float = 0.0, withdrawn: int = 0) -> None:
    """A turn whose answer took so long from its request to its first sound."""
    gain.turn_began()
    for _ in range(withdrawn):
        gain.settled(False, 0.05)
    if ahead_s:
        gain.settled(True, ahead_s)
    gain.turn_over(10.0)
    gain.heard(10.0 + took_s - ahead_s)


def test_confirmed_answers_that_were_begun_ahead_are_worthwhile() -> None:
    gain = Gain()
    for _ in range(2 * TURNS):
        turn(gain, took_s=0.3, ahead_s=0.12)
    assert gain.is_worthwhile


def test_withdrawn_answers_that_cost_more_than_the_others_gain_are_not() -> None:
    gain = Gain()
    for _ in range(TURNS // 2):
        turn(gain, took_s=0.3, ahead_s=0.12)
        turn(gain, took_s=0.6, withdrawn=1)
    assert not gain.is_worthwhile


def test_answers_that_are_begun_ahead_by_nothing_are_not_worthwhile() -> None:
    gain = Gain()
    for _ in range(TURNS):
        turn(gain, took_s=0.3, ahead_s=0.001)
    assert not gain.is_worthwhile


def test_a_turn_that_is_not_answered_and_one_without_speculation_tell_nothing() -> None:
    gain = Gain()
    for _ in range(2 * TURNS):
        turn(gain, took_s=0.3)
        gain.turn_began()
        gain.settled(False, 0.05)
    assert gain.is_worthwhile


def test_after_a_pause_a_few_turns_tell_whether_there_is_a_gain_again() -> None:
    waste, now = SpeculationBudget(0.5, pause_s=30), 0.0

    def answered(cost_s: float) -> bool:
        """Hold a turn that is speculated on if that is allowed."""
        nonlocal now
        now += 5
        allowed = waste.allows(now)
        waste.turn_began()
        if allowed:
            speculation = Speculation("", began=now)
            if cost_s:
                speculation.withdraw()
            else:
                speculation.confirm()
            waste.settled(speculation, now + 0.1)
        waste.turn_over(now + 0.1)
        waste.heard(now + 0.4 + (cost_s if allowed else 0.0))
        return allowed

    assert all(answered(0) for _ in range(5))
    tried = [answered(0.5) for _ in range(40)]
    assert tried.count(True) < 20
    assert tried[-10:].count(True) <= 4, "three turns of each pause"
    assert [answered(0) for _ in range(60)][-5:] == [True] * 5
