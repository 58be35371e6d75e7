"""Answers of a scripted server that come late, and in order."""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import web


class DelayedMail:
    """Messages to a caller, each a while after it was written, and none before an earlier one."""

    def __init__(self, ws: web.WebSocketResponse) -> None:
        self._ws = ws
        self._waiting: deque[tuple[float, str]] = deque()
        self._last_due = 0.0
        self._delivering: asyncio.Future[None] | None = None

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    async def send(self, message: str, delay_s: float = 0.0) -> None:
        """Send the message in `delay_s` seconds, or behind those that wait."""
        loop = asyncio.get_running_loop()
        self._last_due = max(self._last_due, loop.time() + delay_s)
        if self._last_due <= loop.time() and not self._waiting:
            await self._ws.send_str(message)
            return
        self._waiting.append((self._last_due, message))
        if len(self._waiting) == 1:
            loop.call_at(self._last_due, self._deliver)

    def _deliver(self) -> None:
        self._delivering = asyncio.ensure_future(self._send_due())

    async def _send_due(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting[0][0] <= loop.time() + 1e-6:
            if not self._ws.closed:
                await self._ws.send_str(self._waiting[0][1])
            self._waiting.popleft()
        if self._waiting:
            loop.call_at(self._waiting[0][0], self._deliver)
