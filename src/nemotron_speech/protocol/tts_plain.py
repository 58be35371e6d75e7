"""Streaming synthesis, the caller's end, with a server that names nothing.

Such a server speaks what it is asked for in order, so audio belongs to the oldest segment that is not
complete. The client has to know where the audio of a cancelled answer ends. The server answers messages in
order: a `ping` behind every `cancel` comes back as the `pong` that nothing old can follow. For a server that
answers no pings the client counts announcements: so many are due, and new audio follows only the last.

A text behind a `close` makes such a server forget what it has not spoken, and so does an `init`: both wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

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
    Ping,
    Pong,
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


class _Stream(Enum):
    """The server's newest stream, as far as it can be known."""

    OPEN = auto()
    """Open stream: text joins it, without a message from the server."""
    CLOSED = auto()
    """Closed stream: it ends with `done`, and text sent before that loses what it has not spoken."""
    OVER = auto()
    """Ended stream: the next text begins another one, which the server announces."""


@dataclass(eq=False, slots=True)
class _Asked:
    """One segment that the server has been sent."""

    ask: Speak
    failed: bool = False


class PlainTalk:
    """Record of everything asked of a server that names nothing, in order.

    Args:
        send: Takes the messages for the server.
        joins: True if the first text joins a stream that was announced already.
        answers_pings: True if the server is known to answer pings.
        pings: How many it was sent and has not answered.
    """

    def __init__(self, send: Send, *, joins: bool, answers_pings: bool, pings: int) -> None:
        self._send = send
        self._stream = _Stream.OPEN if joins else _Stream.OVER
        self._answers_pings = answers_pings
        self._pongs_due = pings
        self._announcements_due = 0
        self._is_of_init = False
        """True if the newest stream began with an `init`; the stream before then ends with its own `done`."""
        self._waiting: deque[Ask] = deque()
        """Not sent yet."""
        self._asked: deque[_Asked] = deque()
        """Sent, and not complete."""
        self._last = ""
        """The utterance of the text sent last."""
        self._wanted: dict[str, None] = {}
        self._finished: set[str] = set()
        self._rate: int | None = None
        self._started: str | None = None
        """The utterance whose beginning has been told."""

    @property
    def wanted(self) -> tuple[str, ...]:
        return tuple(self._wanted)

    def ask(self, ask: Ask) -> None:
        if isinstance(ask, Speak):
            self._wanted[ask.utterance] = None
            self._finished.discard(ask.utterance)
        self._waiting.append(ask)
        self._go_on()

    def cancel(self) -> None:
        self._waiting = deque(ask for ask in self._waiting if isinstance(ask, Init))
        self._wanted.clear()
        self._finished.clear()
        self._forget()
        self._go_on()

    def audio(self, pcm: bytes) -> tuple[Event, ...]:
        if not self._is_new:
            return ()
        skipped = self._skip_failed()
        if not self._asked:
            return skipped
        utterance = self._asked[0].ask.utterance
        return (*skipped, *self._start(utterance), AudioReceived(utterance, pcm))

    def receive(self, message: msgspec.Struct) -> tuple[Event, ...]:
        match message:
            case Pong():
                self._answers_pings = True
                self._pongs_due = max(0, self._pongs_due - 1)
                return ()
            case StreamCreated():
                return self._announced(message)
            case _ if not self._is_new:
                return ()
            case SegmentComplete() if self._asked:
                return (_spoken(self._asked.popleft(), message), *self._go_on())
            case Done() if self._stream is _Stream.CLOSED and not (
                self._is_of_init and self._announcements_due
            ):
                return self._done()
            case TtsError():
                return self._error(message)
        return ()

    # ---------------------------------------------------------------------------- what is sent

    def _go_on(self) -> tuple[Event, ...]:
        """Send what need not wait any more; return which utterances are over."""
        while self._waiting and self._may_send(self._waiting[0]):
            self._do(self._waiting.popleft())
        if self._stream is _Stream.OPEN and self._last in self._finished and not self._waiting:
            self._stream = _Stream.CLOSED
            self._send(Close())
        return tuple(map(UtteranceDone, self._settled()))

    def _may_send(self, ask: Ask) -> bool:
        match ask:
            case Speak():
                return self._stream is not _Stream.CLOSED
            case Init():
                return self._stream is not _Stream.CLOSED and not self._asked
            case FinishUtterance():
                return True

    def _do(self, ask: Ask) -> None:
        match ask:
            case Speak():
                self._say(ask)
            case FinishUtterance(utterance) if utterance in self._wanted and not self._is_waiting(utterance):
                self._finished.add(utterance)
            case Init():
                self._begin_stream()
                self._is_of_init = True
                self._send(ask)

    def _say(self, ask: Speak) -> None:
        if self._stream is not _Stream.OPEN:
            self._begin_stream()
        self._last = ask.utterance
        self._asked.append(_Asked(ask))
        self._send(Text(text=ask.text, mode=ask.mode, preset=ask.preset))

    def _is_waiting(self, utterance: str) -> bool:
        return any(isinstance(ask, Speak) and ask.utterance == utterance for ask in self._waiting)

    def _begin_stream(self) -> None:
        self._stream, self._last, self._started = _Stream.OPEN, "", None
        self._is_of_init = False
        self._announcements_due += 1

    def _forget(self) -> None:
        """Have the server drop all it was asked for."""
        self._asked.clear()
        self._stream = _Stream.OVER
        self._send(Cancel())
        self._send(Ping())
        self._pongs_due += 1

    def _settled(self) -> list[str]:
        """Take the utterances that are finished and of which nothing is left to speak."""
        asked = {asked.ask.utterance for asked in self._asked}
        over = [one for one in self._wanted if one in self._finished - asked and not self._is_waiting(one)]
        for utterance in over:
            del self._wanted[utterance]
            self._finished.discard(utterance)
        return over

    # -------------------------------------------------------------------------- what is received

    @property
    def _is_new(self) -> bool:
        """True if what arrives now was asked for after the last cancel."""
        return self._pongs_due == 0 if self._answers_pings else self._announcements_due == 0

    def _announced(self, message: StreamCreated) -> tuple[Event, ...]:
        self._rate = message.sample_rate or self._rate
        if not self._announcements_due and not self._asked:
            self._stream = _Stream.OPEN  # a late answer to the first init
        self._announcements_due = max(0, self._announcements_due - 1)
        return self._start(self._asked[0].ask.utterance) if self._is_new and self._asked else ()

    def _start(self, utterance: str) -> tuple[Event, ...]:
        if self._started == utterance:
            return ()
        self._started = utterance
        return (StreamStarted(utterance, self._rate),)

    def _skip_failed(self) -> tuple[Event, ...]:
        """Complete a failed segment that the server did not: audio behind its error is the next segment's."""
        if not self._asked or not self._asked[0].failed:
            return ()
        return (SegmentSpoken(self._asked.popleft().ask.utterance, None), *self._go_on())

    def _done(self) -> tuple[Event, ...]:
        """End the stream; segments that were not reported complete end without a report."""
        missed = [SegmentSpoken(asked.ask.utterance, None) for asked in self._asked]
        self._asked.clear()
        self._stream = _Stream.OVER
        return (*missed, *self._go_on())

    def _error(self, message: TtsError) -> tuple[Event, ...]:
        if not self._asked:
            return (SynthesisFailed(message.message, message.fatal),)
        utterance = self._asked[0].ask.utterance
        self._asked[0].failed = True
        error = SynthesisFailed(message.message, message.fatal, utterance)
        return (error, *self._ask_again()) if message.fatal else (error,)

    def _ask_again(self) -> tuple[Event, ...]:
        """Give up the segment in which a fatal error ended the stream, and ask for the others again."""
        failed, *others = self._asked
        self._waiting.extendleft(reversed([asked.ask for asked in others]))
        self._forget()
        return (SegmentSpoken(failed.ask.utterance, None), *self._go_on())


def _spoken(asked: _Asked, message: SegmentComplete) -> SegmentSpoken:
    audio_ms = None if message.audio_ms is msgspec.UNSET else message.audio_ms
    return SegmentSpoken(asked.ask.utterance, audio_ms, tuple(message.words or ()), message.words_estimated)
