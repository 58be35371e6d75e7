"""What was said to a recogniser and not answered yet, so that a new connection can be told it again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """The end of an utterance, to be answered by one final."""

    number: int


class Journal:
    """Audio and marks in the order they happened, with a cursor at what is to be sent next.

    What is kept is bounded: `limit_s` of audio, the newest, and only `idle_s` while no mark waits and the
    user is silent.
    """

    def __init__(self, bytes_per_second: int, limit_s: float = 10.0, idle_s: float = 1.0) -> None:
        self._limit = int(limit_s * bytes_per_second)
        self._idle = int(idle_s * bytes_per_second)
        self._items: deque[bytes | Mark] = deque()
        self._unsent = 0
        self._bytes = 0
        self._marks = 0
        self._count = 0
        self.speaking = False
        """Whether the user speaks: then all audio up to the limit may matter."""

    @property
    def pending(self) -> tuple[int, ...]:
        """Numbers of the marks not answered yet, oldest first."""
        return tuple(item.number for item in self._items if isinstance(item, Mark))

    @property
    def last_mark(self) -> int:
        """The newest mark's number; 0 before the first."""
        return self._count

    def audio(self, pcm: bytes) -> None:
        self._append(pcm)
        self._bytes += len(pcm)
        limit = self._limit if self.speaking or self._marks else self._idle
        while self._bytes > limit and not isinstance(self._items[0], Mark):
            self._drop_first()

    def mark(self) -> Mark:
        """End the utterance here."""
        self._count += 1
        mark = Mark(self._count)
        self._append(mark)
        self._marks += 1
        return mark

    def answered(self, number: int) -> None:
        """Forget everything up to this mark."""
        if number not in self.pending:
            return
        while True:
            item = self._drop_first()
            if isinstance(item, Mark) and item.number == number:
                return

    def next(self) -> bytes | Mark | None:
        """Take what is to be sent next; None when everything was."""
        if not self._unsent:
            return None
        item = self._items[-self._unsent]
        self._unsent -= 1
        return item

    def rewind(self) -> None:
        """Everything kept is to be sent again."""
        self._unsent = len(self._items)

    def _append(self, item: bytes | Mark) -> None:
        self._items.append(item)
        self._unsent += 1

    def _drop_first(self) -> bytes | Mark:
        item = self._items.popleft()
        self._unsent = min(self._unsent, len(self._items))
        if isinstance(item, Mark):
            self._marks -= 1
        else:
            self._bytes -= len(item)
        return item
