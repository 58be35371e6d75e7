"""The text of one utterance as it grows, at the same cost per word however long it is.

The newest part is at hand for interims; what is older is put away in blocks that only a final joins, and the
oldest is let go of when an utterance has more text than one message should carry.
"""

from __future__ import annotations

from collections import deque

RECENT_CHARACTERS = 4000
"""Least number of newest characters in an interim: five minutes of speech."""
MOST_CHARACTERS = 65_536
"""Most characters of a final: more than an hour of speech without a reset."""
MOST_WORDS = 512
"""Most words of an utterance whose times are known: the newest."""


class RunningText:
    """A text that grows at its end."""

    def __init__(self) -> None:
        self.recent = ""
        """The newest part: at most twice `RECENT_CHARACTERS`, and all of a text that is no longer."""
        self._blocks: deque[str] = deque()
        self._put_away = 0
        self.dropped = 0
        """Characters at the beginning that are no longer known."""

    @property
    def offset(self) -> int:
        """Index of the first character of `recent` in the text."""
        return self.dropped + self._put_away

    @property
    def whole(self) -> str:
        """Text from `dropped` on."""
        return "".join((*self._blocks, self.recent))

    def append(self, piece: str) -> None:
        self.recent += piece
        if len(self.recent) > 2 * RECENT_CHARACTERS:
            self._put_some_away()

    def copy(self) -> RunningText:
        """Return an equal text that grows on its own."""
        copy = RunningText()
        copy.recent, copy.dropped = self.recent, self.dropped
        copy._blocks, copy._put_away = self._blocks.copy(), self._put_away
        return copy

    def _put_some_away(self) -> None:
        cut = len(self.recent) - RECENT_CHARACTERS
        cut = self.recent.rfind(" ", 0, cut) + 1 or cut
        self._blocks.append(self.recent[:cut])
        self._put_away += cut
        self.recent = self.recent[cut:]
        while self._put_away + 2 * RECENT_CHARACTERS > MOST_CHARACTERS:
            gone = len(self._blocks.popleft())
            self._put_away -= gone
            self.dropped += gone
