"""The streaming synthesis server: text in, audio out (docs/protocols.md, section 3).

Each caller speaks one segment at a time; the step loop advances the segments of all callers together, the
one whose listener has least audio left first (`tts/scheduler.py`). A cancel takes back what has not been
sent and stops the engine after the step it is in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

from aiohttp import web
from loguru import logger

from nemotron_speech.audio import RateChange
from nemotron_speech.batching.runner import EngineRunner
from nemotron_speech.engine_options import own_options
from nemotron_speech.engines.base import (
    Segment,
    SynthesisMode,
    TtsEngine,
    TtsInfo,
    TtsResult,
)
from nemotron_speech.engines.registry import tts_engine
from nemotron_speech.errors import SpeechError
from nemotron_speech.metrics import ServerMetrics
from nemotron_speech.protocol.tts import TtsError
from nemotron_speech.protocol.tts_streams import Capabilities, SegmentRequest, Stream, TtsServer
from nemotron_speech.protocol.wire import encode
from nemotron_speech.serving.channel import Channel
from nemotron_speech.serving.cors import Cors
from nemotron_speech.serving.edge import Callers, Outbox, asgi, errors_as_json, fail_with, websocket_handler
from nemotron_speech.serving.process import serve
from nemotron_speech.settings import TtsSettings
from nemotron_speech.text import Spoken, WordTime, say, warm_up
from nemotron_speech.text.vocabulary import VOCABULARIES
from nemotron_speech.tts.http_speech import speech_routes
from nemotron_speech.tts.http_voices import VoiceStore
from nemotron_speech.tts.scheduler import PlayoutScheduler, SpeechHandle

_PIECE_BYTES = 16 * 1024
"""Audio in one message: what a cancel cannot take back any more, and far below what clients allow."""
_LONG_TEXT = 500
"""Characters; working on more could delay the other callers by milliseconds."""

P = ParamSpec("P")
R = TypeVar("R")


class SynthesisConnection:
    """One caller: its streams in turn, and what is on its way to it."""

    def __init__(self, service: TtsService, machine: TtsServer, outbox: Outbox, max_ahead: int) -> None:
        self._service = service
        self._machine = machine
        self._outbox = outbox
        self._max_ahead = max_ahead
        self._changed = asyncio.Event()
        self._heard: tuple[Stream, float] | None = None
        """Stream spoken last, and when the caller will have played all of it, on the loop's clock."""
        self._current: tuple[SegmentRequest, SpeechHandle] | None = None

    def receive(self, message: str | bytes) -> None:
        """Act on one message of the caller; what it did wrong is answered and costs nothing else."""
        try:
            replies = self._machine.receive(message)
        except SpeechError as error:
            replies = [self._machine.error(str(error), fatal=False)]
        self._stop_if_cancelled()
        for reply in replies:
            self._outbox.put(reply)
        self._changed.set()

    def sent(self) -> None:
        """Note that the caller has read something: there may be room for more."""
        if self._current is not None:
            self._service.runner.batcher.notify(self._current[1])

    async def speak(self) -> None:
        """Speak segment after segment, for as long as the caller is here."""
        while True:
            begun = self._machine.begin()
            if begun is None:
                await self._changed.wait()
                self._changed.clear()
                continue
            messages, request = begun
            self._put(messages, request)
            self._put(await self._spoken(request), request)

    async def _spoken(self, request: SegmentRequest) -> list[str]:
        """Speak one segment; return the messages that end it."""
        asked = asyncio.get_running_loop().time()
        spoken = await self._service.in_words(request.text, request.stream.language)
        if not spoken.text:
            return self._machine.complete(request, unspoken=spoken.unspoken)
        segment = Segment(
            spoken.text,
            request.stream.voice,
            request.stream.language,
            SynthesisMode(request.mode),
            request.preset,
        )
        samples = 0
        rate = RateChange(self._service.info.sample_rate, request.stream.sample_rate)

        def on_audio(pcm: bytes) -> None:
            nonlocal samples
            if not samples:
                self._service.metrics.latency.observe(asyncio.get_running_loop().time() - asked)
            samples += len(pcm) // 2
            self._send(request, rate.feed(pcm))

        try:
            async with self._service.speaking(
                segment, on_audio, self._has_room, self._plays_until()
            ) as speaking:
                self._current = request, speaking
                self._stop_if_cancelled()
                self._service.runner.batcher.notify(speaking)
                await asyncio.wait([speaking.finished])
                if request.stream.cancelled:
                    return []
                self._heard = request.stream, speaking.plays_until
                last = speaking.finished.result()
        except SpeechError as error:
            return self._machine.fail(request, str(error))
        finally:
            self._current = None
        self._send(request, rate.finish())
        return await self._completed(request, spoken, last, samples)

    async def _completed(
        self, request: SegmentRequest, spoken: Spoken, last: TtsResult, samples: int
    ) -> list[str]:
        """Return the messages that end a segment of `samples` at the engine's rate."""
        times: Sequence[WordTime] = ()
        if samples:
            audio_ms = samples / self._service.info.sample_rate * 1000
            times = await _off_the_loop_if_long(request.text, spoken.times, last.words, audio_ms)
        unspoken = (*spoken.unspoken, *last.unspoken)
        return self._machine.complete(request, times, estimated=not last.words, unspoken=unspoken)

    def _send(self, request: SegmentRequest, pcm: bytes) -> None:
        if pcm and self._machine.audio(request, pcm):
            for start in range(0, len(pcm), _PIECE_BYTES):
                self._outbox.put(pcm[start : start + _PIECE_BYTES], request.stream)

    def _stop_if_cancelled(self) -> None:
        self._outbox.drop(lambda tag: isinstance(tag, Stream) and tag.cancelled)
        if self._current is not None and self._current[0].stream.cancelled:
            self._service.runner.batcher.leave(self._current[1])
            self._service.metrics.cancelled.inc()
            self._current[1].stop()

    def _plays_until(self) -> float:
        """Return when the caller will have played all that was sent; cancelled audio is not played."""
        return 0.0 if self._heard is None or self._heard[0].cancelled else self._heard[1]

    def _has_room(self) -> bool:
        return self._outbox.waiting_bytes < self._max_ahead

    def _put(self, messages: list[str], request: SegmentRequest) -> None:
        if not request.stream.cancelled:
            for message in messages:
                self._outbox.put(message, request.stream)


