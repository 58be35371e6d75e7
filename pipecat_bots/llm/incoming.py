"""The answer to one request as it comes in, read by a task of its own, so that it outlives who asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from pipecat.processors.frame_processor import FrameProcessor

from nemotron_speech.protocol.llama.api import ChatRequest, Event
from pipecat_bots.llm.client import GONE
from pipecat_bots.llm.reply import RequestRefused


class Incoming:
    """Received part of an answer, from its beginning.

    Args:
        request: Request of the answer.
        reads: Events, read by read.
        owner: Processor whose task the reading is.
    """

    def __init__(
        self, request: ChatRequest, reads: AsyncGenerator[list[Event], None], owner: FrameProcessor
    ) -> None:
        self.request = request
        self._owner = owner
        self._received: list[list[Event]] = []
        self._news = asyncio.Event()
        self._error: Exception | None = None
        self._over = self._closed = False
        self._task = owner.create_task(self._receive(reads), "answer")

    @property
    def is_over(self) -> bool:
        """True if no more events will come."""
        return self._over

    @property
    def is_whole(self) -> bool:
        """True if nothing is missing, so far."""
        return self._error is None and not self._closed

    async def reads(self, tick_s: float) -> AsyncIterator[list[Event]]:
        """Give all that has come and that comes, and nothing (`[]`) whenever nothing came for `tick_s`.

        Raises what the request raised.
        """
        given = 0
        while True:
            while given < len(self._received):
                given += 1
                yield self._received[given - 1]
            if self._error is not None:
                raise self._error
            if self._over:
                return
            self._news.clear()
            if not await self._has_news(tick_s):
                yield []

    async def _has_news(self, timeout_s: float) -> bool:
        """Wait for more; return whether it came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Close the request; nothing comes after it."""
        if not self._over:
            self._closed = self._over = True
            await self._owner.cancel_task(self._task)

    async def _receive(self, reads: AsyncGenerator[list[Event], None]) -> None:
        error: Exception | None = RuntimeError("reading the answer failed")
        try:
            async with aclosing(reads):
                async for events in reads:
                    if events:  # comments, and pieces of an event, are none
                        self._received.append(events)
                        self._news.set()
            error = None
        except (*GONE, RequestRefused) as failure:
            error = failure
        finally:
            self._error, self._over = error, True
            self._news.set()
