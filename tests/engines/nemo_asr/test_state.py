"""The state of a stream is bounded, and the features are those of the whole recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nemotron_speech.engines.base import AsrWork
from nemotron_speech.engines.nemo_asr.mel import AudioTail, MelFrames
from tests.engines.nemo_asr.conftest import MakeEngine
from tests.engines.nemo_asr.tiny_models import RATE, babble


def test_mel_frames_in_pieces_are_those_of_the_whole(reference: Callable[[str, int], Any]) -> None:
    """Three streams at different positions, in one call each time, the last ones shorter than the others."""
    import torch

    mel = MelFrames(reference("rnnt", 1).preprocessor)
    rng = np.random.default_rng(0)
    recordings = [babble(seconds, i) for i, seconds in enumerate((2.0, 3.1, 2.77))]
    tails = [AudioTail(mel.shape) for _ in recordings]
    found: list[list[Any]] = [[] for _ in recordings]
    for tail, audio in zip(tails, recordings, strict=True):
        tail.push(audio.tobytes())
    while any(tail.remaining_frames for tail in tails):
        counts = [min(int(rng.integers(1, 30)), tail.remaining_frames) for tail in tails]
        windows = [t.window(n) for t, n in zip(tails, counts, strict=True)]
        frames = mel(windows, counts)
        for tail, n, row, kept in zip(tails, counts, frames, found, strict=True):
            kept.append(row[:, :n])
            tail.take(n)
    for audio, kept in zip(recordings, found, strict=True):
        signal = torch.from_numpy(audio.astype(np.float32) / 32768)[None]
        whole, length = reference("rnnt", 1).preprocessor(
            input_signal=signal, length=torch.tensor([len(audio)])
        )
        pieces = torch.cat(kept, 1)
        assert pieces.shape[1] == int(length)
        assert (pieces - whole[0, :, : int(length)]).abs().max() < 1e-4


@pytest.mark.parametrize("right", [0, 1, 13])
def test_a_long_utterance_keeps_no_more_than_a_short_one(right: int, make_engine: MakeEngine) -> None:
    engine = make_engine("rnnt", right_context=right)
    stream, kept = engine.open(None), []
    arena = {name: t.data_ptr() for name, t in engine._loaded()[1]._tensors.items()}
    seconds = 30
    for _ in range(seconds * 1000 // engine.step_ms):
        engine.step([AsrWork(stream, babble(2, 1)[: stream.wanted_samples].tobytes())])
        kept.append(stream.tail.nbytes)
    assert max(kept) < 2 * RATE * 0.05
    assert max(kept[1:]) == min(kept[1:])
    assert {name: t.data_ptr() for name, t in engine._loaded()[1]._tensors.items()} == arena


@pytest.mark.parametrize(("precision", "share"), [("fp32", 1), ("bf16", 0.55)])
def test_the_bytes_of_a_stream_are_counted(precision: str, share: float, make_engine: MakeEngine) -> None:
    engine = make_engine("rnnt", right_context=1, precision=precision)
    layers, width, left, kernel, mel = 2, 64, 70, 9, 80
    caches = layers * width * (left + kernel - 1) + mel * 9
    predictor = 3 * 32
    assert engine.state_bytes == pytest.approx((caches + predictor) * 4 * share, rel=0.12)


def test_one_encoder_step_serves_all_who_are_past_their_first_chunk(make_engine: MakeEngine) -> None:
    engine = make_engine("rnnt", right_context=1)
    model, calls = engine._loaded()[0], []
    encode = model.encoder
    model.encoder = lambda *a: (calls.append(len(a[1])), encode(*a))[1]  # type: ignore[assignment]
    streams = [engine.open(None) for _ in range(6)]
    for i, stream in enumerate(streams):
        for _ in range(i):
            engine.step([AsrWork(stream, bytes(2 * stream.wanted_samples))])
    del calls[:]
    engine.step([AsrWork(stream, bytes(2 * stream.wanted_samples)) for stream in streams])
    assert sorted(calls) == [1, 5]
