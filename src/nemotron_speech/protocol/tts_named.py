"""Streaming synthesis, the caller's end, with a server that names the utterance of every stream.

Each utterance gets an id that is never used again, so whose audio arrives is known exactly, whatever the
timing: from one named `stream_created` to the next it is that utterance's.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from nemotron_speech.protocol.tts import (
    Ask,
    AudioReceived,
    Cancel,
    Close,
    Done,
    Event,
    FinishUtterance,
    Init,
    SegmentComplete,
    SegmentSpoken,
    Speak,
    StreamCreated,
    StreamStarted,
    SynthesisFailed,
    Text,
    TtsError,
    UtteranceDone,
)

Send = Callable[[msgspec.Struct], None]


class NamedTalk:
    """Record of the utterances asked of a server that echoes ids, and of those still wanted."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._names: dict[str, str] = {}
        """Wire id to the caller's name of an utterance that is wanted, oldest first."""
        self._count = 0
        self._open: str | None = None
        """The wire id that further text of the same utterance joins."""
        self._sending: str | None = None
        """The wire id announced last."""

    @property
    def wanted(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._names.values()))

    def ask(self, ask: Ask) -> None:
        match ask:
            case Speak():
                wire = self._wire_id(ask.utterance)
                self._send(Text(text=ask.text, mode=ask.mode, preset=ask.preset, utterance=wire))
            case FinishUtterance(utterance):
                self._finish(utterance)
            case Init():
                self._open = None
                self._send(ask)

    def cancel(self) -> None:
        self._names.clear()
        self._send(Cancel())

    def audio(self, pcm: bytes) -> tuple[Event, ...]:
        utterance = self._names.get(self._sending or "")
        return () if utterance is None else (AudioReceived(utterance, pcm),)

    def receive(self, message: msgspec.Struct) -> tuple[Event, ...]:
        match message:
            case StreamCreated(utterance=str() as wire):
                self._sending = wire
                if wire in self._names:
                    return (StreamStarted(self._names[wire], message.sample_rate),)
            case SegmentComplete(utterance=str() as wire) if wire in self._names:
                return (_spoken(self._names[wire], message),)
            case Done(utterance=str() as wire) if wire in self._names:
                return (UtteranceDone(self._names.pop(wire)),)
            case TtsError():
                return self._error(message)
        return ()

    def _finish(self, utterance: str) -> None:
        if (wire := self._open_wire(utterance)) is not None:
            self._open = None
            self._send(Close(utterance=wire))

    def _wire_id(self, utterance: str) -> str:
        if (wire := self._open_wire(utterance)) is not None:
            return wire
        self._count += 1
        self._open = wire = f"u{self._count}"
        self._names[wire] = utterance
        return wire

    def _open_wire(self, utterance: str) -> str | None:
        """Return the utterance's stream if it is open; text of any other makes the server close it."""
        if self._open is None or self._names.get(self._open) != utterance:
            return None
        return self._open

    def _error(self, message: TtsError) -> tuple[Event, ...]:
        if not isinstance(message.utterance, str):
            return (SynthesisFailed(message.message, message.fatal),)
        utterance = self._names.get(message.utterance)
        if utterance is None and not message.fatal:
            return ()
        return (SynthesisFailed(message.message, message.fatal, utterance),)


def _spoken(utterance: str, message: SegmentComplete) -> SegmentSpoken:
    audio_ms = None if message.audio_ms is msgspec.UNSET else message.audio_ms
    return SegmentSpoken(
        utterance,
        audio_ms,
        tuple(message.words or ()),
        message.words_estimated,
        message.unspoken or "",
    )
