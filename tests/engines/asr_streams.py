"""A recogniser's stream, fed as a server feeds it."""

from __future__ import annotations

from typing import Any

from nemotron_speech.engines.base import AsrEngine, AsrResult, AsrWork, Flush


def heard(engine: AsrEngine, stream: Any, pcm: bytes, flush: Flush) -> AsrResult:
    (result,) = engine.step([AsrWork(stream, pcm, flush)])
    assert isinstance(result, AsrResult), result
    return result


def feed(engine: AsrEngine, stream: Any, pcm: bytes, flush: Flush = Flush.HARD) -> list[AsrResult]:
    """Give the audio as a server does; return every result, the flushed one last."""
    results = []
    while len(pcm) >= 2 * stream.wanted_samples:
        size = 2 * stream.wanted_samples
        results.append(heard(engine, stream, pcm[:size], Flush.NONE))
        pcm = pcm[size:]
    return [*results, heard(engine, stream, pcm, flush)]
