"""Synthesis over plain HTTP: OpenAI's `POST /v1/audio/speech`, and what the server can say."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import quote

from aiohttp import web
from loguru import logger

from nemotron_speech.engines.base import Segment, TtsInfo
from nemotron_speech.engines.registry import tts_names_that
from nemotron_speech.errors import BadRequest, NotFound, SpeechError
from nemotron_speech.languages import matched
from nemotron_speech.protocol.tts_streams import default_preset
from nemotron_speech.text import Spoken
from nemotron_speech.tts import openai_names, speech_request
from nemotron_speech.tts.encoders import Encoder, check_format, encoder, formats
from nemotron_speech.tts.speech_request import SpeechRequest

if TYPE_CHECKING:
    from nemotron_speech.tts.scheduler import SpeechHandle
    from nemotron_speech.tts_server import TtsService

_QUEUED_PIECES = 64
_IN_MEMORY_BYTES = 4 * 1024 * 1024
"""Most bytes of a clip sent whole that are held in memory; a longer clip waits on disk."""
_SENT_BYTES = 64 * 1024


def speech_routes(service: TtsService) -> list[web.RouteDef]:
    """Return the HTTP routes of a synthesis service."""

    async def config(request: web.Request) -> web.Response:
        info = service.info
        return web.json_response(
            {
                "sample_rate": info.sample_rate,
                "channels": 1,
                "encoding": "pcm_s16le",
                "response_formats": formats(),
                "model": info.model,
                "engine": info.name,
                "languages": info.languages,
                "presets": info.presets,
                "speeds": info.speeds,
                "max_text": info.max_text,
            }
        )

    def own_model(id: str) -> dict[str, Any]:
        return {"id": id, "object": "model", "created": 0, "owned_by": service.info.name}

    async def models(request: web.Request) -> web.Response:
        own = openai_names.model_id(service.info.model)
        return web.json_response({"object": "list", "data": [own_model(own)]})

    async def model(request: web.Request) -> web.Response:
        asked, own = request.match_info["id"], openai_names.model_id(service.info.model)
        if asked not in (own, *openai_names.MODELS):
            raise NotFound(
                f"there is no model {asked[:40]!r}; there is {own}, also as {', '.join(openai_names.MODELS)}"
            )
        return web.json_response(own_model(asked))

    async def speech(request: web.Request) -> web.StreamResponse:
        body = await speech_request.read(request)
        check_format(body.response_format)
        segment, spoken = await _segment(service, body)
        async with service.runner.place(lambda: _has_left(request)):
            if body.is_streamed(request):
                return await _stream(service, request, segment, spoken, _delivery(service, body))
            return await _whole(service, request, segment, spoken, body)

    return [
        web.get("/v1/audio/config", config),
        web.get("/v1/models", models),
        web.get("/v1/models/{id:.+}", model),
        web.post("/v1/audio/speech", speech),
    ]


async def _segment(service: TtsService, body: SpeechRequest) -> tuple[Segment, Spoken]:
    info = service.info
    language = matched(body.language, info.languages) if body.language else info.languages[0]
    voice = openai_names.voice_of(
        body.voice_name or info.voices[0], info.voices, service.settings.voice_names
    )
    if len(body.input) > info.max_text:
        raise BadRequest(f"input may have {info.max_text} characters, this one has {len(body.input)}")
    await _check_speed(info, body.speed)
    segment = Segment("", voice, language, preset=default_preset(info.presets), speed=body.speed)
    segment.check(info)
    spoken = await service.in_words(body.input, language)
    return replace(segment, text=spoken.text), spoken


async def _check_speed(info: TtsInfo, speed: float) -> None:
    """Raise BadRequest, with the engines that can, where the engine has no control of its speed."""
    if speed != 1.0 and info.speeds[0] == info.speeds[1]:
        others = await asyncio.to_thread(tts_names_that, lambda one: one.speeds[0] < one.speeds[1])
        raise BadRequest(
            f"{info.name} speaks at speed 1 alone; engines that can change it: {', '.join(others)}"
        )


class _Delivery:
    """Framing of encoded audio: raw bytes, or OpenAI's server-sent events."""

    def __init__(self, encoding: Encoder) -> None:
        self.encoding = encoding
        self.headers = {"Content-Type": encoding.content_type, "X-Sample-Rate": str(encoding.sample_rate)}

    async def piece(self, pcm: bytes) -> bytes:
        return self.wrapped(await self.encoded(pcm))

    async def rest(self) -> bytes:
        return self.wrapped(await self.encoded())

    async def encoded(self, pcm: bytes | None = None) -> bytes:
        """Return what is ready of the format; the rest where no audio is given."""
        work = self.encoding.finish if pcm is None else partial(self.encoding.feed, pcm)
        return await asyncio.to_thread(work) if self.encoding.compresses else work()

    def wrapped(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


class _Events(_Delivery):
    """Audio in base64 in `speech.audio.delta` events; `speech.audio.done` at the end."""

    def __init__(self, encoding: Encoder) -> None:
        super().__init__(encoding)
        self.headers["Content-Type"] = "text/event-stream"

    def wrapped(self, data: bytes) -> bytes:
        if not data:
            return b""
        return self._event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})

    def end(self) -> bytes:
        usage = {
            "input_tokens": 0,
            "output_tokens": 0,
            "total_tokens": 0,
        }  # clients read it; nobody is billed
        return self._event({"type": "speech.audio.done", "usage": usage})

    def _event(self, fields: dict[str, Any]) -> bytes:
        return f"data: {json.dumps(fields)}\n\n".encode()


