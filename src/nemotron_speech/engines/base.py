"""Engine interface of a speech model: open a stream, step many streams at once, close one.

Every method of an engine runs on the engine's own thread, one call at a time, so an engine needs no
locks. A step is the unit of cancellation: it should take tens of milliseconds, not a whole utterance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from nemotron_speech.errors import BadRequest, EngineError, require

if TYPE_CHECKING:
    from nemotron_speech.audio import Clip


@dataclass(frozen=True, slots=True)
class Word:
    """One word and where it is: milliseconds from the start of the stream (ASR) or segment (TTS)."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None = None


class Flush(StrEnum):
    """Request of a work item beyond taking in its audio."""

    NONE = "none"
    SOFT = "soft"
    """Report the text so far, keep all decoder state."""
    HARD = "hard"
    """Finish the utterance, the last word included, then start afresh."""


# ------------------------------------------------------------------------------- recognition


@dataclass(frozen=True, slots=True)
class AsrInfo:
    """Description of a recogniser: its model, its languages, its capacity."""

    name: str
    model: str
    languages: tuple[str, ...] = ("en",)
    sample_rate: int = 16000
    capacity: int = 8
    """Streams open at once; the next one is refused."""
    max_batch: int = 8
    """Streams in one step."""
    marks_end: bool = False
    """True if results say that the speaker has finished (`AsrResult.ended`)."""
    estimates_times: bool = False
    """True if the times of words are estimated from the readings, not told by the model."""


class AsrStream(Protocol):
    """The bounded state of one caller. Only its engine looks inside."""

    @property
    def wanted_samples(self) -> int:
        """Samples that the next step without a flush takes; less is not worth a step."""
        ...


@dataclass(frozen=True, slots=True)
class AsrWork:
    """One stream's share of a step."""

    stream: AsrStream
    pcm: bytes
    """PCM16LE mono at `AsrInfo.sample_rate`: `AsrStream.wanted_samples` samples, fewer only with a flush."""
    flush: Flush = Flush.NONE


@dataclass(frozen=True, slots=True)
class AsrResult:
    """The transcript of the utterance so far (of the whole utterance after a hard flush).

    A very long utterance is not told from its beginning in every step (`engines/shared/running_text.py`).
    """

    text: str
    words: tuple[Word, ...] = ()
    """Words with times on the stream's clock: on a flush, where the model knows them; of many, the newest."""
    offset: int = 0
    """Characters of the utterance that come before `text`."""
    ended: bool = False
    """True if the model takes the speaker to have finished, and has heard nothing since."""


class AsrEngine(Protocol):
    """A streaming recogniser."""

    @property
    def info(self) -> AsrInfo: ...

    def load(self) -> None:
        """Load the model; called once, before anything else. Raises ConfigurationError."""
        ...

    def open(self, language: str | None) -> AsrStream:
        """Start a stream. Raises BadRequest for a language outside `info.languages`."""
        ...

    def step(self, work: Sequence[AsrWork]) -> Sequence[AsrResult | EngineError]:
        """Advance each stream by its work; one answer per item, in order.

        An item that fails answers with an EngineError and costs no other item. A failed stream is closed
        by the caller and replaced.
        """
        ...

    def close(self, stream: AsrStream) -> None:
        """Give the stream's state back. Closing twice is harmless."""
        ...

    def unload(self) -> None:
        """Release the model, threads and processes."""
        ...


# --------------------------------------------------------------------------------- synthesis


@dataclass(frozen=True, slots=True)
class CloneLimits:
    """Limits of voice cloning: the length of the reference clip, the number of voices."""

    min_s: float
    max_s: float
    """Seconds of the reference clip; more than this adds nothing."""
    voices: int
    """Cloned voices kept at once."""


@dataclass(frozen=True, slots=True)
class TtsInfo:
    """Description of a synthesiser: its model, its voices and languages, its capacity."""

    name: str
    model: str
    sample_rate: int
    """The true rate of the audio, from the model."""
    voices: tuple[str, ...]
    """The first speaks when a caller names none."""
    languages: tuple[str, ...] = ("en",)
    """The first is spoken when a caller names none."""
    presets: tuple[str, ...] = ("aggressive", "balanced", "conservative")
    capacity: int = 8
    """Segments being synthesised at once."""
    max_batch: int = 8
    """Segments in one step."""
    max_text: int = 4000
    """Characters in one segment."""
    speeds: tuple[float, float] = (1.0, 1.0)
    """Slowest and fastest `Segment.speed`; equal where the model cannot change its speed."""
    cloning: CloneLimits | None = None
    """Limits of voice cloning, for an engine that is a `VoiceCloner` too; None: it learns no voices."""


class SynthesisMode(StrEnum):
    """Delivery of a segment's audio by the engine."""

    STREAM = "stream"
    """Audio of every step, as soon as there is some."""
    BATCH = "batch"
    """All audio at once, when the segment is complete."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One text to speak."""

    text: str
    voice: str
    language: str = "en"
    mode: SynthesisMode = SynthesisMode.STREAM
    preset: str = "balanced"
    speed: float = 1.0

    def check(self, info: TtsInfo) -> None:
        """Raise BadRequest, with what is allowed, for what a synthesiser like `info` cannot do."""
        require("voice", self.voice, info.voices)
        require("language", self.language, info.languages)
        require("preset", self.preset, info.presets)
        slowest, fastest = info.speeds
        if not slowest <= self.speed <= fastest:
            allowed = f"{slowest:g} to {fastest:g}" if slowest < fastest else f"{slowest:g} alone"
            raise BadRequest(f"{info.name} cannot speak at speed {self.speed:g}; allowed: {allowed}")


@dataclass(frozen=True, slots=True)
class TtsResult:
    """Result of one step for one segment."""

    pcm: bytes
    """PCM16LE mono at `TtsInfo.sample_rate`; may be empty."""
    done: bool = False
    words: tuple[Word, ...] = field(default=())
    """Words with times in ms within the segment: on the last result, where the model knows them."""
    unspoken: tuple[str, ...] = ()
    """Parts of the text that the model has no sound for: on the last result."""


class TtsStream(Protocol):
    """The state of one segment being spoken. Only its engine looks inside."""


class TtsEngine(Protocol):
    """A streaming synthesiser."""

    @property
    def info(self) -> TtsInfo: ...

    def load(self) -> None:
        """Load the model; called once, before anything else. Raises ConfigurationError."""
        ...

    def open(self, segment: Segment) -> TtsStream:
        """Start a segment. Raises BadRequest for an unknown voice or language, or an impossible speed."""
        ...

    def step(self, streams: Sequence[TtsStream]) -> Sequence[TtsResult | EngineError]:
        """Make the next audio of each segment; one answer per stream, in order."""
        ...

    def close(self, stream: TtsStream) -> None:
        """Stop the segment, finished or not. Closing twice is harmless."""
        ...

    def unload(self) -> None:
        """Release the model, threads and processes."""
        ...


class VoiceCloner(Protocol):
    """Interface of an engine with `TtsInfo.cloning`, beside `TtsEngine`."""

    def clone(self, name: str, clip: Clip) -> None:
        """Learn a voice from a clip at any rate; `info.voices` then ends with it.

        Raises BadRequest for a name that is taken, a clip outside the limits or without a voice in it, and
        one voice too many; EngineError when the model fails. Takes as long as a long step.
        """
        ...

    def forget(self, name: str) -> None:
        """Drop a cloned voice; segments that speak with it go on. Raises BadRequest for any other name."""
        ...
