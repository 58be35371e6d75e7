"""The channel over a real WebSocket: what is handed on, when reading stops, how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from nemotron_speech.serving.channel import Channel
from nemotron_speech.serving.edge import Callers, Converse, websocket_handler
from nemotron_speech.serving.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, masked_frame
from tests.serving.channel import PATIENCE_S, until

_FINAL = 0x80


@asynccontextmanager
async def serving(converse: Converse) -> AsyncIterator[int]:
    """Serve one kind of conversation, and a page; yields the port."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="a page")

    app = web.Application()
    handler = websocket_handler(converse, str, Callers())
    app.add_routes([web.get("/", handler), web.get("/page", page)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with asyncio.timeout(PATIENCE_S):
            yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class Raw:
    """A client that writes its own frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def say(self, payload: bytes, kind: int = BINARY, *, more: bool = False) -> None:
        frame = masked_frame(payload, kind)
        self.writer.write(bytes((frame[0] & ~_FINAL,)) + frame[1:] if more else frame)

    async def read(self) -> tuple[int, bytes]:
        """Return the kind and the payload of the next frame."""
        kind, length = await self._reader.readexactly(2)
        if length == 126:
            length = int.from_bytes(await self._reader.readexactly(2))
        return kind & 0x0F, await self._reader.readexactly(length)


@asynccontextmanager
async def raw(port: int) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


async def always() -> None:
    """There is room."""


async def echo(channel: Channel) -> None:
    """Say back what comes."""
    await channel.listen(channel.offer, always)


async def test_a_message_in_pieces_is_put_together_around_a_ping() -> None:
    async with serving(echo) as port, raw(port) as client:
        client.say(b"one ", TEXT, more=True)
        client.say(b"here?", PING)
        client.say(b"message", CONTINUATION)
        assert await client.read() == (PONG, b"here?")
        assert await client.read() == (TEXT, b"one message")


async def test_what_is_no_frame_is_refused_with_1002() -> None:
    async with serving(echo) as port, raw(port) as client:
        client.writer.write(b"\xff\xff\xff\xff")
        kind, payload = await client.read()
        assert (kind, int.from_bytes(payload[:2])) == (CLOSE, 1002)


async def test_a_good_bye_is_answered_with_its_code() -> None:
    async with serving(echo) as port, raw(port) as client:
        client.say((4321).to_bytes(2), CLOSE)
        assert await client.read() == (CLOSE, (4321).to_bytes(2))


async def test_what_came_before_the_good_bye_is_still_taken() -> None:
    heard: list[str | bytes] = []
    begin = asyncio.Event()

    async def late(channel: Channel) -> None:
        await begin.wait()
        await channel.listen(lambda message: not heard.append(message), always)

    async with serving(late) as port, raw(port) as client:
        client.say(b"a")
        client.say(b"b")
        client.say((1000).to_bytes(2), CLOSE)
        await client.read()
        begin.set()
        await until(lambda: heard == [b"a", b"b"])


async def test_a_caller_without_room_is_not_read_and_loses_nothing() -> None:
    heard: list[str | bytes] = []
    room = asyncio.Event()

    def take(message: str | bytes) -> bool:
        heard.append(message)
        return room.is_set()

    async def wait() -> None:
        await room.wait()

    async def crowded(channel: Channel) -> None:
        await channel.listen(take, wait)

    messages = [number.to_bytes(4) * 16_000 for number in range(500)]
    async with serving(crowded) as port, raw(port) as client:
        for message in messages:
            client.say(message)
        drained = asyncio.create_task(client.writer.drain())
        await until(lambda: heard)
        await asyncio.sleep(0.1)
        assert len(heard) == 1
        assert not drained.done(), "32 MB went somewhere"
        room.set()
        await drained
        await until(lambda: len(heard) == len(messages))
        assert heard == messages


async def test_nothing_is_offered_to_a_caller_that_does_not_read() -> None:
    accepted: list[int] = []
    refused = asyncio.Event()

    async def talkative(channel: Channel) -> None:
        while channel.offer(bytes(10_000)):
            accepted.append(10_000)
            await asyncio.sleep(0)
        refused.set()
        await channel.send(b"the rest")

    async with serving(talkative) as port, raw(port) as client:
        await refused.wait()
        for _ in accepted:
            assert len((await client.read())[1]) == 10_000
        assert await client.read() == (BINARY, b"the rest")


async def test_a_bug_in_a_conversation_ends_that_conversation_only() -> None:
    def broken(message: str | bytes) -> bool:
        raise ZeroDivisionError

    async def conversation(channel: Channel) -> None:
        await channel.listen(broken, always)

    async with serving(conversation) as port, raw(port) as client:
        client.say(b"a")
        assert await client.read() == (TEXT, b"internal error")
        assert int.from_bytes((await client.read())[1][:2]) == 1011


@pytest.mark.parametrize("cut", [True, False])
async def test_a_conversation_hears_that_its_caller_has_gone(cut: bool) -> None:
    gone = asyncio.Event()

    async def conversation(channel: Channel) -> None:
        try:
            await channel.listen(channel.offer, always)
        finally:
            gone.set()

    async with serving(conversation) as port, raw(port) as client:
        if cut:
            client.writer.transport.abort()
        else:
            client.say((1000).to_bytes(2), CLOSE)
        await gone.wait()


async def test_a_connection_that_asked_for_a_page_can_become_a_websocket() -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with serving(echo) as port, aiohttp.ClientSession(connector=connector) as session:
        assert await (await session.get(f"http://127.0.0.1:{port}/page")).text() == "a page"
        async with session.ws_connect(f"http://127.0.0.1:{port}/") as socket:
            await socket.send_str("hello")
            message = await socket.receive()
            assert (message.type, message.data) == (WSMsgType.TEXT, "hello")
