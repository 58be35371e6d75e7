"""Client side of the benchmark's callers, for either protocol of the recognisers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from nemotron_speech.errors import BadRequest, PeerError
from nemotron_speech.protocol import asr, yap

MessageT = TypeVar("MessageT")


@dataclass(frozen=True, slots=True)
class Began:
    """Permission to send audio."""


@dataclass(frozen=True, slots=True)
class TranscriptHeard:
    """Interim from the server; it covers the audio up to here, if the server says so."""

    end_ms: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """Final from the server."""

    text: str


@dataclass(frozen=True, slots=True)
class Complained:
    """Error message of a server that closes next."""

    reason: str


Event = Began | TranscriptHeard | Answered | Complained | None


class Dialect(Protocol):
    """One caller's side of a protocol."""

    def hello(self) -> str | None:
        """Return what is said before the first audio; None to wait for `Began`."""
        ...

    def end(self, last: bool) -> str:
        """Return what asks for a final; after the `last` one the connection ends."""
        ...

    def receive(self, message: str) -> Event:
        """Understand a message. Raises PeerError."""
        ...


class StreamingDialect:
    """The streaming protocol (docs/protocols.md, section 1)."""

    def __init__(self) -> None:
        self._machine = asr.AsrClient()

    def hello(self) -> None:
        return None

    def end(self, last: bool) -> str:
        return self._machine.reset()[1]

    def receive(self, message: str) -> Event:
        match _understood(self._machine.receive, message, "op", 2):
            case asr.Ready():
                return Began()
            case asr.Interim(text, end_ms):
                return TranscriptHeard(end_ms, text)
            case asr.Final(text=text):
                return Answered(text)
            case asr.AsrError(message=reason):
                return Complained(reason)
        return None


class YapDialect:
    """The many-caller protocol (section 2)."""

    def __init__(self, sid: str) -> None:
        self._machine = yap.YapClient(sid)

    def hello(self) -> str:
        return self._machine.init()

    def end(self, last: bool) -> str:
        return self._machine.close() if last else self._machine.flush()

    def receive(self, message: str) -> Event:
        match _understood(self._machine.receive, message, "type", 1):
            case yap.YapFinal(text=text):
                return Answered(text)
            case yap.YapInterim(text=text, end_ms=end_ms):
                return TranscriptHeard(end_ms, text)
            case yap.YapError(message=reason):
                return Complained(reason)
        return None


def dialect(protocol: int, sid: str) -> Dialect:
    """Return one caller's side of protocol 1 or 2. Raises BadRequest."""
    if protocol not in (1, 2):
        raise BadRequest(f"there is no protocol {protocol}; allowed: 1 (streaming), 2 (many callers)")
    return YapDialect(sid) if protocol == 2 else StreamingDialect()


def _understood(receive: Callable[[str], MessageT], message: str, foreign: str, number: int) -> MessageT:
    """Return what `receive` makes of a message; one of protocol `number` begins with the field `foreign`."""
    try:
        return receive(message)
    except PeerError:
        if message.replace(" ", "").startswith(f'{{"{foreign}":'):
            raise PeerError(f"this server speaks the other protocol; try --protocol {number}") from None
        raise
