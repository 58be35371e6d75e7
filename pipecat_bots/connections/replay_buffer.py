"""Audio sent to a recogniser and not answered yet, so that a new connection can be told it again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UtteranceEnd:
    """The end of an utterance, to be answered by one final."""

    number: int


class ReplayBuffer:
    """Audio and marks in the order they happened, with a cursor at what is to be sent next.

    The buffer is bounded: the newest `limit_s` of audio; of silence, `idle_s` behind the newest mark. So
    an utterance that waits for a lost server is not pushed out by the silence after it.
    """

    def __init__(self, bytes_per_second: int, limit_s: float = 10.0, idle_s: float = 1.0) -> None:
        self._limit = int(limit_s * bytes_per_second)
        self._idle = int(idle_s * bytes_per_second)
        self._items: deque[bytes | UtteranceEnd] = deque()
        self._unsent = 0
        self._bytes = self._open_bytes = 0
        """Bytes of all audio; bytes of the audio behind the newest mark."""
        self._open_items = 0
        self._count = 0
        self.speaking = False
        """True while the user speaks: then all audio up to the limit may matter."""

    @property
    def pending(self) -> tuple[int, ...]:
        """Numbers of the marks not answered yet, oldest first."""
        return tuple(item.number for item in self._items if isinstance(item, UtteranceEnd))

    @property
    def last_mark(self) -> int:
        """The newest mark's number; 0 before the first."""
        return self._count

    def audio(self, pcm: bytes) -> None:
        self._append(pcm)
        self._bytes += len(pcm)
        self._open_bytes += len(pcm)
        self._open_items += 1
        while not self.speaking and self._open_bytes > self._idle:
            self._drop(len(self._items) - self._open_items)
        while self._bytes > self._limit:
            self._drop(self._oldest_audio())

    def mark(self) -> UtteranceEnd:
        """End the utterance here."""
        self._count += 1
        mark = UtteranceEnd(self._count)
        self._append(mark)
        self._open_bytes = self._open_items = 0
        return mark

    def answered(self, number: int) -> None:
        """Forget everything up to this mark."""
        if number not in self.pending:
            return
        while True:
            item = self._drop(0)
            if isinstance(item, UtteranceEnd) and item.number == number:
                return

    def next(self) -> bytes | UtteranceEnd | None:
        """Take what is to be sent next; None when everything was."""
        if not self._unsent:
            return None
        item = self._items[-self._unsent]
        self._unsent -= 1
        return item

    def rewind(self) -> None:
        """Mark all that is kept as unsent."""
        self._unsent = len(self._items)

    def _append(self, item: bytes | UtteranceEnd) -> None:
        self._items.append(item)
        self._unsent += 1

    def _oldest_audio(self) -> int:
        return next(i for i, item in enumerate(self._items) if not isinstance(item, UtteranceEnd))

    def _drop(self, index: int) -> bytes | UtteranceEnd:
        """Forget one item, sent or not."""
        item, behind = self._items[index], len(self._items) - index
        del self._items[index]
        self._unsent -= behind <= self._unsent
        if not isinstance(item, UtteranceEnd):
            self._bytes -= len(item)
            if behind <= self._open_items:
                self._open_bytes -= len(item)
                self._open_items -= 1
        return item
