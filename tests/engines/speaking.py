"""Speak through a synthesiser's seam, and what every one of them does with a segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nemotron_speech.engines.base import Segment, SynthesisMode, TtsEngine, TtsResult
from nemotron_speech.engines.registry import tts_engine
from nemotron_speech.errors import BadRequest, ConfigurationError, EngineError


def speak(engine: TtsEngine, segment: Segment) -> list[TtsResult]:
    """Speak a segment alone; the result of every step."""
    stream, results = engine.open(segment), []
    while not results or not results[-1].done:
        results += sound(engine.step([stream]))
    engine.close(stream)
    return results


def sound(results: Sequence[TtsResult | EngineError]) -> list[TtsResult]:
    assert all(isinstance(result, TtsResult) for result in results), results
    return [result for result in results if isinstance(result, TtsResult)]


def pcm(results: Sequence[TtsResult]) -> bytes:
    return b"".join(result.pcm for result in results)


def samples(audio: bytes) -> np.ndarray:
    return np.frombuffer(audio, "<i2").astype(int)


def assert_batch_is_the_stream_at_once(engine: TtsEngine, segment: Segment) -> None:
    results = speak(engine, replace(segment, mode=SynthesisMode.BATCH))
    assert [bool(result.pcm) for result in results] == [False] * (len(results) - 1) + [True]
    assert pcm(results) == pcm(speak(engine, segment))


def assert_double_speed_takes_half_the_time(engine: TtsEngine, segment: Segment, rel: float) -> None:
    normal = len(pcm(speak(engine, segment)))
    for speed in (0.5, 2.0):
        length = len(pcm(speak(engine, replace(segment, speed=speed))))
        assert length == pytest.approx(normal / speed, rel=rel), f"speed {speed}"


def assert_refused(engine: TtsEngine, segment: Segment, wrong: Mapping[str, Any]) -> None:
    """What is wrong with a segment is named when it is opened."""
    with pytest.raises(BadRequest, match=next(iter(wrong))):
        engine.open(replace(segment, **wrong))


def assert_named(
    engine: str, usual: Mapping[str, Any], wrong: Sequence[tuple[Mapping[str, Any], str]]
) -> None:
    """What is wrong with the options of an engine is said when it is loaded."""
    for options, reason in wrong:
        with pytest.raises(ConfigurationError, match=reason):
            tts_engine(engine, **{**usual, **options}).load()
