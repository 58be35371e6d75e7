"""Streaming synthesis on the wire (docs/protocols.md, section 3): the messages, and the caller's end.

Audio carries no id, so what a byte belongs to is said by the last `stream_created` before it. The caller
names its utterances; a server that echoes the names leaves nothing to guess. A server that does not is
followed by a generation counter, which is weaker: see `TtsClient`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from nemotron_speech.errors import BadRequest, PeerError
from nemotron_speech.protocol.wire import Decoder, encode

Mode = Literal["stream", "batch"]


# ----------------------------------------------------------------------------------- messages


class Init(msgspec.Struct, tag="init", frozen=True, kw_only=True, omit_defaults=True):
    voice: str | None = None
    language: str | None = None
    default_mode: Mode | None = None
    sample_rate: int | None = None
    """Another rate of the audio than the model's, in Hz."""


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


class SegmentComplete(msgspec.Struct, tag="segment_complete", frozen=True, kw_only=True, omit_defaults=True):
    segment: int | msgspec.UnsetType = msgspec.UNSET
    audio_ms: float | msgspec.UnsetType = msgspec.UNSET
    utterance: str | None = None
    words: list[tuple[str, int, int]] | None = None
    words_estimated: bool = False
    """Whether the times of the words are worked out from the text, not from the audio."""
    unspoken: str | None = None
    """What of the text could not be spoken."""


class Done(msgspec.Struct, tag="done", frozen=True, kw_only=True, omit_defaults=True):
    total_audio_ms: float | msgspec.UnsetType = msgspec.UNSET
    segments_generated: int | msgspec.UnsetType = msgspec.UNSET
    utterance: str | None = None


class Cancelled(msgspec.Struct, tag="cancelled", frozen=True, kw_only=True, omit_defaults=True):
    utterance: str | None = None


class Error(msgspec.Struct, tag="error", frozen=True, kw_only=True):
    message: str
    fatal: bool = False
    utterance: str | msgspec.UnsetType | None = msgspec.UNSET
    """Whose segment failed; a `segment_complete` follows."""


FROM_CLIENT = Decoder((Init, Text, Close, Cancel, Ping))
_FROM_SERVER = Decoder((StreamCreated, SegmentComplete, Done, Cancelled, Error, Pong))


# ------------------------------------------------------------------------------------- client


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
    """All audio of one segment has been received."""

    utterance: str
    audio_ms: float | None
    words: tuple[tuple[str, int, int], ...] = ()
    words_estimated: bool = False
    unspoken: str = ""


@dataclass(frozen=True, slots=True)
class UtteranceDone:
    utterance: str


@dataclass(frozen=True, slots=True)
class ServerError:
    message: str
    fatal: bool
    utterance: str | None = None
    """The wanted utterance whose segment failed, where the server says so."""


Event = StreamStarted | AudioReceived | SegmentSpoken | UtteranceDone | ServerError


