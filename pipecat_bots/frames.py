"""The frames this project adds to Pipecat's."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipecat.frames.frames import AggregatedTextFrame, DataFrame, SystemFrame, TTSSpeakFrame


@dataclass
class LLMChunkFrame(AggregatedTextFrame):
    """Downstream: one chunk of an answer, to be spoken at once.

    Its `id` comes back in the `ChunkedLLMContinueGenerationFrame` that follows its last audio.
    """


@dataclass
class ChunkedLLMContinueGenerationFrame(SystemFrame):
    """Upstream: the synthesiser is done with a segment, spoken or not.

    Parameters:
        chunk_id: The `id` of the `LLMChunkFrame` it was; None for text from elsewhere.
    """

    chunk_id: int | None = None


@dataclass
class AnnouncementFrame(TTSSpeakFrame):
    """Downstream: something the bot says of its own accord, whatever becomes of an answer being made.

    On its way it is not dropped; once the voice has it, it may be interrupted.
    """

    interruptible: bool = field(default=False, init=False)


@dataclass
class NothingSaidFrame(DataFrame):
    """Downstream: what the recogniser heard up to here holds no words, and no transcript will come."""

    interruptible: bool = field(default=False, init=False)


@dataclass
class VoiceActivityFrame(SystemFrame):
    """Both ways: what the newest 32 ms of the user hold, long before a pause or a beginning is decided on.

    Parameters:
        voiced: True if the samples hold a voice.
    """

    voiced: bool


@dataclass
class SilenceFrame(SystemFrame):
    """Both ways: the user has fallen silent and not just closed the lips, long before that is a pause."""


@dataclass
class HoldFrame(SystemFrame):
    """Downstream: fall silent where you are; it is not known yet whether the user interrupts."""


@dataclass
class ResumeFrame(SystemFrame):
    """Downstream: that was no interruption, go on."""


@dataclass
class HeldFrame(SystemFrame):
    """Upstream: the answer to a `HoldFrame`.

    Parameters:
        left_s: Seconds of sound that are left to play; infinite while more is to come.
    """

    left_s: float


@dataclass
class SoundLeftFrame(SystemFrame):
    """The first audible sample of what the bot says now has left."""

    at: float
    """Seconds since the epoch."""
