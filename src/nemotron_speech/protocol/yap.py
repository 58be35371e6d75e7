"""Many-caller recognition on the wire (docs/protocols.md, section 2): messages, and both ends as machines.

A caller says `init`, then sends audio. Each `flush`, and the `close` at the end, is answered by exactly one
final that covers exactly the audio sent before it. Transcripts carry the caller's `sid` and the time of day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

import msgspec

from nemotron_speech.errors import BadRequest, PeerError
from nemotron_speech.protocol.asr import (
    SAMPLE_RATE,
    Audio,
    ResetRequested,
    SentUtterance,
    TranscriptDiff,
    events_of,
)
from nemotron_speech.protocol.wire import Decoder, WholeSamples, check_audio_size, encode

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 8000, 96000
MAX_SID_CHARACTERS = 256
_NO_INIT = 'say {"op":"init","sid":"...","sr":16000} first'
_CLOSED = "the session is closed"


# ----------------------------------------------------------------------------------- messages


class YapInit(msgspec.Struct, tag_field="op", tag="init", frozen=True, kw_only=True, omit_defaults=True):
    sid: str
    sr: int = SAMPLE_RATE
    language: str | None = None
    events: tuple[str, ...] = ()


class YapFlush(msgspec.Struct, tag_field="op", tag="flush", frozen=True, kw_only=True, omit_defaults=True):
    sid: str | None = None


class YapClose(msgspec.Struct, tag_field="op", tag="close", frozen=True, kw_only=True, omit_defaults=True):
    sid: str | None = None


class YapInterim(
    msgspec.Struct, tag_field="op", tag="interim", frozen=True, kw_only=True, omit_defaults=True
):
    sid: str
    text: str
    final: bool | msgspec.UnsetType = msgspec.UNSET
    ts: int | msgspec.UnsetType = msgspec.UNSET
    """Unix time in milliseconds."""
    end_ms: int | None = None
    """Audio since the connection began that the text covers."""
    offset: int = 0
    """Characters of the utterance before `text`."""


class YapFinal(YapInterim, tag_field="op", tag="final", frozen=True, kw_only=True, omit_defaults=True):
    start_ms: int | None = None
    words: list[tuple[str, int, int]] | None = None
    confidences: list[float] | None = None


class YapEndOfUtterance(
    msgspec.Struct, tag_field="op", tag="eou", frozen=True, kw_only=True, omit_defaults=True
):
    sid: str
    ts: int | msgspec.UnsetType = msgspec.UNSET
    end_ms: int | None = None


class YapError(msgspec.Struct, tag_field="op", tag="error", frozen=True, kw_only=True, omit_defaults=True):
    message: str
    sid: str | None = None


_FROM_CLIENT = Decoder((YapInit, YapFlush, YapClose), "op")
_FROM_SERVER = Decoder((YapInterim, YapFinal, YapEndOfUtterance, YapError), "op")


# ------------------------------------------------------------------------------------- server


@dataclass(frozen=True, slots=True)
class Opened:
    """The caller said who it is; its audio comes next."""

    sid: str
    sample_rate: int
    language: str | None


@dataclass(frozen=True, slots=True)
class CloseRequested:
    """Answer this as a reset, then close the socket."""

    reset: ResetRequested


class _State(Enum):
    NEW = auto()
    OPEN = auto()
    CLOSED = auto()


class YapServer:
    """One caller as the server sees it.

    Args:
        now_ms: The time of day, in milliseconds of Unix time.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._state = _State.NEW
        self._sid = ""
        self._samples = WholeSamples()
        self._events: frozenset[str] = frozenset()
        self._news = TranscriptDiff()

    @property
    def sid(self) -> str:
        """Id of the caller; empty until the caller has sent it."""
        return self._sid

    @property
    def closed(self) -> bool:
        """True if the caller has said `close`."""
        return self._state is _State.CLOSED

    def receive(self, message: str | bytes) -> Opened | Audio | ResetRequested | CloseRequested:
        """Understand one message. Raises BadRequest or TooLarge, after which the caller is let go."""
        if isinstance(message, bytes):
            return self._audio(message)
        match self._state, _FROM_CLIENT.decode(message):
            case _State.NEW, YapInit() as init:
                return self._open(init)
            case _State.NEW, _:
                raise BadRequest(_NO_INIT)
            case _State.OPEN, YapInit():
                raise BadRequest(f"this connection is session {self._sid!r}; another needs its own")
            case _State.OPEN, YapFlush(sid=sid):
                return self._reset(sid)
            case _State.OPEN, YapClose(sid=sid):
                reset = self._reset(sid)
                self._state = _State.CLOSED
                return CloseRequested(reset)
        raise BadRequest(_CLOSED)

    def interim(self, text: str, end_ms: int | None = None, offset: int = 0) -> str | None:
        """Return the message for a changed interim text, or None when there is nothing new to say."""
        if not self._news.interim(text, offset):
            return None
        return encode(
            YapInterim(sid=self._sid, text=text, final=False, ts=self._now_ms(), end_ms=end_ms, offset=offset)
        )

    def ended(self, end_ms: int | None = None) -> str | None:
        """Return the message that the utterance has ended; None if it is not asked for, or no news."""
        if "eou" not in self._events or not self._news.ended():
            return None
        return encode(YapEndOfUtterance(sid=self._sid, ts=self._now_ms(), end_ms=end_ms))

    def before_final(self, heard: SentUtterance) -> str | None:
        """Return the final's text as a last interim, for clients that know no finals; None if no news."""
        return self.interim(heard.text, heard.end_ms, heard.offset)

    def final(self, reset: ResetRequested, heard: SentUtterance) -> str:
        """Return the one answer to a flush or a close; they are answered in order."""
        self._news.restart()
        return encode(
            YapFinal(
                sid=self._sid,
                text=heard.text,
                final=True,
                ts=self._now_ms(),
                start_ms=heard.start_ms,
                end_ms=heard.end_ms,
                words=heard.words or None,
                confidences=heard.confidences or None,
                offset=heard.offset,
            )
        )

    def _audio(self, data: bytes) -> Audio:
        if self._state is not _State.OPEN:
            raise BadRequest(_NO_INIT if self._state is _State.NEW else _CLOSED)
        check_audio_size(data)
        return Audio(self._samples.of(data))

    def _open(self, init: YapInit) -> Opened:
        if not init.sid or len(init.sid) > MAX_SID_CHARACTERS:
            raise BadRequest(f"a sid has 1 to {MAX_SID_CHARACTERS} characters")
        if not MIN_SAMPLE_RATE <= init.sr <= MAX_SAMPLE_RATE:
            raise BadRequest(f"sr is {init.sr}; allowed: {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz")
        self._events = events_of(init.events)
        self._state, self._sid = _State.OPEN, init.sid
        return Opened(init.sid, init.sr, init.language)

    def _reset(self, sid: str | None) -> ResetRequested:
        if sid not in (None, self._sid):
            raise BadRequest(f"this connection is session {self._sid!r}, not {sid[:40]!r}")
        self._samples.restart()
        return ResetRequested(finalize=True, id=None)


