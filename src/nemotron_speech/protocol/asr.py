"""Streaming recognition on the wire (docs/protocols.md, section 1): messages, and both ends as machines.

The one rule everything hangs on: each reset is answered by exactly one final, which covers exactly the
audio sent before it. Resets travel in order with the audio, so no timer decides what a final contains.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

import msgspec

from nemotron_speech.errors import BadRequest, PeerError, require
from nemotron_speech.protocol.wire import Decoder, WholeSamples, check_audio_size, encode

SAMPLE_RATE = 16000


# ----------------------------------------------------------------------------------- messages


class Reset(msgspec.Struct, tag="reset", frozen=True, kw_only=True, omit_defaults=True):
    finalize: bool = True
    id: str | None = None


class End(Reset, tag="end", frozen=True, kw_only=True, omit_defaults=True):
    """An alias of reset."""


class Ready(msgspec.Struct, tag="ready", frozen=True, omit_defaults=True):
    events: tuple[str, ...] = ()
    """Names of the requested events that this server sends."""


class Transcript(msgspec.Struct, tag="transcript", frozen=True, kw_only=True, omit_defaults=True):
    text: str
    is_final: bool | msgspec.UnsetType = msgspec.UNSET
    finalize: bool | msgspec.UnsetType = msgspec.UNSET
    id: str | None = None
    flushed: bool = False
    """True in the answer to a soft reset with an id: all audio before it is covered, the last word too."""
    start_ms: int | None = None
    end_ms: int | None = None
    words: list[tuple[str, int, int]] | None = None
    confidences: list[float] | None = None
    offset: int = 0


class EndOfUtterance(msgspec.Struct, tag="eou", frozen=True, kw_only=True, omit_defaults=True):
    """The model takes the speaker to have finished, with the audio up to here."""

    end_ms: int | None = None


class AsrError(msgspec.Struct, tag="error", frozen=True, kw_only=True):
    message: str


_FROM_CLIENT = Decoder((Reset, End))
_FROM_SERVER = Decoder((Ready, Transcript, EndOfUtterance, AsrError))

EVENTS = ("eou",)
"""Events that a server sends only to clients that ask for them."""


# ------------------------------------------------------------------------------------- server


class Audio(msgspec.Struct, frozen=True):
    """Whole samples, PCM16LE."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class ResetRequested:
    finalize: bool
    id: str | None


@dataclass(frozen=True, slots=True)
class SentUtterance:
    """Content of a final, about the audio that it covers. Times are milliseconds of the stream."""

    text: str
    start_ms: int | None = None
    end_ms: int | None = None
    words: list[tuple[str, int, int]] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    """Confidence of each word, from 0 to 1; empty where the engine knows none."""
    offset: int = 0
    """Characters of the utterance before `text` that are no longer known."""


class TranscriptDiff:
    """Difference between a growing transcript and what the client has been told of it."""

    def __init__(self) -> None:
        self.restart()

    def restart(self, text: str = "") -> None:
        """Say that the client knows `text`, from a final."""
        self._told = (text, 0)
        self._ended: tuple[str, int] | None = None

    def interim(self, text: str, offset: int) -> bool:
        """Return True if this text differs from the one before."""
        changed = (text, offset) != self._told
        self._told = (text, offset)
        return changed

    def ended(self) -> bool:
        """Return True if the end of an utterance is news: once for each text."""
        news = bool(self._told[0]) and self._ended != self._told
        self._ended = self._told
        return news


def events_of(wanted: Iterable[str]) -> frozenset[str]:
    """Return the events a client asks for. Raises BadRequest with those there are."""
    names = frozenset(name.strip() for name in wanted if name.strip())
    for name in sorted(names):
        require("event", name, EVENTS)
    return names


