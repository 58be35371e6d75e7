"""The three servers with scripted engines, in this process, on free ports."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from aiohttp import web

from nemotron_speech import server, tts_server
from nemotron_speech.engines.scripted import AsrScript, ScriptedAsr, ScriptedTts, TtsScript
from nemotron_speech.responder.app import build_app as build_responder
from nemotron_speech.supervisor.health import Health, HealthProbe


@dataclass(frozen=True)
class Addresses:
    asr: str
    tts: str
    llm: str


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[int]:
    """Serve an application; gives its port once it is healthy."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with HealthProbe.open() as probe:
            while (await probe(f"http://127.0.0.1:{port}/health")).health is Health.LOADING:
                pass
        yield port
    finally:
        await runner.cleanup()


@asynccontextmanager
async def scripted_servers(
    asr: AsrScript | None = None, tts: TtsScript | None = None
) -> AsyncIterator[Addresses]:
    """Recogniser, synthesiser and responder."""
    async with (
        serving(server.build_app(ScriptedAsr(asr or AsrScript()))) as asr_port,
        serving(tts_server.build_app(ScriptedTts(tts or TtsScript()))) as tts_port,
        serving(build_responder()) as llm_port,
    ):
        yield Addresses(
            f"ws://127.0.0.1:{asr_port}", f"ws://127.0.0.1:{tts_port}", f"http://127.0.0.1:{llm_port}"
        )


@contextmanager
def servers_in_a_thread(asr: AsrScript | None = None, tts: TtsScript | None = None) -> Iterator[list[str]]:
    """The same beside a test that blocks; gives the flags that tell a command their ports."""
    started: Future[Addresses] = Future()
    over = threading.Event()

    async def serve() -> None:
        async with scripted_servers(asr, tts) as addresses:
            started.set_result(addresses)
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        yield port_flags(started.result(30))
    finally:
        over.set()
        thread.join()


def port_flags(addresses: Addresses) -> list[str]:
    """Return the flags for the ports of servers: --asr-port, its value, and so on."""
    urls = {"asr": addresses.asr, "tts": addresses.tts, "llm": addresses.llm}
    return [part for name, url in urls.items() for part in (f"--{name}-port", url.rpartition(":")[2])]
