"""Waits between attempts to reach a server that is away: one policy for all services."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 3.0
JITTER = 0.2
"""Part of a wait by which it may be longer or shorter: bots that lost one server do not call it together."""
AWAITED_WAIT_S = 0.25
"""Seconds between two attempts while somebody waits."""
LEAST_WAIT_S = 0.1
"""Least seconds between two attempts, however much they are wanted."""


class Backoff:
    """Waits between attempts: twice the one before, up to a limit; short ones while somebody waits.

    Args:
        chance: Gives a number from 0 to 1.
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._next_s = FIRST_WAIT_S

    def wait_s(self, is_awaited: bool) -> float:
        """Return the seconds before the next attempt, after one that failed."""
        if is_awaited:
            self._next_s = FIRST_WAIT_S
            return AWAITED_WAIT_S
        wait_s, self._next_s = self._next_s, min(2 * self._next_s, LONGEST_WAIT_S)
        return wait_s * (1 + JITTER * (2 * self._chance() - 1))

    def succeeded(self) -> None:
        """Note that the server has answered: the next wait is the first again."""
        self._next_s = FIRST_WAIT_S


class OutagePatience:
    """Attempts on a server while somebody waits for its answer: often, and not for ever.

    Args:
        most_s: Seconds from the first failure until no more attempt is made.
    """

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._until: float | None = None

    async def again(self) -> bool:
        """Wait before the next attempt; return False at once where patience is at its end."""
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + self._most_s
        if now >= self._until:
            return False
        await asyncio.sleep(AWAITED_WAIT_S)
        return True
