"""Slots as llama.cpp has them: one request each at a time, others wait in order; a prompt cache each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from nemotron_speech.errors import Full

MAX_WAITING = 256


@dataclass(slots=True)
class Slot:
    """One of the server's places for a generation, with the tokens it has evaluated last."""

    id: int
    cache: list[str] = field(default_factory=list)
    busy: bool = False
    task: int = -1
    last_used: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    decoded_tokens: int = 0

    def begin(self, task: int, prompt: Sequence[str], use_cache: bool) -> int:
        """Start on a prompt; say how many of its tokens the cache already holds.

        At least one token is always evaluated: the next one is sampled from its result.
        """
        common = common_prefix(self.cache, prompt) if use_cache else 0
        self.task = task
        self.prompt_tokens = len(prompt)
        self.cached_tokens = min(common, len(prompt) - 1)
        self.decoded_tokens = 0
        self.cache = list(prompt)
        return self.cached_tokens

    def decode(self, token: str) -> None:
        """Take in one generated token."""
        self.decoded_tokens += 1
        self.cache.append(token)

    def end(self) -> None:
        """Drop the last token from the cache: it was sampled but never evaluated."""
        if self.decoded_tokens:
            self.cache.pop()


def common_prefix(first: Sequence[str], second: Sequence[str]) -> int:
    """Return how many tokens two sequences have in common at their beginning."""
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length


@dataclass(slots=True, eq=False)
class _Waiting:
    wanted: int | None
    prompt: Sequence[str]
    slot: asyncio.Future[Slot]


class SlotPool:
    """Slots of the server, and the requests that wait for each."""

    def __init__(self, size: int) -> None:
        self.slots = [Slot(number) for number in range(size)]
        self._waiting: list[_Waiting] = []
        self._uses = count(1)

    @property
    def busy(self) -> int:
        return sum(slot.busy for slot in self.slots)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @asynccontextmanager
    async def use(self, wanted: int | None, prompt: Sequence[str]) -> AsyncIterator[Slot]:
        """Hold the wanted slot, or with None the free one that fits best, as soon as it is free.

        Cancelling gives the slot back at once. Raises Full when too many wait already.
        """
        slot = await self._take(wanted, prompt)
        try:
            yield slot
        finally:
            slot.busy = False
            self._hand_out()

    async def _take(self, wanted: int | None, prompt: Sequence[str]) -> Slot:
        slot = self._choose(wanted, prompt)
        if slot is not None:
            return self._occupy(slot)
        if len(self._waiting) >= MAX_WAITING:
            raise Full(f"{MAX_WAITING} requests already wait for a slot")
        waiting = _Waiting(wanted, prompt, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            return await waiting.slot
        except asyncio.CancelledError:
            self._forget(waiting)
            raise

    def _forget(self, waiting: _Waiting) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        elif waiting.slot.done() and not waiting.slot.cancelled():
            waiting.slot.result().busy = False
            self._hand_out()

    def _hand_out(self) -> None:
        for waiting in list(self._waiting):
            if waiting.slot.done():  # its task has been cancelled and will forget it
                continue
            slot = self._choose(waiting.wanted, waiting.prompt)
            if slot is not None:
                self._waiting.remove(waiting)
                waiting.slot.set_result(self._occupy(slot))

    def _occupy(self, slot: Slot) -> Slot:
        slot.busy = True
        slot.last_used = next(self._uses)
        return slot

    def _choose(self, wanted: int | None, prompt: Sequence[str]) -> Slot | None:
        """Return the wanted slot if it is free, else the one that shares half the prompt, else the oldest."""
        free = [slot for slot in self.slots if not slot.busy]
        if wanted is not None:
            return next((slot for slot in free if slot.id == wanted), None)
        if not free:
            return None
        similar = max(free, key=lambda slot: common_prefix(slot.cache, prompt))
        if common_prefix(similar.cache, prompt) * 2 > len(prompt):
            return similar
        return min(free, key=lambda slot: slot.last_used)
