"""Streaming synthesis on the wire (docs/protocols.md, section 3): the messages, and what a caller learns.

Audio carries no id, so what a byte belongs to is said by what came before it: `tts_client` follows that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from nemotron_speech.protocol.wire import Decoder

Mode = Literal["stream", "batch"]
PLAIN_RATE = 22_000
"""Hz of a server that states no rate: what the clients of such servers assume."""


# ----------------------------------------------------------------------------------- messages


class Init(msgspec.Struct, tag="init", frozen=True, kw_only=True, omit_defaults=True):
    voice: str | None = None
    language: str | None = None
    default_mode: Mode | None = None
    sample_rate: int | None = None
    """Sample rate of the audio in Hz, where it differs from the model's."""


class Text(msgspec.Struct, tag="text", frozen=True, kw_only=True, omit_defaults=True):
    text: str
    mode: Mode | None = None
    preset: str | None = None
    utterance: str | None = None


class Close(msgspec.Struct, tag="close", frozen=True, kw_only=True, omit_defaults=True):
    utterance: str | None = None


class Cancel(msgspec.Struct, tag="cancel", frozen=True, kw_only=True, omit_defaults=True):
    utterance: str | None = None


class Ping(msgspec.Struct, tag="ping", frozen=True):
    pass


class Pong(msgspec.Struct, tag="pong", frozen=True):
    pass


class StreamCreated(msgspec.Struct, tag="stream_created", frozen=True, kw_only=True, omit_defaults=True):
    stream_id: str
    sample_rate: int | None = None
    utterance: str | None = None
    names_utterances: bool = False
    """True in an answer to `init` if text that names its utterance gets a stream announced by that name."""


class SegmentComplete(msgspec.Struct, tag="segment_complete", frozen=True, kw_only=True, omit_defaults=True):
    segment: int | msgspec.UnsetType = msgspec.UNSET
    audio_ms: float | msgspec.UnsetType = msgspec.UNSET
    utterance: str | None = None
    words: list[tuple[str, int, int]] | None = None
    words_estimated: bool = False
    """True if the words' times are estimated from the text, not taken from the audio."""
    unspoken: str | None = None
    """Part of the text that could not be spoken."""


class Done(msgspec.Struct, tag="done", frozen=True, kw_only=True, omit_defaults=True):
    total_audio_ms: float | msgspec.UnsetType = msgspec.UNSET
    segments_generated: int | msgspec.UnsetType = msgspec.UNSET
    utterance: str | None = None


class Cancelled(msgspec.Struct, tag="cancelled", frozen=True, kw_only=True, omit_defaults=True):
    utterance: str | None = None


class TtsError(msgspec.Struct, tag="error", frozen=True, kw_only=True):
    message: str
    fatal: bool = False
    utterance: str | msgspec.UnsetType | None = msgspec.UNSET
    """Utterance whose segment failed; a `segment_complete` follows."""


FROM_CLIENT = Decoder((Init, Text, Close, Cancel, Ping))
FROM_SERVER = Decoder((StreamCreated, SegmentComplete, Done, Cancelled, TtsError, Pong))


# ------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class StreamStarted:
    utterance: str
    sample_rate: int | None


@dataclass(frozen=True, slots=True)
class AudioReceived:
    utterance: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class SegmentSpoken:
    """End of a segment: all its audio has been received."""

    utterance: str
    audio_ms: float | None
    words: tuple[tuple[str, int, int], ...] = ()
    words_estimated: bool = False
    unspoken: str = ""


@dataclass(frozen=True, slots=True)
class UtteranceDone:
    utterance: str


@dataclass(frozen=True, slots=True)
class SynthesisFailed:
    message: str
    fatal: bool
    utterance: str | None = None
    """The wanted utterance whose segment failed, where the server says so."""


Event = StreamStarted | AudioReceived | SegmentSpoken | UtteranceDone | SynthesisFailed


# --------------------------------------------------------------------------------------- asks


@dataclass(frozen=True, slots=True)
class Speak:
    """One segment that a caller wants spoken."""

    utterance: str
    text: str
    mode: Mode = "stream"
    preset: str | None = None


@dataclass(frozen=True, slots=True)
class FinishUtterance:
    """End of an utterance's text."""

    utterance: str


Ask = Speak | FinishUtterance | Init
