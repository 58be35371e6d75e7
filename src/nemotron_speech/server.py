"""The streaming recognition server: audio in, transcripts out (docs/protocols.md, section 1).

A caller's audio and resets wait in one queue, in order; the step loop takes from every caller that has a
chunk ready, and what the engine makes of it goes back as interim and final transcripts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from loguru import logger

from nemotron_speech.batching.runner import EngineRunner
from nemotron_speech.edge import (
    Callers,
    Channel,
    Outbox,
    asgi,
    errors_as_json,
    fail_with,
    websocket_handler,
)
from nemotron_speech.engines.base import AsrEngine, AsrResult, AsrStream, AsrWork, Flush
from nemotron_speech.engines.registry import asr_engine
from nemotron_speech.errors import EngineError, SpeechError
from nemotron_speech.launch import serve
from nemotron_speech.protocol.asr import AsrServer, Audio, Error, ResetRequested
from nemotron_speech.protocol.wire import encode
from nemotron_speech.settings import AsrSettings
from nemotron_speech.telemetry import ServerMetrics

_INTERIM = object()
_FINAL_HEADSTART_S = 0.5
"""How much longer than a final others may have waited and still let it go first."""
_MAX_WAITING = 256
"""Resets, and runs of audio between them, that may wait before the caller is slowed down."""


class Session:
    """One caller's seat: what it sent and the engine has not taken yet.

    Args:
        max_backlog: Bytes of audio that may wait before the caller is slowed down.
    """

    def __init__(
        self,
        stream: AsrStream,
        machine: AsrServer,
        outbox: Outbox,
        trouble: asyncio.Future[None],
        metrics: ServerMetrics,
        sample_rate: int,
        max_backlog: int,
    ) -> None:
        self._stream = stream
        self._machine = machine
        self._outbox = outbox
        self._trouble = trouble
        self._metrics = metrics
        self._bytes_per_ms = sample_rate * 2 / 1000
        self._max_backlog = max_backlog
        self._waiting: deque[bytearray | tuple[ResetRequested, float]] = deque()
        self._backlog = 0
        self._taken = asyncio.Event()
        self._since = 0.0
        self._taken_bytes = 0
        self._utterance_start_ms = 0
        self._answering: tuple[ResetRequested, float] | None = None

    # -------------------------------------------------------------------------- from the caller

    async def audio(self, pcm: bytes) -> None:
        """Queue audio; waits while too much is waiting already."""
        await self._make_room()
        if self._waiting and isinstance(last := self._waiting[-1], bytearray):
            last += pcm
        else:
            self._waiting.append(bytearray(pcm))
        self._backlog += len(pcm)

    async def reset(self, request: ResetRequested) -> None:
        """Queue a reset behind the audio it covers; waits while too much is waiting already."""
        await self._make_room()
        self._waiting.append((request, self._now()))

    async def _make_room(self) -> None:
        while self._backlog >= self._max_backlog or len(self._waiting) >= _MAX_WAITING:
            self._taken.clear()
            await self._taken.wait()
        if not self._waiting:
            self._since = self._now()

    # ------------------------------------------------------------------------------ the seat

    def ready(self) -> bool:
        if not self._waiting or self._trouble.done():
            return False
        head = self._waiting[0]
        return isinstance(head, tuple) or len(self._waiting) > 1 or len(head) >= self._wanted_bytes()

    def due(self) -> float:
        """Who has waited longest, finals a little ahead."""
        return self._since - (_FINAL_HEADSTART_S if self._next_reset() else 0)

    def take(self) -> AsrWork:
        self._taken.set()
        pcm = self._take_audio()
        if self._waiting and isinstance(request := self._waiting[0], tuple):
            self._waiting.popleft()
            self._answering = request
            return AsrWork(self._stream, pcm, Flush.HARD if request[0].finalize else Flush.SOFT)
        return AsrWork(self._stream, pcm)

    def apply(self, outcome: AsrResult | EngineError) -> None:
        self._since = self._now()
        if isinstance(outcome, EngineError):
            self._metrics.failures.inc()
            if not self._trouble.done():
                self._trouble.set_exception(outcome)
        elif self._answering is not None:
            self._final(outcome, *self._answering)
            self._answering = None
        elif message := self._machine.interim(outcome.text):
            self._outbox.put(message, _INTERIM, replace=True)

    def _final(self, result: AsrResult, request: ResetRequested, asked: float) -> None:
        end_ms = round(self._taken_bytes / self._bytes_per_ms)
        words = [(w.text, w.start_ms, w.end_ms) for w in result.words] or None
        self._outbox.put(self._machine.final(request, result.text, words, self._utterance_start_ms, end_ms))
        self._metrics.latency.observe(self._now() - asked)
        if request.finalize:
            self._utterance_start_ms = end_ms

    def _take_audio(self) -> bytes:
        if not self._waiting or not isinstance(head := self._waiting[0], bytearray):
            return b""
        pcm = bytes(head[: self._wanted_bytes()])
        del head[: len(pcm)]
        if not head:
            self._waiting.popleft()
        self._backlog -= len(pcm)
        self._taken_bytes += len(pcm)
        self._metrics.audio.inc(len(pcm) / self._bytes_per_ms / 1000)
        return pcm

    def _wanted_bytes(self) -> int:
        return max(self._stream.wanted_samples, 1) * 2

    def _next_reset(self) -> bool:
        return any(isinstance(item, tuple) for item in self._waiting)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


class AsrService:
    """Recognition for many callers on one engine."""

    def __init__(self, engine: AsrEngine, settings: AsrSettings) -> None:
        self.metrics = ServerMetrics("asr", engine.info.capacity)
        self.runner = EngineRunner(engine, self.metrics)
        self.callers = Callers()
        self.settings = settings

    async def converse(self, channel: Channel) -> None:
        """Recognise one caller until it goes. Raises Full, BadRequest, EngineError, ChannelClosed."""
        async with self._stream(channel.query.get("language")) as stream:
            await self._session(channel, stream)

    @asynccontextmanager
    async def _stream(self, language: str | None) -> AsyncIterator[AsrStream]:
        with self.runner.place():
            engine, batcher = self.runner.engine, self.runner.batcher
            stream = await batcher.open(lambda: engine.open(language), engine.close)
            try:
                yield stream
            finally:
                batcher.post(engine.close, stream)

    async def _session(self, channel: Channel, stream: AsrStream) -> None:
        machine, batcher = AsrServer(), self.runner.batcher
        trouble = asyncio.get_running_loop().create_future()
        outbox = Outbox(channel, trouble)
        rate = self.runner.engine.info.sample_rate
        backlog = int(self.settings.max_backlog_s * rate * 2)
        session = Session(stream, machine, outbox, trouble, self.metrics, rate, backlog)
        logger.info("a caller is here ({} of {})", self.runner.active, self.runner.engine.info.capacity)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(outbox.run())
                tasks.create_task(fail_with(trouble))
                outbox.put(machine.ready())
                while True:
                    match machine.receive(await channel.receive()):
                        case Audio(pcm):
                            await session.audio(pcm)
                        case ResetRequested() as request:
                            await session.reset(request)
                    batcher.notify(session)
        finally:
            batcher.leave(session)
            logger.info("a caller has gone")

    def health(self) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and body of `GET /health`."""
        return self.runner.health(self.callers.draining)


