"""Streaming synthesis, the caller's end, whichever habits the server has.

A server says what it is in answer to the first `init`: one of this project promises to name utterances
(`tts_named`), a plain one announces a stream without a name, or nothing before the first text (`tts_plain`).
"""

from __future__ import annotations

from collections import deque

import msgspec

from nemotron_speech.errors import BadRequest, PeerError
from nemotron_speech.protocol.tts import (
    FROM_SERVER,
    Ask,
    Event,
    FinishUtterance,
    Init,
    Mode,
    Ping,
    Pong,
    Speak,
    StreamCreated,
    SynthesisFailed,
    TtsError,
)
from nemotron_speech.protocol.tts_named import NamedTalk
from nemotron_speech.protocol.tts_plain import PlainTalk
from nemotron_speech.protocol.wire import encode


class TtsClient:
    """One connection to a synthesiser; a new connection needs a new machine.

    An utterance is wanted from its first `speak` until it is done or cancelled, and only what belongs to a
    wanted utterance comes out of `receive`. After every call, `to_send` holds the messages that follow from
    it. Nothing but `init` is sent before the server has answered that.
    """

    def __init__(self) -> None:
        self._outbox: list[str] = []
        self._talk: NamedTalk | PlainTalk | None = None
        self._greeted = False
        self.sample_rate: int | None = None
        """Hz, as announced last; None while the server has stated none."""
        self._before: deque[Ask] = deque()
        """Requests made before the server has shown its habits."""

    @property
    def is_understood(self) -> bool:
        """True if the server has shown its habits."""
        return self._talk is not None

    @property
    def wanted(self) -> tuple[str, ...]:
        """The utterances still to be heard, oldest first."""
        if self._talk is not None:
            return self._talk.wanted
        return tuple(dict.fromkeys(ask.utterance for ask in self._before if isinstance(ask, Speak)))

    def init(self, voice: str | None = None, language: str | None = None) -> None:
        """Set the voice of what is spoken from now on."""
        init = Init(voice=voice, language=language)
        if self._greeted:
            self._ask(init)
        else:
            self._greet(init)

    def speak(self, utterance: str, text: str, mode: Mode = "stream", preset: str | None = None) -> None:
        """Queue one segment of `utterance`."""
        if not self._greeted:
            self._greet(Init())
        self._ask(Speak(utterance, text, mode, preset))

    def finish(self, utterance: str) -> None:
        """Say that no more text of `utterance` follows; if nothing is left of it, it is wanted no more."""
        self._ask(FinishUtterance(utterance))

    def cancel(self) -> None:
        """Stop wanting everything asked for so far, and tell the server."""
        if self._talk is not None:
            self._talk.cancel()
        self._before = deque(ask for ask in self._before if isinstance(ask, Init))

    def to_send(self) -> list[str]:
        """Take the messages that are to be sent now."""
        messages, self._outbox = self._outbox, []
        return messages

    def assume_plain(self) -> None:
        """Wait no longer for the server to show its habits."""
        if self._talk is None:
            self._talk_with(PlainTalk(self._send, joins=False, answers_pings=False, pings=1))

    def receive(self, message: str | bytes) -> tuple[Event, ...]:
        """Understand one message; what belongs to no wanted utterance comes to nothing. Raises PeerError."""
        if isinstance(message, bytes):
            return () if self._talk is None else self._talk.audio(message)
        try:
            decoded = FROM_SERVER.decode_known(message)
        except BadRequest as error:
            raise PeerError(f"the synthesiser broke the protocol: {error}") from None
        if isinstance(decoded, StreamCreated):
            self.sample_rate = decoded.sample_rate or self.sample_rate
        if self._talk is not None:
            return () if decoded is None else self._talk.receive(decoded)
        return self._meet(decoded)

    def _meet(self, message: object) -> tuple[Event, ...]:
        match message:
            case StreamCreated(utterance=utterance, names_utterances=names):
                named = names or utterance is not None
                self._talk_with(
                    NamedTalk(self._send)
                    if named
                    else PlainTalk(self._send, joins=True, answers_pings=False, pings=1)
                )
            case Pong():
                self._talk_with(PlainTalk(self._send, joins=False, answers_pings=True, pings=0))
            case TtsError():
                return (SynthesisFailed(message.message, message.fatal),)
        return ()

    def _talk_with(self, talk: NamedTalk | PlainTalk) -> None:
        self._talk = talk
        before, self._before = self._before, deque()
        for ask in before:
            talk.ask(ask)

    def _greet(self, init: Init) -> None:
        """Send a ping with the `init`: a server that answers no `init` still answers the ping."""
        self._greeted = True
        self._send(init)
        self._send(Ping())

    def _ask(self, ask: Ask) -> None:
        if self._talk is None:
            self._before.append(ask)
        else:
            self._talk.ask(ask)

    def _send(self, message: msgspec.Struct) -> None:
        self._outbox.append(encode(message))
