"""Run an async test on a loop whose clock goes to the next timer instead of waiting for it.

Loopback sockets work: what one end has written is readable at once, and the clock only moves when nothing is.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

OTHERS_S = 30.0


class _ImpatientSelector(selectors.DefaultSelector):
    """Polls; with nothing ready, moves the clock to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return self._wait_for_others()
        ready = super().select(0)
        if not ready and timeout > 0:
            self.now += timeout
        return ready

    def _wait_for_others(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for another thread or process, which has real time. Raises RuntimeError when nothing comes."""
        ready = super().select(OTHERS_S)
        if not ready:
            raise RuntimeError("every task waits for an event that nothing will set")
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop on virtual seconds."""

    def __init__(self) -> None:
        self._impatient = _ImpatientSelector()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.now


def virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make an async test a plain one that runs on virtual time."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