SERVICE: web.AppKey[AsrService] = web.AppKey("service", AsrService)


def build_app(engine: AsrEngine | None = None, settings: AsrSettings | None = None) -> web.Application:
    """Return the aiohttp application: WebSocket at `/`, and `/health`, `/metrics`."""
    settings = settings or AsrSettings()
    service = AsrService(engine or asr_engine(settings.engine, **settings.options), settings)
    app = web.Application(middlewares=[errors_as_json])
    converse = websocket_handler(service.converse, _error_message, service.callers)

    async def get_health(request: web.Request) -> web.Response:
        status, body = service.health()
        return web.json_response(body, status=status)

    async def lifespan(app: web.Application) -> AsyncIterator[None]:
        async with service.runner.running():
            yield

    app.add_routes(
        [
            web.get("/", converse),
            web.get("/health", get_health),
            web.get("/metrics", service.metrics.handle),
        ]
    )
    app.cleanup_ctx.append(lifespan)
    app[SERVICE] = service
    return app


def build_asgi(engine: AsrEngine | None = None, settings: AsrSettings | None = None) -> Any:
    """Return the same server as an ASGI application, for deployments that want one."""
    settings = settings or AsrSettings()
    service = AsrService(engine or asr_engine(settings.engine, **settings.options), settings)
    return asgi(service.converse, _error_message, service.callers, service.health, service.runner.running)


def _error_message(error: SpeechError) -> str:
    return encode(Error(message=str(error)))


def main(arguments: list[str] | None = None) -> None:
    """Run the server: `python -m nemotron_speech.server --engine pocketsphinx --port 8080`."""
    serve("recognition", AsrSettings(), build_app, lambda app: app[SERVICE].callers, arguments)


if __name__ == "__main__":
    main()
