"""The last sound of a voice, found in its loudness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipecat.audio.vad.vad_analyzer import VADParams, VADState

from benchmarks.speech import espeak
from pipecat_bots.turns.last_sound import LONGEST_LAG_S, LastSound
from pipecat_bots.turns.vad import WatchfulVADAnalyzer

RATE = 16000
WINDOW = 512


def heard(voice_s: float, silence_s: float, *, noise: float = 0.0) -> LastSound:
    """A voice, then silence, both in steady noise: given window by window, what is no whole one left out."""
    samples = np.concatenate(
        [
            np.sin(np.arange(round(voice_s * RATE)) * 2 * np.pi * 200 / RATE) * 5000,
            np.zeros(round(silence_s * RATE)),
        ]
    )
    samples += np.random.default_rng(0).normal(0, noise, len(samples))
    sounds = LastSound(RATE)
    for start in range(len(samples) % WINDOW, len(samples), WINDOW):
        sounds.take(samples[start : start + WINDOW].astype("<i2").tobytes())
    return sounds


@given(st.floats(min_value=0, max_value=0.14), st.sampled_from([0.0, 20.0, 200.0]))
def test_the_lag_of_the_detector_is_added_to_what_it_knows(lag_s: float, noise: float) -> None:
    assert heard(1.0, 0.2 + lag_s, noise=noise).silence_s(0.2) == pytest.approx(0.2 + lag_s, abs=0.005)


def test_a_silence_longer_than_any_lag_is_left_as_the_detector_knows_it() -> None:
    assert heard(1.0, 0.3 + LONGEST_LAG_S).silence_s(0.2) == pytest.approx(0.2)


def test_a_voice_that_the_noise_hides_is_left_as_the_detector_knows_it() -> None:
    assert heard(1.0, 0.25, noise=3000).silence_s(0.2) == pytest.approx(0.2)


def test_nothing_heard_yet() -> None:
    assert LastSound(RATE).silence_s(0.2) == pytest.approx(0.2)


@pytest.mark.parametrize("offset_ms", [0, 11, 23])
async def test_the_detector_tells_how_long_it_has_been_silent(offset_ms: int) -> None:
    vad = WatchfulVADAnalyzer(params=VADParams(stop_secs=0.2))
    vad.set_sample_rate(RATE)
    voice = espeak("what time is it in Paris", "leo").at(RATE).samples
    begin = np.zeros(RATE + offset_ms * 16, np.int16)
    samples = np.concatenate([begin, voice, np.zeros(RATE, np.int16)])
    for end in range(320, len(samples), 320):
        state = await vad.analyze_audio(samples[end - 320 : end].tobytes())
        if end > len(begin) + len(voice) and state is VADState.QUIET:
            break
    await vad.cleanup()
    assert vad.silence_s == pytest.approx((end - len(begin) - len(voice)) / RATE, abs=0.006)
