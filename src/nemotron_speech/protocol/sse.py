"""Server-sent events: bytes in any split go in, whole events come out."""

from __future__ import annotations

from dataclasses import dataclass

from nemotron_speech.errors import PeerError

MAX_EVENT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event: its type (`message` unless named) and its data lines joined by newlines."""

    data: str
    type: str = "message"


class SseParser:
    """An incremental parser of the WHATWG event stream format.

    Ids and retry times are ignored: nothing here reconnects. The field `error`, which older llama.cpp
    servers send, counts as data of an event of type `error`.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._after_cr = False
        self._first_line = True
        self._data: list[str] = []
        self._type = ""
        self._size = 0

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take in the next bytes and give the events they complete.

        Raises PeerError for an event of more than 4 MiB.
        """
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        self._after_cr = self._after_cr or data.endswith(b"\r")
        lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        events: list[SseEvent] = []
        for line in lines[:-1]:
            self._line += line
            event = self._take_line(self._line.decode(errors="replace"))
            self._line.clear()
            if event is not None:
                events.append(event)
        self._line += lines[-1]
        if self._size + len(self._line) > MAX_EVENT_BYTES:
            raise PeerError(f"the peer sent an event of more than {MAX_EVENT_BYTES} bytes")
        return events

    def finish(self) -> list[SseEvent]:
        """Give the event that the end of the stream left open, if there is one."""
        line, self._line = self._line.decode(errors="replace"), bytearray()
        events = [self._take_line(line) if line else None, self._dispatch()]
        return [event for event in events if event is not None]

    def _take_line(self, line: str) -> SseEvent | None:
        if self._first_line:
            line = line.removeprefix("\ufeff")
            self._first_line = False
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field in ("data", "error"):
            self._data.append(value)
            self._size += len(line)
        if field == "error":
            self._type = "error"
        elif field == "event":
            self._type = value
        return None

    def _dispatch(self) -> SseEvent | None:
        event = SseEvent("\n".join(self._data), self._type or "message") if self._data else None
        self._data, self._type, self._size = [], "", 0
        return event
