"""How well the embedded recogniser understands synthetic voices: bounds, with room, on what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from benchmarks.accuracy import (
    RATE,
    Heard,
    Spoken,
    flite_voices,
    on_line,
    recognise,
    speak_flite,
    spoken_set,
    word_error_rate,
)
from nemotron_speech.engines.pocketsphinx_asr.engine import PocketsphinxEngine
from nemotron_speech.responder.talk.understanding import understand

pytestmark = [
    pytest.mark.accuracy,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not flite_voices(), reason="flite is not installed: no voice the recogniser understands"
    ),
]

VOICES = ("rms", "slt")


@pytest.fixture(scope="module")
def spoken() -> list[Spoken]:
    return spoken_set(VOICES, ["clean"])


@pytest.fixture(scope="module")
def biased(spoken: list[Spoken]) -> list[Heard]:
    return heard_by(PocketsphinxEngine(), spoken)


@pytest.fixture(scope="module")
def unbiased(spoken: list[Spoken]) -> list[Heard]:
    return heard_by(PocketsphinxEngine(biased=False), spoken)


def heard_by(engine: PocketsphinxEngine, spoken: list[Spoken]) -> list[Heard]:
    engine.load()
    try:
        return recognise(engine, spoken)
    finally:
        engine.unload()


def of(heard: list[Heard], group: str) -> list[Heard]:
    return [one for one in heard if one.spoken.group == group]


def understood(heard: list[Heard]) -> float:
    requests = of(heard, "in-domain")
    return sum(understand(one.text).name == one.spoken.intent for one in requests) / len(requests)


def test_biasing_halves_the_word_errors_of_requests(biased: list[Heard], unbiased: list[Heard]) -> None:
    assert word_error_rate(of(biased, "in-domain")) < 0.12
    assert word_error_rate(of(biased, "in-domain")) < 0.6 * word_error_rate(of(unbiased, "in-domain"))


def test_the_intents_of_requests_are_understood(biased: list[Heard], unbiased: list[Heard]) -> None:
    assert understood(biased) >= 0.85
    assert understood(biased) > understood(unbiased) + 0.05


def test_biasing_costs_open_speech_little(biased: list[Heard], unbiased: list[Heard]) -> None:
    assert word_error_rate(of(biased, "open")) < 0.35
    assert word_error_rate(of(biased, "open")) < word_error_rate(of(unbiased, "open")) + 0.04


def test_no_request_is_lost_as_noise(biased: list[Heard]) -> None:
    silent = [one.spoken.text for one in biased if not one.text]
    assert len(silent) <= 0.02 * len(biased), silent


def test_requests_over_a_telephone_are_mostly_understood() -> None:
    spoken = [one for one in spoken_set(["rms"], ["telephone"]) if one.intent]
    assert understood(heard_by(PocketsphinxEngine(), spoken)) >= 0.7


@pytest.fixture(scope="module")
def engine() -> Iterator[PocketsphinxEngine]:
    engine = PocketsphinxEngine()
    engine.load()
    yield engine
    engine.unload()


@pytest.mark.parametrize("tail_ms", [0, 30, 70, 100, 200])
def test_the_last_word_is_there_wherever_the_audio_ends(engine: PocketsphinxEngine, tail_ms: int) -> None:
    samples = speak_flite("what is twelve times seven", "rms")
    end = int(np.flatnonzero(np.abs(samples.astype(int)) > 300)[-1]) + tail_ms * RATE // 1000
    pcm = on_line(samples, "clean")[: 2 * (end + int(0.3 * RATE))]
    heard = recognise(engine, [Spoken("", pcm, "", "", "")])
    assert heard[0].text.split()[-1:] == ["seven"]


def cough(seed: int) -> np.ndarray:
    """One to three bursts of decaying, coloured noise: as loud as speech, without pitch."""
    source = np.random.default_rng(seed)
    parts = [np.zeros(RATE // 2)]
    for _ in range(source.integers(1, 4)):
        length = int(source.uniform(0.08, 0.4) * RATE)
        burst = np.convolve(source.normal(0, 1, length), np.ones(source.integers(1, 9)), "same")
        burst *= np.minimum(1, np.arange(length) / 200) * np.exp(
            -np.linspace(0, source.uniform(2, 6), length)
        )
        parts += [burst / np.abs(burst).max() * source.uniform(3000, 25000), np.zeros(RATE // 8)]
    return np.concatenate([*parts, np.zeros(RATE // 2)])


def steady(seed: int) -> np.ndarray:
    """Three seconds of noise, hum or a chord."""
    source, time = np.random.default_rng(seed), np.arange(3 * RATE) / RATE
    kinds = [
        source.normal(0, 500, len(time)),
        source.normal(0, 6000, len(time)),
        5000 * np.sin(2 * np.pi * 50 * time),
        6000 * np.sin(2 * np.pi * 440 * time),
        sum(1500 * np.sin(2 * np.pi * hertz * time) for hertz in (220, 277, 330, 440)),
    ]
    return np.asarray(kinds[seed % len(kinds)])


@pytest.mark.parametrize("sounds", [cough, steady])
def test_noise_is_not_taken_for_words(
    engine: PocketsphinxEngine, sounds: Callable[[int], np.ndarray]
) -> None:
    clips = [np.clip(sounds(seed), -32768, 32767).astype(np.int16).tobytes() for seed in range(12)]
    heard = recognise(engine, [Spoken("", pcm, "", "", "") for pcm in clips])
    assert [one.text for one in heard] == [""] * len(clips)
