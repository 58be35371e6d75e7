"""An engine at work: loaded in the background, stepped by its batcher, unloaded at the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from loguru import logger

from nemotron_speech.batching.batcher import Batcher
from nemotron_speech.batching.places import HasLeft, Places
from nemotron_speech.errors import ConfigurationError, EngineError, EngineLost, Full, NotReady
from nemotron_speech.metrics import ServerMetrics

EngineT = TypeVar("EngineT", bound="Loadable")


class Info(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def capacity(self) -> int: ...
    @property
    def max_batch(self) -> int: ...


class Loadable(Protocol):
    """Common interface of recogniser and synthesiser engines."""

    @property
    def info(self) -> Any: ...
    def load(self) -> None: ...
    def unload(self) -> None: ...
    def step(self, work: Sequence[Any], /) -> Sequence[Any | EngineError]: ...


class Status(StrEnum):
    LOADING = "loading"
    HEALTHY = "healthy"
    FAILED = "failed"
    DRAINING = "draining"


class EngineRunner(Generic[EngineT]):
    """Owns one engine, its thread and its places.

    Args:
        engine: Not loaded yet.
        metrics: Told of steps, of places taken and of callers refused.
        tick_s: Least time between the starts of two steps; see `Batcher`.
    """

    def __init__(self, engine: EngineT, metrics: ServerMetrics, tick_s: float = 0.0) -> None:
        self.engine = engine
        self.metrics = metrics
        metrics.max_batch.set_function(lambda: engine.info.max_batch)
        self.batcher: Batcher[Any, Any] = Batcher(
            self._step, lambda: engine.info.max_batch, metrics.observe_step, tick_s
        )
        self.status = Status.LOADING
        self.problem = ""
        self._places = Places(lambda: engine.info.capacity)

    @property
    def active(self) -> int:
        return len(self._places)

    @asynccontextmanager
    async def place(self, has_left: HasLeft = lambda: False) -> AsyncIterator[None]:
        """Hold one of the engine's places; waits a little for one that is being given back.

        Args:
            has_left: True if the holder is gone, or going, and its place may be waited for.

        Raises NotReady, Full.
        """
        async with AsyncExitStack() as held:
            try:
                self._check_status()
                await held.enter_async_context(self._places.one(has_left))
            except Full:
                self.metrics.refused.inc()
                raise
            self.metrics.active.inc()
            held.callback(self.metrics.active.dec)
            yield

    def health(self, draining: bool) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and body that say how this server is."""
        status = Status.DRAINING if draining else self.status
        info = self.engine.info
        body = {
            "status": str(status),
            "model_loaded": self.status is Status.HEALTHY,
            "engine": info.name,
            "active_streams": self.active,
            "capacity": info.capacity,
            "pid": os.getpid(),
            **({"message": self.problem} if self.problem else {}),
        }
        return (200 if status is Status.HEALTHY else 503), body

    def _check_status(self) -> None:
        if self.status is Status.FAILED:
            raise NotReady(f"the engine cannot serve: {self.problem}", retry_after=30)
        if self.status is not Status.HEALTHY:
            raise NotReady(f"the server is {self.status}", retry_after=2)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[EngineRunner[EngineT]]:
        """Load the engine and step it while the context lasts. Loading goes on in the background."""
        async with asyncio.TaskGroup() as tasks:
            loop = tasks.create_task(self._run())
            try:
                yield self
            finally:
                loop.cancel()

    async def _run(self) -> None:
        try:
            await self.batcher.call(self.engine.load)
            self.status = Status.HEALTHY
            logger.info("engine {} is ready", self.engine.info.name)
            await self.batcher.run()
        except ConfigurationError as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001  /health says it, and the process lives to say it
            logger.opt(exception=error).error("loading failed")
            self._failed(f"{type(error).__name__}: {error}")
        finally:
            self.batcher.post(self.engine.unload)
            self.batcher.stop()

    def _step(self, work: Sequence[Any]) -> Sequence[Any | EngineError]:
        """Step the engine, on its thread; one that is lost takes no new callers."""
        outcomes = self.engine.step(work)
        if self.status is Status.HEALTHY and (lost := [o for o in outcomes if isinstance(o, EngineLost)]):
            self._failed(str(lost[0]))
        return outcomes

    def _failed(self, problem: str) -> None:
        self.status, self.problem = Status.FAILED, problem
        logger.error("engine {} cannot serve: {}", self.engine.info.name, problem)
