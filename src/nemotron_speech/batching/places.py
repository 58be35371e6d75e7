"""The places of an engine: who holds one, and who waits for one that is being given back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from nemotron_speech.errors import Full

GIVE_BACK_S = 2.0
"""Longest wait for the place of a caller that has left, in seconds; its last words may still be worked on."""

HasLeft = Callable[[], bool]
"""True if the holder of a place is gone, or has said that it goes, though its place is not free yet."""


class Places:
    """Admission control: at most `capacity` holders; a place that is being given back is worth a short wait.

    A caller that hangs up and calls back finds the place it left. Nobody waits for callers that stay.
    """

    def __init__(self, capacity: Callable[[], int]) -> None:
        self._capacity = capacity
        self._holders: dict[object, HasLeft] = {}
        self._handed_over = 0
        """Places given to a caller that waited for one and has not taken it up yet."""
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Return how many places are taken."""
        return len(self._holders) + self._handed_over

    @asynccontextmanager
    async def one(self, has_left: HasLeft) -> AsyncIterator[None]:
        """Hold a place while the context lasts. Raises Full."""
        if len(self) >= self._capacity():
            await self._wait()
        holder = object()
        self._holders[holder] = has_left
        try:
            yield
        finally:
            del self._holders[holder]
            self._hand_over()

    async def _wait(self) -> None:
        """Wait for a place and take it up."""
        if sum(has_left() for has_left in self._holders.values()) <= len(self._waiting):
            raise self._full()
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(GIVE_BACK_S):
                await place
        except TimeoutError:
            raise self._full() from None
        finally:
            self._end_of_wait(place)

    def _end_of_wait(self, place: asyncio.Future[None]) -> None:
        if place.done() and not place.cancelled():
            self._handed_over -= 1
        else:
            self._waiting.remove(place)

    def _hand_over(self) -> None:
        while self._waiting and len(self) < self._capacity():
            self._handed_over += 1
            self._waiting.popleft().set_result(None)

    def _full(self) -> Full:
        return Full(f"all {self._capacity()} places are taken; try again later or elsewhere")
