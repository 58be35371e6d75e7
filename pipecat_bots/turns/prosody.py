"""Probability that a turn is complete by its sound: a model's answer for the last eight seconds of it."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
import soxr
from pipecat.audio.turn.smart_turn._whisper_features import compute_whisper_log_mel_features

from nemotron_speech.errors import ConfigurationError

MODEL_RATE = 16000
WINDOW_S = 8.0
LEAD_S = 0.7
"""Seconds of audio before speech is noticed that belong to it: a detector of speech is late by 0.2 s."""

_BUNDLED = files("pipecat.audio.turn.smart_turn").joinpath("data", "smart-turn-v3.2-cpu.onnx")

Samples = npt.NDArray[np.float32]


class EndOfTurnModel(Protocol):
    """Model that takes samples at 16 kHz in [-1, 1], and returns the probability of a complete turn."""

    def probability(self, samples: Samples) -> float: ...


class SmartTurnModel:
    """Smart Turn v3, or any ONNX model with its input (log-mel of 8 s at 16 kHz) and output (a probability).

    Without a plan of its memory, which would be kept beside what the first run took: 22 MB in place of 32.

    Args:
        path: The model; the one that comes with Pipecat if not given.

    Raises ConfigurationError for a file that is none.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is not None and not path.is_file():
            raise ConfigurationError(f"BOT_TURN_MODEL: there is no file {path}")
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        options.enable_mem_pattern = False
        try:
            self._session = onnxruntime.InferenceSession(str(path or _BUNDLED), options)
        except Exception as error:
            if path is None:
                raise
            raise ConfigurationError(f"BOT_TURN_MODEL: {path} is no ONNX model: {error}") from None

    def probability(self, samples: Samples) -> float:
        features = compute_whisper_log_mel_features(_window(samples), do_normalize=True)
        (output,) = self._session.run(None, {"input_features": features[np.newaxis]})[:1]
        return float(np.asarray(output).reshape(-1)[0])


def _window(samples: Samples) -> Samples:
    """Return the last eight seconds, behind silence if there are fewer."""
    size = int(WINDOW_S * MODEL_RATE)
    return np.pad(samples[-size:], (max(0, size - len(samples)), 0))


@cache
def shared_model(path: Path | None = None) -> SmartTurnModel:
    """Return the model of all sessions, loaded once. It remembers nothing between two runs."""
    return SmartTurnModel(path)


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads of all sessions: a run takes a core for 40 ms, and two callers' go in parallel."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "turn-detector")


class TurnAudio:
    """The audio of a turn, PCM16LE, bounded by the model's window.

    A turn may be known as one long after it was begun to be spoken: what was said over the bot becomes one
    with its transcript. So what is spoken is marked, and is the turn's if there is one.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._parts: deque[bytes] = deque()
        self._bytes = 0
        self._spoken_bytes: int | None = None
        """Bytes heard since speech began, while it is undecided whether it is a turn; None without such."""

    def add(self, pcm: bytes) -> None:
        self._parts.append(pcm)
        self._bytes += len(pcm)
        if self._spoken_bytes is not None:
            self._spoken_bytes += len(pcm)
        self._keep(self._bytes_of(WINDOW_S))

    def spoken(self) -> None:
        """Note the onset of speech: perhaps of a turn, which begins here at the latest."""
        if self._spoken_bytes is None:
            self._spoken_bytes = self._bytes_of(LEAD_S)

    def disregard(self) -> None:
        """Note that the speech was no turn."""
        self._spoken_bytes = None

    def begin(self) -> None:
        """Begin a turn: forget all but what was spoken of it, and what may be its beginning."""
        self._keep(self._bytes_of(LEAD_S) if self._spoken_bytes is None else self._spoken_bytes)
        self._spoken_bytes = None

    def end(self) -> None:
        """End the turn, which is no part of the next one."""
        self._keep(0)

    def window(self) -> bytes:
        """Return what the model is to hear."""
        return b"".join(self._parts)

    def _bytes_of(self, seconds: float) -> int:
        return 2 * int(seconds * self.sample_rate)

    def _keep(self, limit: int) -> None:
        while self._bytes > limit:
            self._bytes -= len(self._parts.popleft())


class TurnDetector(Protocol):
    """Judges a pause while it goes on."""

    async def probability(self, audio: TurnAudio) -> float: ...


class ThreadedDetector:
    """A model that runs beside the event loop. Many share one: ONNX Runtime's sessions are thread-safe."""

    def __init__(self, model: EndOfTurnModel) -> None:
        self._model = model

    async def probability(self, audio: TurnAudio) -> float:
        """Return how probable it is that the turn is complete with what has been heard of it by now."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_threads(), self._judge, audio.window(), audio.sample_rate)

    def _judge(self, pcm: bytes, sample_rate: int) -> float:
        samples: Samples = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
        if sample_rate != MODEL_RATE:
            samples = np.asarray(soxr.resample(samples, sample_rate, MODEL_RATE), np.float32)
        return self._model.probability(samples)
