"""The released Moonshine model behind the engine; pulls it from the package registry where it is not here."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from nemotron_speech import models
from nemotron_speech.bench.wer import errors, words_of
from nemotron_speech.engines.base import Flush
from nemotron_speech.engines.moonshine_asr.engine import MODEL, MoonshineEngine
from tests.contract.test_recognisers import speech
from tests.engines.asr_streams import feed
from tests.engines.moonshine_asr.moonshine_streams import final, loaded, note_readings

pytestmark = [pytest.mark.real_models, pytest.mark.timeout(600)]

SAID = "please tell me what the weather will be like tomorrow morning"


@pytest.fixture(scope="module")
def engine() -> Iterator[MoonshineEngine]:
    models.pull(MODEL)
    engine = MoonshineEngine(max_step_s=0.3)
    engine.load()
    yield engine
    engine.unload()


def test_a_sentence_is_heard_as_it_is_read_at_once(
    engine: MoonshineEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pcm = speech(SAID) + bytes(16000)
    readings = note_readings(engine, monkeypatch)
    stream = engine.open(None)
    results = feed(engine, stream, pcm, Flush.SOFT)
    before = len(readings)
    heard = feed(engine, stream, b"")[-1]
    assert len(readings) == before, "the final needed a reading after the pause"
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
    at_once = loaded(engine).read(samples).text
    assert errors(words_of(at_once), words_of(heard.text)) <= 1
    assert errors(words_of(SAID), words_of(heard.text)) <= 3
    assert len({result.text for result in results}) >= 6
    assert all(word.confidence and word.confidence > 0.1 for word in heard.words)


@pytest.mark.parametrize("kind", ["hum", "tone", "hiss", "silence"])
def test_nothing_is_heard_into_noise(kind: str, engine: MoonshineEngine) -> None:
    t, random = np.arange(48000) / 16000, np.random.default_rng(0)
    sound = {
        "hum": 0.1 * np.sin(2 * np.pi * 100 * t) + 0.05 * np.sin(2 * np.pi * 200 * t),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * t),
        "hiss": random.normal(0, 0.05, len(t)),
        "silence": np.zeros(len(t)),
    }[kind]
    assert final(engine, (sound * 32767).astype("<i2").tobytes()).text == ""