class TtsClient:
    """One connection to a synthesiser; a new connection needs a new machine.

    An utterance is wanted from its first `speak` until it is done or cancelled, and only what belongs to
    a wanted utterance comes out of `receive`. On the wire each gets a fresh id that is never used again,
    so with a server that echoes ids that is exact. With one that does not, a generation counter decides:
    audio is dropped from a cancel until the next `stream_created`, and a `stream_created` of the old
    generation that arrives late opens the gate too early. That hole is in the wire format, not closable
    from this end.
    """

    def __init__(self) -> None:
        self._wanted: dict[str, str] = {}
        """Wire id to the caller's name of the utterance, oldest first."""
        self._count = 0
        self._open: str | None = None
        """The wire id that further text of the same utterance joins."""
        self._sending: str | None = None
        self._gen = self._confirmed_gen = 0

    @property
    def wanted(self) -> tuple[str, ...]:
        """The utterances still to be heard, oldest first."""
        return tuple(dict.fromkeys(self._wanted.values()))

    def init(self, voice: str | None = None, language: str | None = None) -> str:
        """Return the message that sets the voice of what is spoken from now on; it ends the open stream."""
        self._open = None
        return encode(Init(voice=voice, language=language))

    def speak(self, utterance: str, text: str, mode: Mode = "stream", preset: str | None = None) -> str:
        """Return the message that queues one segment of `utterance`."""
        return encode(Text(text=text, mode=mode, preset=preset, utterance=self._wire_id(utterance)))

    def finish(self, utterance: str) -> str | None:
        """Return the message that says no more text of `utterance` follows; None if nothing is open."""
        if (wire := self._open_wire(utterance)) is None:
            return None
        self._open = None
        return encode(Close(utterance=wire))

    def cancel(self) -> str:
        """Stop wanting everything asked for so far; return the message that tells the server."""
        self._wanted.clear()
        self._gen += 1
        return encode(Cancel())

    def receive(self, message: str | bytes) -> Event | None:
        """Understand one message; None for what belongs to no wanted utterance. Raises PeerError."""
        if isinstance(message, bytes):
            utterance = self._heard()
            return AudioReceived(utterance, message) if utterance is not None else None
        try:
            decoded = _FROM_SERVER.decode_known(message)
        except BadRequest as error:
            raise PeerError(f"the synthesiser broke the protocol: {error}") from None
        match decoded:
            case StreamCreated():
                return self._stream_created(decoded)
            case SegmentComplete(utterance=wire):
                return self._segment_complete(decoded, self._subject(wire))
            case Done(utterance=wire):
                return self._done(self._subject(wire))
            case Error():
                return self._error(decoded)
        return None

    def _wire_id(self, utterance: str) -> str:
        if (wire := self._open_wire(utterance)) is not None:
            return wire
        self._count += 1
        self._open = wire = f"u{self._count}"
        self._wanted[wire] = utterance
        return wire

    def _open_wire(self, utterance: str) -> str | None:
        """The server closes a stream when text of another comes, so only the last one can be joined."""
        if self._open is None or self._wanted.get(self._open) != utterance:
            return None
        return self._open

    def _heard(self) -> str | None:
        """Name the wanted utterance that audio arriving now belongs to, if there is one."""
        if self._confirmed_gen != self._gen or self._sending is None:
            return None
        return self._wanted.get(self._sending)

    def _stream_created(self, message: StreamCreated) -> StreamStarted | None:
        if message.utterance is None:
            self._sending = next(iter(self._wanted), None)
            self._confirmed_gen = self._gen
        else:
            self._sending = message.utterance
            self._confirmed_gen = self._gen if message.utterance in self._wanted else -1
        utterance = self._heard()
        return None if utterance is None else StreamStarted(utterance, message.sample_rate)

    def _subject(self, wire: str | None) -> str | None:
        """The wire id of the wanted utterance a message speaks of: the one it names, else the one sent."""
        wire = wire if wire is not None else self._sending if self._heard() is not None else None
        return wire if wire in self._wanted else None

    def _segment_complete(self, message: SegmentComplete, wire: str | None) -> SegmentSpoken | None:
        if wire is None:
            return None
        audio_ms = None if message.audio_ms is msgspec.UNSET else message.audio_ms
        return SegmentSpoken(
            self._wanted[wire],
            audio_ms,
            tuple(message.words or ()),
            message.words_estimated,
            message.unspoken or "",
        )

    def _error(self, message: Error) -> ServerError | None:
        if not isinstance(message.utterance, str):
            return ServerError(message.message, message.fatal)
        utterance = self._wanted.get(message.utterance)
        if utterance is None and not message.fatal:
            return None
        return ServerError(message.message, message.fatal, utterance)

    def _done(self, wire: str | None) -> UtteranceDone | None:
        return None if wire is None else UtteranceDone(self._wanted.pop(wire))
