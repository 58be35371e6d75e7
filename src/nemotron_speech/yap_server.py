"""The many-caller recognition protocol (docs/protocols.md, section 2), alone or beside the streaming one.

Its callers sit in the same step loop, on the same engine, as those of `server.py`: only the messages differ.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiohttp import web
from loguru import logger

from nemotron_speech import caller_log
from nemotron_speech.asr.service import SERVICE, AsrService, application, make_engine, routes
from nemotron_speech.asr.stream import Place
from nemotron_speech.audio import RateChange
from nemotron_speech.engines.base import AsrEngine
from nemotron_speech.errors import BadRequest, ConfigurationError, SpeechError
from nemotron_speech.protocol.asr import Audio, ResetRequested
from nemotron_speech.protocol.wire import encode
from nemotron_speech.protocol.yap import CloseRequested, Opened, YapError, YapServer
from nemotron_speech.serving.channel import Channel, HalfClosed
from nemotron_speech.serving.edge import asgi, errors_as_json
from nemotron_speech.serving.json_runner import JsonRunner
from nemotron_speech.serving.process import serve
from nemotron_speech.settings import AsrSettings

INIT_TIMEOUT_S = 10.0
"""Seconds without a message after which a new connection is closed; it holds no place meanwhile."""


# -------------------------------------------------------------------------------- a conversation


class YapConversations:
    """Holds conversations of the many-caller protocol on a recognition service."""

    def __init__(self, service: AsrService) -> None:
        self._service = service

    async def __call__(self, channel: Channel) -> None:
        """Recognise one caller until it closes. Raises Full, BadRequest, EngineError, ChannelClosed."""
        machine = YapServer(_unix_ms)
        opened = await _opened(channel, machine)
        language = opened.language or channel.query.get("language")
        with caller_log.about(caller_log.short(opened.sid) or caller_log.caller_of(channel.query)):
            async with self._service.place(channel, language, machine, lambda: machine.closed) as place:
                rate = RateChange(opened.sample_rate, self._service.runner.engine.info.sample_rate)
                await _listen(channel, machine, place, rate)


async def _opened(channel: Channel, machine: YapServer) -> Opened:
    try:
        async with asyncio.timeout(INIT_TIMEOUT_S):
            opened = machine.receive(await channel.receive())
    except TimeoutError:
        raise BadRequest(f"no init within {INIT_TIMEOUT_S:.0f} s") from None
    assert isinstance(opened, Opened), "the machine refuses everything else"
    return opened


async def _listen(channel: Channel, machine: YapServer, place: Place, rate: RateChange) -> None:
    """Take in audio until the caller closes; return when the last final has been handed over.

    Raises in a group ChannelClosed (also by a caller that is gone before its last final), BadRequest.
    """
    closed = asyncio.Event()

    def take(message: str | bytes) -> bool:
        if closed.is_set():
            return True
        match machine.receive(message):
            case Audio(pcm):
                return place.audio(rate.feed(pcm))
            case ResetRequested() as reset:
                return _reset(place, rate, reset)
            case CloseRequested(reset):
                closed.set()
                _reset(place, rate, reset)
        return True

    async def listen() -> None:
        with suppress(HalfClosed):
            await channel.listen(take, place.room)
        closed.set()

    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(listen())
        await closed.wait()
        await place.settled()
        listening.cancel()


def _reset(place: Place, rate: RateChange, reset: ResetRequested) -> bool:
    if rest := rate.finish():
        place.audio(rest)
    return place.reset(reset)


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


def _error_message(error: SpeechError) -> str:
    return encode(YapError(message=str(error)))


# -------------------------------------------------------------------------------- applications


def build_app(engine: AsrEngine | None = None, settings: AsrSettings | None = None) -> web.Application:
    """Return an aiohttp application that speaks this protocol at `/`, with `/health` and `/metrics`.

    Without an engine, `settings.engine` is made with `settings.options` and, where it takes them, the `ASR_*`
    variables and their defaults.
    """
    settings = settings or AsrSettings.of_yap()
    service = AsrService(engine or make_engine(settings, yap_defaults=True), settings)
    return application(service, _routes(service))


def build_asgi(engine: AsrEngine | None = None, settings: AsrSettings | None = None) -> Any:
    """Return the same server as an ASGI application, for deployments that want one."""
    settings = settings or AsrSettings.of_yap()
    service = AsrService(engine or make_engine(settings, yap_defaults=True), settings)
    converse = YapConversations(service)
    return asgi(converse, _error_message, service.callers, service.health, service.runner.running)


def _routes(service: AsrService) -> list[web.RouteDef]:
    return routes(service, YapConversations(service), _error_message)


async def listening_beside(app: web.Application) -> AsyncIterator[None]:
    """Serve this protocol on a port of its own while `app` runs (for its `cleanup_ctx`).

    Raises ConfigurationError for a port that is taken.
    """
    service = app[SERVICE]
    host, port = service.settings.yap_host or service.settings.host, service.settings.yap_port
    beside = web.Application(middlewares=[errors_as_json])
    beside.add_routes(_routes(service))
    runner = JsonRunner(beside, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await _listen_on(runner, host, port)
        logger.info("the many-caller protocol listens on {}:{}", *runner.addresses[0][:2])
        yield
    finally:
        await runner.cleanup()


async def _listen_on(runner: web.AppRunner, host: str, port: int | None) -> None:
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from None


def main(arguments: list[str] | None = None) -> None:
    """Run the server: `ASR_PORT=8090 python -m nemotron_speech.yap_server`."""
    what = "many-caller recognition"
    serve(what, AsrSettings.of_yap, build_app, lambda app: app[SERVICE].callers, arguments)


if __name__ == "__main__":
    main()
