"""The three servers with scripted engines, in this process, on free ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
