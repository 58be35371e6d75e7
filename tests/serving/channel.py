"""A conversation without a socket: the test is the other side of the channel and decides when it reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from nemotron_speech.errors import SpeechError
from nemotron_speech.protocol.tts import TtsError
from nemotron_speech.protocol.wire import encode
from nemotron_speech.server import AsrService
from nemotron_speech.serving.channel import Channel, ChannelClosed
from nemotron_speech.serving.edge import hold
from nemotron_speech.tts_server import TtsService

PATIENCE_S = 10.0
"""How long a test waits for what must happen."""


class MemoryChannel(Channel):
    """Both directions in memory; the caller takes `window` messages before it has to read on."""

    def __init__(self, window: int = 10_000, query: Mapping[str, str] | None = None) -> None:
        self.query: Mapping[str, str] = query or {}
        self.to_server: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.to_caller: asyncio.Queue[str | bytes] = asyncio.Queue(window)
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self.messages_taken = 0

    async def receive(self) -> str | bytes:
        message = await self.to_server.get()
        if message is None:
            raise ChannelClosed
        self.messages_taken += 1
        return message

    async def send(self, message: str | bytes) -> None:
        await self.to_caller.put(message)

    async def close(self, code: int, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result((code, reason))

    # ------------------------------------------------------------------------- the test's side

    def say(self, message: str | bytes | None = None, **fields: Any) -> None:
        self.to_server.put_nowait(json.dumps(fields) if message is None else message)

    def hang_up(self) -> None:
        self.to_server.put_nowait(None)

    async def read(self) -> Any:
        """Return the next message: bytes, or the decoded JSON."""
        async with asyncio.timeout(PATIENCE_S):
            message = await self.to_caller.get()
        return message if isinstance(message, bytes) else json.loads(message)

    async def read_until(self, kind: str) -> list[Any]:
        """Return the messages up to the first of type `kind`, that one included."""
        messages = [await self.read()]
        while isinstance(messages[-1], bytes) or messages[-1]["type"] != kind:
            messages.append(await self.read())
        return messages


@asynccontextmanager
async def talking(
    service: AsrService | TtsService, window: int = 10_000, query: Mapping[str, str] | None = None
) -> AsyncIterator[MemoryChannel]:
    """Hold one conversation with a service whose engine is running."""
    channel = MemoryChannel(window, query)
    converse = service.callers.counted(service.converse)
    conversation = asyncio.create_task(hold(channel, converse, _error_message))
    try:
        yield channel
    finally:
        channel.hang_up()
        while not conversation.done() and not channel.to_caller.empty():
            channel.to_caller.get_nowait()
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            await conversation


def _error_message(error: SpeechError) -> str:
    return encode(TtsError(message=str(error), fatal=True))


async def until(condition: Callable[[], object]) -> None:
    """Wait for what must become true."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)