# ------------------------------------------------------------------------------------- client


class YapClient:
    """One connection to a many-caller recogniser; a new connection needs a new machine."""

    def __init__(
        self,
        sid: str,
        sample_rate: int = SAMPLE_RATE,
        language: str | None = None,
        events: tuple[str, ...] = (),
    ) -> None:
        self.sid = sid
        self._init = YapInit(sid=sid, sr=sample_rate, language=language, events=events)
        self._pending = 0

    @property
    def pending(self) -> int:
        """Finals asked for and not received yet."""
        return self._pending

    def init(self) -> str:
        return encode(self._init)

    def flush(self) -> str:
        """Return the message that ends the utterance and keeps the connection."""
        self._pending += 1
        return encode(YapFlush(sid=self.sid))

    def close(self) -> str:
        """Return the message that ends the utterance and the connection."""
        self._pending += 1
        return encode(YapClose(sid=self.sid))

    def receive(self, message: str) -> YapInterim | YapFinal | YapEndOfUtterance | YapError | None:
        """Understand one message; None for one this client does not know. Raises PeerError."""
        try:
            decoded = _FROM_SERVER.decode_known(message)
        except BadRequest as error:
            raise PeerError(f"the recogniser broke the protocol: {error}") from None
        if isinstance(decoded, YapInterim | YapEndOfUtterance) and decoded.sid != self.sid:
            raise PeerError(f"the recogniser sent a text of {decoded.sid!r} to {self.sid!r}")
        if isinstance(decoded, YapFinal):
            if not self._pending:
                raise PeerError("the recogniser sent a final nobody asked for")
            self._pending -= 1
        return decoded
