"""Recognition for many callers on one engine, whatever protocol each of them speaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web
from loguru import logger

from nemotron_speech.asr.stream import Answers, Place, RecognitionStream
from nemotron_speech.batching.runner import EngineRunner
from nemotron_speech.engine_options import own_options
from nemotron_speech.engines.base import AsrEngine, AsrStream
from nemotron_speech.engines.registry import asr_engine, asr_options
from nemotron_speech.metrics import ServerMetrics
from nemotron_speech.protocol.asr import AsrServer, Audio, events_of
from nemotron_speech.serving.channel import Channel, HalfClosed
from nemotron_speech.serving.edge import (
    Callers,
    Converse,
    ErrorMessage,
    Outbox,
    errors_as_json,
    fail_with,
    websocket_handler,
)
from nemotron_speech.settings import AsrSettings, YapSettings


class AsrService:
    """Recognition for many callers on one engine."""

    def __init__(self, engine: AsrEngine, settings: AsrSettings) -> None:
        self.metrics = ServerMetrics("asr", engine.info.capacity)
        self.runner = EngineRunner(engine, self.metrics, settings.step_ms / 1000)
        self.callers = Callers()
        self.settings = settings

    async def converse(self, channel: Channel) -> None:
        """Recognise one caller until it goes; one that only sends no more still gets its finals.

        Raises Full, BadRequest, EngineError, ChannelClosed.
        """
        machine = AsrServer(events_of(channel.query.get("events", "").split(",")))
        async with self.place(channel, channel.query.get("language"), machine) as place:

            def take(message: str | bytes) -> bool:
                heard = machine.receive(message)
                return place.audio(heard.pcm) if isinstance(heard, Audio) else place.reset(heard)

            place.outbox.put(machine.ready(("eou",) if self.runner.engine.info.marks_end else ()))
            with suppress(HalfClosed):
                await channel.listen(take, place.room)
            await place.settled()

    @asynccontextmanager
    async def place(
        self,
        channel: Channel,
        language: str | None,
        answers: Answers,
        is_leaving: Callable[[], bool] = lambda: False,
    ) -> AsyncIterator[Place]:
        """Give a caller a place while the context lasts; transcripts go to `channel` as `answers` words them.

        Args:
            is_leaving: True if the caller has said good-bye, and its place may be waited for.

        Raises Full, NotReady, BadRequest (the language), and in a group EngineError, Full (reads too slowly).
        """
        async with self._stream(language, lambda: channel.gone or is_leaving()) as stream:
            trouble = asyncio.get_running_loop().create_future()
            outbox = Outbox(channel, trouble)
            rate = self.runner.engine.info.sample_rate
            backlog = int(self.settings.max_backlog_s * rate * 2)
            session = RecognitionStream(stream, answers, outbox, trouble, self.metrics, rate, backlog)
            logger.info("a caller is here ({} of {})", self.runner.active, self.runner.engine.info.capacity)
            try:
                async with asyncio.TaskGroup() as tasks:
                    helpers = (
                        tasks.create_task(outbox.run()),
                        tasks.create_task(fail_with(trouble)),
                    )
                    yield Place(session, outbox, self.runner.batcher)
                    for helper in helpers:
                        helper.cancel()
            finally:
                self.runner.batcher.leave(session)
                logger.info("a caller has gone")

    @asynccontextmanager
    async def _stream(self, language: str | None, has_left: Callable[[], bool]) -> AsyncIterator[AsrStream]:
        async with self.runner.place(has_left):
            engine, batcher = self.runner.engine, self.runner.batcher
            stream = await batcher.open(lambda: engine.open(language), engine.close)
            try:
                yield stream
            finally:
                batcher.post(engine.close, stream)

    def health(self) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and body of `GET /health`."""
        status, body = self.runner.health(self.callers.draining)
        return status, {**body, "estimates_times": self.runner.engine.info.estimates_times}


SERVICE: web.AppKey[AsrService] = web.AppKey("service", AsrService)


def application(service: AsrService, routes: Iterable[web.RouteDef]) -> web.Application:
    """Return an application whose engine runs while it does."""

    async def lifespan(app: web.Application) -> AsyncIterator[None]:
        async with service.runner.running():
            yield

    app = web.Application(middlewares=[errors_as_json])
    app.add_routes(routes)
    app.cleanup_ctx.append(lifespan)
    app[SERVICE] = service
    return app


def routes(service: AsrService, converse: Converse, error_message: ErrorMessage) -> list[web.RouteDef]:
    """Return what a port of `service` answers: conversations at `/`, and `/health`, `/metrics`."""

    async def get_health(request: web.Request) -> web.Response:
        status, body = service.health()
        return web.json_response(body, status=status)

    return [
        web.get("/", websocket_handler(converse, error_message, service.callers)),
        web.get("/health", get_health),
        web.get("/metrics", service.metrics.handle),
    ]


def make_engine(settings: AsrSettings, *, yap_defaults: bool = False) -> AsrEngine:
    """Make the engine of `settings`: its options go before what `ASR_*` say, where it takes that.

    Args:
        yap_defaults: `ASR_*` variables that are not set count with their defaults.
    """
    taken = asr_options(settings.engine)
    # The defaults name a model of NeMo; another engine has its own.
    defaults = yap_defaults and settings.engine == "nemo"
    options = YapSettings().engine_options(taken, defaults=defaults)
    own = own_options(settings.engine, settings.options)
    if "right_context" in own:
        options.pop("att_ctx", None)
    return asr_engine(settings.engine, **{**options, **own})