class AsrServer:
    """One caller as the server sees it.

    Args:
        events: Events that the client asked for; see `events_of`.
    """

    def __init__(self, events: Collection[str] = ()) -> None:
        self._events = events
        self._samples = WholeSamples()
        self._news = TranscriptDiff()

    def ready(self, events: Collection[str] = ()) -> str:
        """Return the greeting; `events` are those the engine can tell of."""
        return encode(Ready(tuple(sorted(set(events) & set(self._events)))))

    def receive(self, message: str | bytes) -> Audio | ResetRequested:
        """Understand one message. Raises BadRequest or TooLarge, after which the caller is let go."""
        if isinstance(message, str):
            reset = _FROM_CLIENT.decode(message)
            if reset.finalize:
                self._samples.restart()
            return ResetRequested(reset.finalize, reset.id)
        check_audio_size(message)
        return Audio(self._samples.of(message))

    def interim(self, text: str, end_ms: int | None = None, offset: int = 0) -> str | None:
        """Return the message for a changed interim text, or None when there is nothing new to say."""
        if not self._news.interim(text, offset):
            return None
        return encode(Transcript(text=text, is_final=False, end_ms=end_ms, offset=offset))

    def ended(self, end_ms: int | None = None) -> str | None:
        """Return the message that the utterance has ended; None if it is not asked for, or no news."""
        if "eou" not in self._events or not self._news.ended():
            return None
        return encode(EndOfUtterance(end_ms=end_ms))

    def before_final(self, heard: SentUtterance) -> str | None:
        """Return what is sent just before a final: nothing."""
        return None

    def final(self, reset: ResetRequested, heard: SentUtterance) -> str:
        """Return the one answer to `reset`."""
        self._news.restart("" if reset.finalize else heard.text)
        return encode(
            Transcript(
                text=heard.text,
                is_final=True,
                finalize=reset.finalize,
                id=reset.id,
                flushed=reset.id is not None and not reset.finalize,
                start_ms=heard.start_ms,
                end_ms=heard.end_ms,
                words=heard.words or None,
                confidences=heard.confidences or None,
                offset=heard.offset,
            )
        )


# ------------------------------------------------------------------------------------- client


@dataclass(frozen=True, slots=True)
class Interim:
    text: str
    end_ms: int | None = None
    """Audio since the connection began that the text covers, where the server says so."""
    offset: int = 0
    """Characters of the utterance before `text`, which have not changed; 0 but in very long utterances."""


@dataclass(frozen=True, slots=True)
class Final:
    """The answer to the reset that `reset()` named `id`."""

    id: str
    text: str
    finalize: bool
    words: tuple[tuple[str, int, int], ...] = ()
    start_ms: int | None = None
    end_ms: int | None = None
    confidences: tuple[float, ...] = ()
    """Confidence of each of `words`, from 0 to 1; empty where the server reports none."""
    flushed: bool = False
    """True if the server says that the text covers all audio before the reset; a hard one's always does."""


class ClientState(Enum):
    CONNECTING = auto()
    READY = auto()
    FAILED = auto()


class AsrClient:
    """One connection to a recogniser; a new connection needs a new machine."""

    def __init__(self) -> None:
        self.state = ClientState.CONNECTING
        self._pending: deque[tuple[str, bool]] = deque()
        self._count = 0

    @property
    def pending(self) -> tuple[str, ...]:
        """Ids of the resets not answered yet, oldest first."""
        return tuple(id for id, _ in self._pending)

    def reset(self, finalize: bool = True) -> tuple[str, str]:
        """Return the id of a new reset and the message that asks for it."""
        self._count += 1
        id = f"r{self._count}"
        self._pending.append((id, finalize))
        return id, encode(Reset(finalize=finalize, id=id))

    def receive(self, message: str) -> Ready | Interim | EndOfUtterance | Final | AsrError | None:
        """Understand one message; None for one this client does not know. Raises PeerError."""
        try:
            decoded = _FROM_SERVER.decode_known(message)
        except BadRequest as error:
            raise PeerError(f"the recogniser broke the protocol: {error}") from None
        match decoded:
            case Ready():
                self.state = ClientState.READY
            case AsrError():
                self.state = ClientState.FAILED
            case Transcript():
                return self._transcript(decoded)
        return decoded

    def _transcript(self, message: Transcript) -> Interim | Final:
        if message.is_final is not True:
            return Interim(message.text, message.end_ms, message.offset)
        id, finalize = self._answered(message)
        return Final(
            id,
            message.text,
            # One that does not say it knows no other resets: it has begun afresh.
            finalize or message.finalize is not False,
            tuple(message.words or ()),
            message.start_ms,
            message.end_ms,
            tuple(message.confidences or ()),
            message.flushed,
        )

    def _answered(self, message: Transcript) -> tuple[str, bool]:
        """Take out the oldest reset: a final answers it even without an id. Raises PeerError for another."""
        if not self._pending:
            raise PeerError("the recogniser sent a final nobody asked for")
        if message.id is not None and message.id != self._pending[0][0]:
            raise PeerError(f"the recogniser answered reset {message.id!r} before {self._pending[0][0]!r}")
        return self._pending.popleft()
