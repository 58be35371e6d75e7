"""Both shells on real loopback sockets: the aiohttp application, and the ASGI one carried by uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import uvicorn
from aiohttp import WSMsgType, web

from nemotron_speech import server, tts_server, yap_server
from nemotron_speech.engines.base import AsrEngine, TtsEngine
from nemotron_speech.serving.half_open import HalfOpenProtocol
from nemotron_speech.serving.json_runner import JsonRunner
from nemotron_speech.settings import AsrSettings, TtsSettings
from tests.serving.channel import PATIENCE_S

SHELLS = ("aiohttp", "asgi")


class _Uvicorn(uvicorn.Server):
    """Leaves the signals of the test process alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@asynccontextmanager
async def recognising(shell: str, engine: AsrEngine, **settings: Any) -> AsyncIterator[str]:
    """Serve a recogniser; yields `host:port`."""
    build = server.build_app if shell == "aiohttp" else server.build_asgi
    async with _listening(shell, build(engine, AsrSettings(engine="none", **settings))) as address:
        yield address


@asynccontextmanager
async def speaking(shell: str, engine: TtsEngine, **settings: Any) -> AsyncIterator[str]:
    """Serve a synthesiser; yields `host:port`."""
    build = tts_server.build_app if shell == "aiohttp" else tts_server.build_asgi
    async with _listening(shell, build(engine, TtsSettings(engine="none", **settings))) as address:
        yield address


@asynccontextmanager
async def recognising_many(shell: str, engine: AsrEngine) -> AsyncIterator[str]:
    """Serve a recogniser by the many-caller protocol; yields `host:port`."""
    build = yap_server.build_app if shell == "aiohttp" else yap_server.build_asgi
    async with _listening(shell, build(engine, AsrSettings(engine="none"))) as address:
        yield address


@asynccontextmanager
async def _listening(shell: str, app: Any) -> AsyncIterator[str]:
    carry = _aiohttp if shell == "aiohttp" else _uvicorn
    async with carry(app) as address, aiohttp.ClientSession() as session, asyncio.timeout(60):
        while (await session.get(f"http://{address}/health")).status != 200:
            await asyncio.sleep(0.01)
        yield address


@asynccontextmanager
async def _aiohttp(app: web.Application) -> AsyncIterator[str]:
    runner = JsonRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _uvicorn(app: Any) -> AsyncIterator[str]:
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_config=None,
        lifespan="on",
        timeout_graceful_shutdown=1,
        ws=HalfOpenProtocol,
    )
    carrier = _Uvicorn(config)
    task = asyncio.create_task(carrier.serve())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not carrier.started:
                await asyncio.sleep(0.005)
        yield f"127.0.0.1:{carrier.servers[0].sockets[0].getsockname()[1]}"
    finally:
        carrier.should_exit = True
        await task


class PlainClient:
    """A client that knows the documented messages and none of the additions."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, message: str | bytes | None = None, **fields: Any) -> None:
        if isinstance(message, bytes):
            await self.socket.send_bytes(message)
        else:
            await self.socket.send_str(json.dumps(fields) if message is None else message)

    async def read(self) -> Any:
        """Return the next message: bytes, decoded JSON, or None when the server closed."""
        message = await self.socket.receive(PATIENCE_S)
        match message.type:
            case WSMsgType.TEXT:
                return json.loads(message.data)
            case WSMsgType.BINARY:
                return message.data
        return None

    async def read_until(self, kind: str) -> list[Any]:
        messages = [await self.read()]
        while isinstance(messages[-1], bytes) or messages[-1]["type"] != kind:
            messages.append(await self.read())
        return messages


@asynccontextmanager
async def calling(url: str, **options: Any) -> AsyncIterator[PlainClient]:
    """Connect a plain client."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, max_msg_size=0, **options) as socket,
    ):
        yield PlainClient(socket)