async def _off_the_loop_if_long(text: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Work on `text`: in a thread of its own where it has more than a few sentences."""
    if len(text) > _LONG_TEXT:
        return await asyncio.to_thread(function, *args, **kwargs)
    return function(*args, **kwargs)


class TtsService:
    """Synthesis for many callers on one engine."""

    def __init__(self, engine: TtsEngine, settings: TtsSettings) -> None:
        self.metrics = ServerMetrics("tts", engine.info.capacity)
        self.runner = EngineRunner(engine, self.metrics)
        self.callers = Callers()
        self._floor = PlayoutScheduler(self.runner.batcher.notify)
        self.settings = settings

    @property
    def info(self) -> TtsInfo:
        return self.runner.engine.info

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the engine, and what turns text into words, and speak while the context lasts."""
        self.runner.batcher.post(warm_up, tuple(VOCABULARIES))
        async with self.runner.running():
            yield

    async def converse(self, channel: Channel) -> None:
        """Speak for one caller until it goes. Raises Full, ChannelClosed."""
        async with self.runner.place(lambda: channel.gone):
            await self._session(channel)

    async def in_words(self, text: str, language: str) -> Spoken:
        """Return `text` as it is spoken."""
        return await _off_the_loop_if_long(text, say, text, language)

    @asynccontextmanager
    async def speaking(
        self,
        segment: Segment,
        on_audio: Callable[[bytes], None],
        has_room: Callable[[], bool],
        plays_until: float = 0.0,
    ) -> AsyncIterator[SpeechHandle]:
        """Open a segment at the engine; on leaving, finished or not, the engine stops it.

        Args:
            on_audio: Takes PCM as it is made.
            has_room: True if the listener can take more now; the segment waits while it cannot.
            plays_until: When the listener will have played what it was sent before, on the loop's clock.
        """
        engine, batcher = self.runner.engine, self.runner.batcher
        stream = await batcher.open(lambda: engine.open(segment), engine.close)
        speaking = SpeechHandle(
            stream,
            segment.mode,
            self.info.sample_rate,
            self._counted(on_audio),
            has_room,
            plays_until,
            self._floor,
        )
        speaking.finished.add_done_callback(self._count_failure)
        try:
            yield speaking
        finally:
            batcher.leave(speaking)
            self._floor.leave(speaking)
            batcher.post(engine.close, stream)

    def _counted(self, on_audio: Callable[[bytes], None]) -> Callable[[bytes], None]:
        def count(pcm: bytes) -> None:
            self.metrics.audio.inc(len(pcm) / 2 / self.info.sample_rate)
            on_audio(pcm)

        return count

    def _count_failure(self, finished: asyncio.Future[TtsResult]) -> None:
        if not finished.cancelled() and finished.exception() is not None:
            self.metrics.failures.inc()

    async def _session(self, channel: Channel) -> None:
        info = self.info
        machine = TtsServer(self.capabilities)
        trouble = asyncio.get_running_loop().create_future()
        outbox = Outbox(channel, trouble, limit_bytes=64 * 1024 * 1024)
        session = SynthesisConnection(
            self, machine, outbox, int(self.settings.max_ahead_s * info.sample_rate * 2)
        )
        logger.info("a caller is here ({} of {})", self.runner.active, info.capacity)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(outbox.run(session.sent))
                tasks.create_task(fail_with(trouble))
                tasks.create_task(session.speak())
                while True:
                    session.receive(await channel.receive())
        finally:
            logger.info("a caller has gone")

    def capabilities(self) -> Capabilities:
        """Return what can be said now: voices may be learnt while callers are here."""
        info = self.info
        return Capabilities(info.sample_rate, info.voices, info.languages, info.presets, info.max_text)

    def health(self) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and body of `GET /health`."""
        return self.runner.health(self.callers.draining)


SERVICE: web.AppKey[TtsService] = web.AppKey("service", TtsService)


def make_engine(settings: TtsSettings) -> TtsEngine:
    """Make the engine of `settings`. Raises ConfigurationError for an option that it does not take."""
    return tts_engine(settings.engine, **own_options(settings.engine, settings.options))


def build_app(engine: TtsEngine | None = None, settings: TtsSettings | None = None) -> web.Application:
    """Return the aiohttp application: `/ws/tts/stream`, `/v1/audio/*`, `/voices`, `/health`, `/metrics`."""
    settings = settings or TtsSettings()
    service = TtsService(engine or make_engine(settings), settings)
    app = web.Application(middlewares=[errors_as_json])
    Cors(settings.cors_origins).install(app)

    async def get_health(request: web.Request) -> web.Response:
        status, body = service.health()
        return web.json_response(body, status=status)

    async def lifespan(app: web.Application) -> AsyncIterator[None]:
        async with service.running():
            yield

    app.add_routes(
        [
            web.get("/ws/tts/stream", websocket_handler(service.converse, _error_message, service.callers)),
            web.get("/health", get_health),
            web.get("/metrics", service.metrics.handle),
            *speech_routes(service),
            *VoiceStore(service).routes(),
        ]
    )
    app.cleanup_ctx.append(lifespan)
    app[SERVICE] = service
    return app


def build_asgi(engine: TtsEngine | None = None, settings: TtsSettings | None = None) -> Any:
    """Return the WebSocket half of the server as an ASGI application, for deployments that want one."""
    settings = settings or TtsSettings()
    service = TtsService(engine or make_engine(settings), settings)
    return asgi(service.converse, _error_message, service.callers, service.health, service.running)


def _error_message(error: SpeechError) -> str:
    return encode(TtsError(message=str(error), fatal=True))


def main(arguments: list[str] | None = None) -> None:
    """Run the server: `python -m nemotron_speech.tts_server --engine espeak --port 8001`."""
    serve("synthesis", TtsSettings, build_app, lambda app: app[SERVICE].callers, arguments)


if __name__ == "__main__":
    main()
