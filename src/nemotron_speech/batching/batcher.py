"""The step loop of one engine: plan who steps, step them together on the engine's thread, apply.

A seat is one caller's place in the batch. It says when it is ready, hands over its work and takes back the
outcome. A seat that leaves while its step runs is not told the outcome, so nothing reaches a caller after a
cancel was read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from heapq import nsmallest
from typing import Generic, ParamSpec, Protocol, TypeVar

from loguru import logger

from nemotron_speech.errors import EngineError

WorkT = TypeVar("WorkT")
OutcomeT = TypeVar("OutcomeT")
TakenT = TypeVar("TakenT", covariant=True)
AppliedT = TypeVar("AppliedT", contravariant=True)
P = ParamSpec("P")
R = TypeVar("R")


class BatchItem(Protocol[TakenT, AppliedT]):
    """One caller's place in the batch."""

    def ready(self) -> bool:
        """Return True if there is work for a step."""
        ...

    def due(self) -> float:
        """Return the urgency of the work; the smallest goes first, in one unit for all."""
        ...

    def take(self) -> TakenT:
        """Hand over the work of one step."""
        ...

    def apply(self, outcome: AppliedT | EngineError) -> None:
        """Take back what the step made of it."""
        ...


class Batcher(Generic[WorkT, OutcomeT]):
    """Steps every ready seat, at most `max_batch()` at a time.

    Args:
        step: The engine's step: one outcome per work item, in order.
        max_batch: Says how many seats the next step may have; an engine short of memory takes fewer.
        observe: Called after each step with the number of seats and the seconds it took.
        tick_s: Least time between the starts of two steps that are neither full nor wanted at once. The first
            after a pause starts at once; while many seats get ready all the time, fewer and larger steps do
            the same work.
    """

    def __init__(
        self,
        step: Callable[[Sequence[WorkT]], Sequence[OutcomeT | EngineError]],
        max_batch: Callable[[], int],
        observe: Callable[[int, float], None] = lambda seats, seconds: None,
        tick_s: float = 0.0,
    ) -> None:
        self._step = step
        self._max_batch = max_batch
        self._observe = observe
        self._tick_s = tick_s
        self._next_step = 0.0
        self._ready: dict[BatchItem[WorkT, OutcomeT], None] = {}
        self._stepping: set[BatchItem[WorkT, OutcomeT]] = set()
        self._wake = asyncio.Event()
        self._no_waiting = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    async def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function` on the engine's thread, between steps."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))

    async def open(self, make: Callable[[], R], discard: Callable[[R], object]) -> R:
        """Return what `make` makes on the engine's thread; `discard` it if the caller goes meanwhile."""
        making = self._thread.submit(make)
        try:
            return await asyncio.wrap_future(making)
        except asyncio.CancelledError:
            self.post(_discard, making, discard)
            raise

    def post(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run `function` on the engine's thread, between steps, and do not wait for it."""
        self._thread.submit(_logged, function, *args, **kwargs)

    def notify(self, seat: BatchItem[WorkT, OutcomeT], *, at_once: bool = False) -> None:
        """Say that `seat` may have become ready, or may be so no longer; `at_once` waits for no tick."""
        if seat.ready():
            self._ready[seat] = None
            self._wake.set()
            if at_once or len(self._ready) >= self._max_batch():
                self._no_waiting.set()
        else:
            self._ready.pop(seat, None)

    def leave(self, seat: BatchItem[WorkT, OutcomeT]) -> None:
        """Forget `seat`; a step in flight completes without it being told."""
        self._ready.pop(seat, None)
        self._stepping.discard(seat)

    async def run(self) -> None:
        """Step until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._ready:
                await self._tick()
                await self._step_once()

    def stop(self) -> None:
        """Take no more work; what was posted still runs."""
        self._thread.shutdown(wait=False)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        early = self._next_step - loop.time()
        if early > 0 and len(self._ready) < self._max_batch():
            with suppress(TimeoutError):
                async with asyncio.timeout(early):
                    await self._no_waiting.wait()
        self._no_waiting.clear()
        self._next_step = loop.time() + self._tick_s

    async def _step_once(self) -> None:
        seats = nsmallest(
            self._max_batch(), self._ready, key=lambda seat: seat.due()
        )  # equals keep their order
        if not seats:
            return
        for seat in seats:
            del self._ready[seat]
        self._stepping = set(seats)
        work = [seat.take() for seat in seats]
        started = time.perf_counter()
        outcomes = await self._outcomes(work)
        self._observe(len(seats), time.perf_counter() - started)
        for seat, outcome in zip(seats, outcomes, strict=True):
            if seat in self._stepping:
                self._stepping.discard(seat)
                seat.apply(outcome)
                self.notify(seat)

    async def _outcomes(self, work: list[WorkT]) -> Sequence[OutcomeT | EngineError]:
        try:
            outcomes = await self.call(self._step, work)
        except Exception as error:  # noqa: BLE001  whatever a model raises costs this batch, not the loop
            logger.opt(exception=error).error("a step of {} failed", len(work))
            return [EngineError(f"the model failed: {error}")] * len(work)
        if len(outcomes) != len(work):
            return [EngineError(f"the model answered {len(outcomes)} of {len(work)} items")] * len(work)
        return outcomes


def _discard(made: Future[R], discard: Callable[[R], object]) -> None:
    if not made.cancelled() and made.exception() is None:
        discard(made.result())


def _logged(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    try:
        function(*args, **kwargs)
    except Exception:  # noqa: BLE001  nobody waits for the result
        logger.exception("{} failed on the engine's thread", getattr(function, "__name__", function))
