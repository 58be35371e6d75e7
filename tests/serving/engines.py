"""Engines that tell exactly what they were given, and step when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nemotron_speech.audio import Clip
from nemotron_speech.engines.base import (
    AsrInfo,
    AsrResult,
    AsrStream,
    AsrWork,
    CloneLimits,
    Flush,
    Segment,
    TtsInfo,
    TtsResult,
    TtsStream,
)
from nemotron_speech.errors import BadRequest, EngineError

PATIENCE_S = 10.0


class Gate:
    """Where every step waits while the gate is shut."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self.waiting = threading.Event()
        """Set while a step stands before the shut gate."""

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def pass_through(self) -> None:
        if not self._open.is_set():
            self.waiting.set()
        assert self._open.wait(PATIENCE_S), "the test forgot the gate"
        self.waiting.clear()


@dataclass
class Listening:
    wanted_samples: int
    heard: list[int] = field(default_factory=list)
    closed: bool = False


class EchoAsr:
    """Its transcript is the samples it heard, so a text says exactly which audio it covers."""

    def __init__(self, capacity: int = 8, max_batch: int = 8, wanted_samples: int = 160) -> None:
        self.info = AsrInfo("echo", "echo", ("en", "de"), capacity=capacity, max_batch=max_batch)
        self._wanted_samples = wanted_samples
        self.gate = Gate()
        self.fail_on: int | None = None
        self.streams: list[Listening] = []
        self.batches: list[list[AsrWork]] = []

    @property
    def open_streams(self) -> int:
        return sum(not stream.closed for stream in self.streams)

    def load(self) -> None: ...

    def unload(self) -> None: ...

    def open(self, language: str | None) -> Listening:
        self.gate.pass_through()
        if language not in (None, *self.info.languages):
            raise BadRequest(f"unknown language {language!r}; allowed: {', '.join(self.info.languages)}")
        self.streams.append(Listening(self._wanted_samples))
        return self.streams[-1]

    def close(self, stream: AsrStream) -> None:
        assert isinstance(stream, Listening)
        stream.closed = True

    def step(self, work: Sequence[AsrWork]) -> list[AsrResult | EngineError]:
        self.gate.pass_through()
        self.batches.append(list(work))
        return [self._advance(item) for item in work]

    def _advance(self, item: AsrWork) -> AsrResult | EngineError:
        stream = item.stream
        assert isinstance(stream, Listening)
        assert not stream.closed, "a closed stream was stepped"
        stream.heard += np.frombuffer(item.pcm, "<i2").tolist()
        if self.fail_on in stream.heard:
            return EngineError("that sample is too much for me")
        text = " ".join(map(str, stream.heard))
        if item.flush is Flush.HARD:
            stream.heard = []
        return AsrResult(text)


@dataclass
class Sounding:
    segment: Segment
    left: int
    closed: bool = False


class LetterTts:
    """Speaks one frame a letter: frame k of a text is its k-th letter, `frame_samples` times."""

    def __init__(self, capacity: int = 8, max_batch: int = 8, frame_samples: int = 100) -> None:
        self.info = TtsInfo(
            "letters", "letters", 16000, ("aria", "john"), ("en",), capacity=capacity, max_batch=max_batch
        )
        self._frame_samples = frame_samples
        self.gate = Gate()
        self.streams: list[Sounding] = []
        self.batches: list[list[str]] = []

    @property
    def open_streams(self) -> int:
        return sum(not stream.closed for stream in self.streams)

    def load(self) -> None: ...

    def unload(self) -> None: ...

    def open(self, segment: Segment) -> Sounding:
        self.gate.pass_through()
        if segment.voice not in self.info.voices:
            raise BadRequest(f"unknown voice {segment.voice!r}; allowed: {', '.join(self.info.voices)}")
        self.streams.append(Sounding(segment, len(segment.text)))
        return self.streams[-1]

    def close(self, stream: TtsStream) -> None:
        assert isinstance(stream, Sounding)
        stream.closed = True

    def step(self, streams: Sequence[TtsStream]) -> list[TtsResult | EngineError]:
        self.gate.pass_through()
        sounding = [stream for stream in streams if isinstance(stream, Sounding)]
        assert len(sounding) == len(streams)
        self.batches.append([stream.segment.text for stream in sounding])
        return [self._advance(stream) for stream in sounding]

    def _advance(self, stream: Sounding) -> TtsResult | EngineError:
        assert not stream.closed, "a closed stream was stepped"
        text = stream.segment.text
        if not stream.left:
            return TtsResult(b"", done=True)
        letter = text[len(text) - stream.left]
        stream.left -= 1
        if letter == "X":
            return EngineError("I do not say X")
        return TtsResult(self.frame(letter), done=not stream.left)

    def frame(self, letter: str) -> bytes:
        return np.full(self._frame_samples, ord(letter), "<i2").tobytes()

    def audio_of(self, text: str) -> bytes:
        """What `text` sounds like, alone and undisturbed."""
        return b"".join(map(self.frame, text))


class CloningTts(LetterTts):
    """Learns a voice from a clip by keeping its name."""

    def __init__(self, voices: int = 2) -> None:
        super().__init__()
        self.info = replace(self.info, cloning=CloneLimits(min_s=1.0, max_s=10.0, voices=voices))
        self.clips: dict[str, Clip] = {}

    def clone(self, name: str, clip: Clip) -> None:
        self.gate.pass_through()
        if not clip.samples.any():
            raise BadRequest("clip: nobody speaks in it")
        self.clips[name] = clip
        self.info = replace(self.info, voices=(*self.info.voices, name))

    def forget(self, name: str) -> None:
        del self.clips[name]
        self.info = replace(self.info, voices=tuple(v for v in self.info.voices if v != name))
