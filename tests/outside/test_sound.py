"""Recordings made sample by sample: what is measured in them is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.outside.sound import (
    FRAME,
    RATE,
    Track,
    gaps_ms,
    silent_after_ms,
    sounds,
    voice_to_voice_ms,
)
from nemotron_speech.audio import Samples


def tone(hz: float, ms: float) -> Samples:
    t = np.arange(round(ms * RATE / 1000)) / RATE
    return (np.sin(2 * np.pi * hz * t) * 10000).astype(np.int16)


def silence(ms: float) -> Samples:
    return np.zeros(round(ms * RATE / 1000), np.int16)


def track(*parts: Samples, began: float = 100.0) -> Track:
    """A recording whose packets came on time."""
    samples = np.concatenate(parts)
    samples = np.pad(samples, (0, -len(samples) % FRAME))
    return Track([began + 0.02 * number for number in range(len(samples) // FRAME)], samples)


def ms_of(heard: Track) -> list[tuple[int, int, int]]:
    """Every sound: its tone, its first and its last millisecond."""
    scale = 1000 / RATE
    found = sounds(heard.samples)
    return [(round(sound.hz), round(sound.first * scale), round(sound.end * scale)) for sound in found]


def test_sounds_are_divided_by_silence_and_by_tone() -> None:
    heard = track(silence(30), tone(1550, 200), silence(300), tone(1700, 100), tone(2300, 110))
    assert ms_of(heard) == [
        (1550, 30, 230),
        (1700, 530, pytest.approx(630, abs=10)),
        (2300, pytest.approx(630, abs=10), 740),
    ]


def test_a_click_is_no_sound() -> None:
    assert ms_of(track(silence(100), tone(1550, 4), silence(100))) == []


def test_voice_to_voice_is_from_the_last_sample_said_to_the_first_one_heard() -> None:
    heard = track(silence(733), tone(1550, 500))
    assert voice_to_voice_ms(100.4, heard) == pytest.approx(333, abs=0.3)
    assert voice_to_voice_ms(102.0, heard) is None


def test_a_sound_counts_when_its_packet_arrives() -> None:
    heard = track(silence(733), tone(1550, 500))
    late = Track([at + (0.05 if at > 100.71 else 0) for at in heard.arrivals], heard.samples)
    assert voice_to_voice_ms(100.4, late) == pytest.approx(383, abs=0.3)


def test_silence_after_an_interruption_is_that_of_the_old_answer() -> None:
    heard = track(tone(1550, 640), silence(200), tone(1850, 300))
    assert silent_after_ms(100.4, heard, [1550.0]) == pytest.approx(240, abs=0.3)
    assert silent_after_ms(100.7, heard, [1550.0]) is None


@given(st.floats(min_value=16, max_value=79), st.integers(min_value=0, max_value=20))
def test_a_short_silence_inside_a_tone_is_a_gap(ms: float, offset: int) -> None:
    heard = track(silence(offset), tone(1550, 333), silence(ms), tone(1550, 200))
    assert gaps_ms(sounds(heard.samples)) == [pytest.approx(ms, abs=1)]


@pytest.mark.parametrize("ms", [0, 10, 90, 400])
def test_a_shorter_silence_or_a_pause_is_none(ms: float) -> None:
    assert gaps_ms(sounds(track(tone(1550, 333), silence(ms), tone(1550, 200)).samples)) == []


def test_a_silence_between_two_sentences_is_no_gap() -> None:
    assert gaps_ms(sounds(track(tone(1550, 300), silence(40), tone(1700, 300)).samples)) == []


def test_a_late_packet_is_no_gap_but_is_late() -> None:
    heard = track(tone(1550, 600))
    late = Track([at + (0.03 if 100.2 < at < 100.3 else 0) for at in heard.arrivals], heard.samples)
    assert gaps_ms(late.heard(0.0)) == []
    assert max(late.late_ms()) == pytest.approx(30, abs=0.1)


@given(st.floats(min_value=99.9, max_value=101.2), st.floats(min_value=0, max_value=1))
def test_what_is_heard_between_two_moments_is_cut_there(since: float, length: float) -> None:
    heard = track(silence(200), tone(1550, 600), silence(200))
    overlap = max(0.0, min(since + length, 100.8) - max(since, 100.2))
    assert heard.seconds(heard.heard(since, since + length)) == pytest.approx(overlap, abs=0.001)
