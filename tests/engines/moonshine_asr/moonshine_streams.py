"""How a server gives sound to a Moonshine engine, and what the engine then reads."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nemotron_speech.engines.base import AsrResult
from nemotron_speech.engines.moonshine_asr.engine import MoonshineEngine
from nemotron_speech.engines.moonshine_asr.model import Audio, MoonshineModel, MoonshineReading
from tests.engines.asr_streams import feed

RATE = 16000


def final(engine: MoonshineEngine, pcm: bytes) -> AsrResult:
    stream = engine.open(None)
    result = feed(engine, stream, pcm)[-1]
    engine.close(stream)
    return result


def loaded(engine: MoonshineEngine) -> MoonshineModel:
    assert engine._model is not None
    return engine._model


def note_readings(engine: MoonshineEngine, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note the seconds of audio of every reading from now on."""
    noted: list[float] = []
    model = loaded(engine)
    genuine = model.read

    def read(audio: Audio, draft: Sequence[int] = ()) -> MoonshineReading:
        noted.append(round(len(audio) / RATE, 3))
        return genuine(audio, draft)

    monkeypatch.setattr(model, "read", read)
    return noted
