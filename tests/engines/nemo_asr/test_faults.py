"""What goes wrong costs the stream it goes wrong for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nemotron_speech.engines.base import AsrResult, AsrWork, Flush
from nemotron_speech.engines.nemo_asr.engine import NemoAsrEngine
from nemotron_speech.errors import EngineError, EngineLost, Full
from tests.engines.nemo_asr.conftest import MakeEngine
from tests.engines.nemo_asr.streams import Samples, recognise
from tests.engines.nemo_asr.tiny_models import babble

LOUD: Samples = np.tile(np.array([32767] * 20 + [-32768] * 20, np.int16), 400)
"""Louder than any babble: the faults below are for those who shout."""


@pytest.fixture
def engine(make_engine: MakeEngine) -> NemoAsrEngine:
    return make_engine("rnnt", right_context=1)


Fault = Callable[[list[int], Any], None]


def break_encoder(engine: NemoAsrEngine, fault: Fault) -> list[int]:
    """Let `fault(loud rows, encoder frames)` happen to every step; return the sizes of the batches it saw."""
    model, sizes = engine._loaded()[0], []
    encode = model.encoder

    class Broken:
        def __call__(self, kind: int, mel: Any, frames: Any, state: Any) -> Any:
            loud = [i for i, row in enumerate(mel) if row.max() > 2]
            sizes.append(len(mel))
            encoded, lengths, after = encode(kind, mel, frames, state)
            fault(loud, encoded)
            return encoded, lengths, after

    model.encoder = Broken()  # type: ignore[assignment]
    return sizes


def raise_when_loud(loud: list[int], encoded: Any) -> None:
    if loud:
        raise ValueError("too loud")


def not_a_number_when_loud(loud: list[int], encoded: Any) -> None:
    encoded[loud] = float("nan")


@pytest.mark.parametrize("fault", [raise_when_loud, not_a_number_when_loud])
def test_a_chunk_that_fails_costs_only_its_stream(fault: Fault, engine: NemoAsrEngine) -> None:
    quiet = [babble(1.0, seed) for seed in range(4)]
    expected = [recognise(engine, audio)[0] for audio in quiet]
    break_encoder(engine, fault)
    audio = [*quiet[:2], LOUD, *quiet[2:]]
    streams = [engine.open(None) for _ in audio]
    outcomes = engine.step([AsrWork(s, a.tobytes(), Flush.HARD) for s, a in zip(streams, audio, strict=True)])
    assert isinstance(outcomes.pop(2), EngineError)
    assert [outcome.text for outcome in outcomes if isinstance(outcome, AsrResult)] == expected


def test_the_slot_of_a_failed_stream_is_clean_for_the_next(engine: NemoAsrEngine) -> None:
    audio = babble(1.0, 3)
    expected = recognise(engine, audio)
    break_encoder(engine, raise_when_loud)
    streams = [engine.open(None) for _ in range(8)]
    for _ in range(2):
        engine.step([AsrWork(stream, babble(0.7, 9).tobytes()) for stream in streams])
    assert all(isinstance(o, EngineError) for o in engine.step([AsrWork(s, LOUD.tobytes()) for s in streams]))
    for stream in streams:
        engine.close(stream)
    assert [recognise(engine, audio) for _ in range(8)] == [expected] * 8


def test_out_of_memory_makes_the_batches_smaller_and_costs_nobody(engine: NemoAsrEngine) -> None:
    import torch

    audio = [babble(0.9, seed) for seed in range(7)]
    expected = [recognise(engine, each)[0] for each in audio]

    def too_many(loud: list[int], encoded: Any) -> None:
        if len(encoded) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    sizes = break_encoder(engine, too_many)
    streams = [engine.open(None) for _ in audio]
    for part in (Flush.NONE, Flush.HARD):
        work = [
            AsrWork(s, (a[:6000] if part is Flush.NONE else a[6000:]).tobytes(), part)
            for s, a in zip(streams, audio, strict=True)
        ]
        outcomes = engine.step(work)
    assert [o.text for o in outcomes if isinstance(o, AsrResult)] == expected
    assert max(sizes) == 7
    assert engine.info.max_batch < 7, "GET /metrics says it (nemotron_asr_step_limit_streams)"
    del sizes[:]
    engine.step([AsrWork(s, a.tobytes(), Flush.HARD) for s, a in zip(streams, audio, strict=True)])
    assert max(sizes) <= 2


def test_a_lost_gpu_fails_all_streams_of_the_step_and_is_asked_once(engine: NemoAsrEngine) -> None:
    def lost(loud: list[int], encoded: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    sizes = break_encoder(engine, lost)
    streams = [engine.open(None) for _ in range(5)]
    outcomes = engine.step([AsrWork(s, babble(1.0, 3).tobytes(), Flush.HARD) for s in streams])
    assert [type(outcome) for outcome in outcomes] == [EngineLost] * 5
    assert sizes == [5]


def test_what_is_not_audio_and_who_is_not_here_fail_alone(engine: NemoAsrEngine) -> None:
    audio = babble(1.0, 5)
    expected = recognise(engine, audio)
    gone, odd, fine = (engine.open(None) for _ in range(3))
    engine.close(gone)
    engine.close(gone)
    outcomes = engine.step(
        [
            AsrWork(gone, audio.tobytes()),
            AsrWork(odd, b"\0" * 999),
            AsrWork(fine, audio.tobytes(), Flush.HARD),
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [EngineError, EngineError, AsrResult]
    assert [str(o.text) for o in outcomes if isinstance(o, AsrResult)] == expected


def test_the_stream_after_the_last_slot_is_refused_until_one_leaves(engine: NemoAsrEngine) -> None:
    streams = [engine.open(None) for _ in range(engine.info.capacity)]
    with pytest.raises(Full, match="8 streams"):
        engine.open(None)
    engine.close(streams[3])
    engine.close(engine.open(None))
