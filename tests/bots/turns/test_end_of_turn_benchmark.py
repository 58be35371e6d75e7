"""The benchmark of turn ends counts what it says it counts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.end_of_turn import DETECTORS, FINAL_MS, JUDGEMENT_MS, TICK_MS, Figures, Hearing, Moment
from benchmarks.end_of_turn_cases import RATE, Case, Word

STOP_MS = 160.0


def case(*words: tuple[str, float], kind: str = "number, paused", pause_s: float = 0.7) -> Case:
    silence = np.zeros(8 * RATE, np.int16)
    return Case(kind, "nobody", pause_s, silence, tuple(Word(text, end) for text, end in words))


def stretch(begin: float, end: float) -> list[Moment]:
    """What a detector of speech reports of one stretch of it."""
    return [
        *(Moment(begin, "voice"), Moment(begin + 200, "speaks")),
        *(Moment(end, "quiet"), Moment(end + STOP_MS, "pauses")),
    ]


def ends(name: str, said: Case, heard: list[Moment], probability: float) -> list[float]:
    return Hearing(said, DETECTORS[name], lambda samples: probability).listen(heard)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_whole_turn_is_over_once_and_after_its_last_sound(name: str) -> None:
    (end,) = ends(name, case(("yes", 900)), stretch(400, 920), probability=0.9)
    assert 920 + STOP_MS <= end <= 920 + 900


def test_a_transcript_and_a_judgement_are_waited_for() -> None:
    words, heard = case(("hello", 500), ("there", 900)), stretch(400, 920)
    (end,) = ends("silence, 0.2 s", words, heard, 0.9)
    assert end == pytest.approx(920 + STOP_MS + FINAL_MS, abs=2 * TICK_MS)
    (end,) = ends("Smart Turn, 3 s fallback", words, heard, 0.9)
    assert end == pytest.approx(920 + STOP_MS + JUDGEMENT_MS, abs=2 * TICK_MS)
    (end,) = ends("Smart Turn, 3 s fallback", words, heard, 0.1)
    assert end == pytest.approx(920 + 3000 - 40, abs=2 * TICK_MS)


def test_an_end_before_the_last_sound_is_a_false_cut_off_and_the_delay_is_that_of_the_last_one() -> None:
    words = case(("five", 600), ("five", 900), ("one", 1800), ("two", 2100), ("six", 2300))
    heard = [*stretch(400, 920), *stretch(1620, 2320)]
    figures = {name: Figures() for name in ("silence, 0.2 s", "silence + prosody + words")}
    for name, found in figures.items():
        found.add(words, ends(name, words, heard, 0.9), heard)
    impatient, patient = figures.values()
    assert impatient.cut_off_share() == 1
    assert patient.cut_off_share() == 0
    assert patient.by_pause()[0.7] == 0
    assert impatient.delays_ms[0] < patient.delays_ms[0] < 2200


@pytest.mark.parametrize(("pause_ms", "audible"), [(300, False), (600, True)])
def test_a_wrong_answer_is_audible_if_the_user_is_still_silent_when_it_begins(
    pause_ms: float, audible: bool
) -> None:
    goes_on = 920 + pause_ms
    words = case(("tell", 600), ("me", 900), ("more", goes_on + 500))
    heard = [*stretch(400, 920), *stretch(goes_on, goes_on + 500)]
    figures = Figures()
    figures.add(words, ends("silence, 0.2 s", words, heard, 0.9), heard)
    assert figures.cut_off_share() == 1
    assert figures.audible_share() == audible
