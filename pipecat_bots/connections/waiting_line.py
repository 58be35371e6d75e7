"""Line of those who wait for a place at a server that is full: first come, first served.

One line per server and process. Only its head asks the server, so that a place goes to who has waited longest
and a full server is not asked by everybody.
"""

from __future__ import annotations

import asyncio
from functools import cache


class WaitingLine:
    """Places in line, from 1."""

    def __init__(self) -> None:
        self._waiting: dict[object, None] = {}
        self._moved = asyncio.Event()

    def join(self, caller: object) -> int:
        """Return the caller's place; a caller that waits already keeps it."""
        self._waiting.setdefault(caller)
        return self.place_of(caller)

    def leave(self, caller: object) -> None:
        """Let those behind move up. Does nothing for one that does not wait."""
        if caller in self._waiting:
            del self._waiting[caller]
            self._moved.set()
            self._moved = asyncio.Event()

    def place_of(self, caller: object) -> int:
        """Return the place of a caller; 0 for one that does not wait."""
        waiting = list(self._waiting)
        return waiting.index(caller) + 1 if caller in self._waiting else 0

    async def move(self) -> None:
        """Return when somebody has left the line."""
        await self._moved.wait()


@cache
def line_to(address: str) -> WaitingLine:
    """Return the line of a server, for all conversations of this process."""
    return WaitingLine()