def _delivery(service: TtsService, body: SpeechRequest) -> _Delivery:
    encoding = encoder(body.response_format, service.info.sample_rate, body.rate)
    return _kind_of(body)(encoding)


def _kind_of(body: SpeechRequest) -> type[_Delivery]:
    return _Events if body.stream_format == "sse" else _Delivery


async def _stream(
    service: TtsService, request: web.Request, segment: Segment, spoken: Spoken, delivery: _Delivery
) -> web.StreamResponse:
    """Send the audio as it is made; the status is decided by the first of it."""
    async with _speech(service, segment) as pieces:
        first = await anext(pieces, b"")
        response = web.StreamResponse(headers={**delivery.headers, **_unspoken(spoken)})
        await response.prepare(request)
        write = _writer(response)
        try:
            await write(await delivery.piece(first))
            async for pcm in pieces:
                await write(await delivery.piece(pcm))
            await write(await delivery.rest() + delivery.end())
            await response.write_eof()
        except SpeechError as error:
            logger.warning("speech broke off: {}", error)
            response.force_close()  # the status has been sent; a cut connection is the only sign left
            if request.transport is not None:
                request.transport.abort()
        except ConnectionResetError:
            logger.info("a listener has gone before the end")
        return response


async def _whole(
    service: TtsService, request: web.Request, segment: Segment, spoken: Spoken, body: SpeechRequest
) -> web.StreamResponse:
    """Send the audio when all of it is made, with its length; as events where those are asked for."""
    with SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
        encoding = encoder(body.response_format, service.info.sample_rate, body.rate, cast("BinaryIO", file))
        delivery, size = _kind_of(body)(encoding), 0
        async with _speech(service, segment) as pieces:
            async for pcm in pieces:
                if _has_left(request):
                    return web.Response()
                size += len(pcm)
                await delivery.encoded(pcm)
        await delivery.encoded()
        duration_ms = round(size / 2 / service.info.sample_rate * 1000)
        response = web.StreamResponse(
            headers={**delivery.headers, **_unspoken(spoken), "X-Duration-Ms": str(duration_ms)}
        )
        if not isinstance(delivery, _Events):
            response.content_length = file.tell()
        await response.prepare(request)
        file.seek(0)
        write = _writer(response)
        with suppress(ConnectionResetError):
            while data := file.read(_SENT_BYTES):
                await write(delivery.wrapped(data))
            await write(delivery.end())
            await response.write_eof()
        return response


def _has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _unspoken(spoken: Spoken) -> dict[str, str]:
    return {"X-Unspoken": quote(" ".join(spoken.unspoken)[:200])} if spoken.unspoken else {}


def _writer(response: web.StreamResponse) -> Callable[[bytes], Awaitable[None]]:
    async def write(data: bytes) -> None:
        if data:
            await response.write(data)

    return write


@asynccontextmanager
async def _speech(service: TtsService, segment: Segment) -> AsyncIterator[AsyncIterator[bytes]]:
    """Speak a segment while the context lasts; yields its audio, which raises what the engine failed with."""
    if not segment.text:
        yield _nothing()
        return
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    async with service.speaking(
        segment, pieces.put_nowait, lambda: pieces.qsize() < _QUEUED_PIECES
    ) as speaking:
        yield _pieces(service, pieces, speaking)


async def _pieces(
    service: TtsService, pieces: asyncio.Queue[bytes], speaking: SpeechHandle
) -> AsyncIterator[bytes]:
    service.runner.batcher.notify(speaking)
    while piece := await _next(pieces, speaking):
        yield piece
        service.runner.batcher.notify(speaking)


async def _nothing() -> AsyncIterator[bytes]:
    for piece in ():
        yield piece


async def _next(pieces: asyncio.Queue[bytes], speaking: SpeechHandle) -> bytes:
    """Return the next audio, or nothing at the end. Raises what the engine failed with."""
    while pieces.empty():
        if speaking.finished.done():
            error = speaking.finished.exception()
            if isinstance(error, SpeechError):
                raise error
            return b""
        getting = asyncio.ensure_future(pieces.get())
        await asyncio.wait([getting, speaking.finished], return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
        getting.cancel()
    return pieces.get_nowait()
