"""How a server gives sound to a Moonshine engine, and what the engine then reads."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nemotron_speech.engines.base import AsrResult, AsrWork, Flush
from nemotron_speech.engines.moonshine_asr.engine import MoonshineEngine
from nemotron_speech.engines.moonshine_asr.model import Audio, MoonshineModel, MoonshineReading
from nemotron_speech.engines.moonshine_asr.stream import MoonshineStream

RATE = 16000


def heard(engine: MoonshineEngine, stream: MoonshineStream, pcm: bytes, flush: Flush) -> AsrResult:
    (result,) = engine.step([AsrWork(stream, pcm, flush)])
    assert isinstance(result, AsrResult), result
    return result


def feed(
    engine: MoonshineEngine, stream: MoonshineStream, pcm: bytes, flush: Flush = Flush.HARD
) -> list[AsrResult]:
    """Give the audio as a server does; return every result, the flushed one last."""
    results = []
    while len(pcm) >= 2 * stream.wanted_samples:
        size = 2 * stream.wanted_samples
        results.append(heard(engine, stream, pcm[:size], Flush.NONE))
        pcm = pcm[size:]
    return [*results, heard(engine, stream, pcm, flush)]


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
