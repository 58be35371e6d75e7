"""Garbage collection of a finished call, at a moment at which nobody waits.

A session's objects point at each other in circles (processors at their neighbours, events at their handlers),
so they stay until Python looks for circles, which it does too seldom for objects so few and so heavy: a bot
grew by 350 MB in 60 calls. Objects from before the first call are left out of every search (`settle`), and a
search after each call then takes a few milliseconds (docs/decisions/cost-of-a-call.md).
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

from loguru import logger

CLOSED_S = 2.0
"""Seconds from the end of a call to its search: its connections are closed by then."""
LOOK_S = 0.1
LONGEST_S = 10.0
"""Longest wait, in seconds, for a moment in which nobody waits for an answer."""
YOUNG = 20_000
"""New objects after which Python looks among the youngest for circles. A call makes 5,000 a second, of which
nearly all are gone at once; 700, Python's own figure, makes it look seven times a second."""


class Sweeper:
    """Collects once for all calls that end at about the same time.

    Args:
        is_awaited: True if anybody waits for an answer.
        collect: Looks for circles.
    """

    def __init__(self, is_awaited: Callable[[], bool], collect: Callable[[], object] = gc.collect) -> None:
        self._is_awaited = is_awaited
        self._collect = collect
        self._sweeping: asyncio.Task[None] | None = None

    def call_ended(self) -> None:
        """Collect soon."""
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep(), name="sweeping")

    async def _sweep(self) -> None:
        await asyncio.sleep(CLOSED_S)
        self._sweeping = None
        for _ in range(round(LONGEST_S / LOOK_S)):
            if not self._is_awaited():
                break
            await asyncio.sleep(LOOK_S)
        began = time.perf_counter()
        self._collect()
        logger.debug(f"swept up after a call in {(time.perf_counter() - began) * 1000:.0f} ms")


def settle() -> None:
    """Leave all that is there out of every later search, and search less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)
