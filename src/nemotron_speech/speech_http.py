"""Synthesis over plain HTTP: OpenAI's `POST /v1/audio/speech`, and what the server can say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import pydantic
from aiohttp import web
from loguru import logger

from nemotron_speech.audio import wav_header
from nemotron_speech.engines.base import Segment
from nemotron_speech.errors import BadRequest, SpeechError, require
from nemotron_speech.text import say

if TYPE_CHECKING:
    from nemotron_speech.tts_server import Speaking, TtsService

_QUEUED_PIECES = 64
_CONTENT_TYPES = {"wav": "audio/wav", "pcm": "audio/pcm"}


class SpeechRequest(pydantic.BaseModel):
    """The body of `POST /v1/audio/speech`; fields this server has no use for are ignored."""

    input: str = pydantic.Field(min_length=1)
    voice: str | None = None
    language: str | None = None
    response_format: Literal["wav", "pcm"] = "wav"
    speed: float = pydantic.Field(default=1.0, ge=0.25, le=4.0)


def speech_routes(service: TtsService) -> list[web.RouteDef]:
    """Return the HTTP routes of a synthesis service."""

    async def config(request: web.Request) -> web.Response:
        info = service.info
        return web.json_response(
            {
                "sample_rate": info.sample_rate,
                "channels": 1,
                "encoding": "pcm_s16le",
                "model": info.model,
                "engine": info.name,
                "languages": info.languages,
                "presets": info.presets,
                "max_text": info.max_text,
            }
        )

    async def voices(request: web.Request) -> web.Response:
        info = service.info
        return web.json_response(
            {"voices": info.voices, "default": info.voices[0], "languages": info.languages}
        )

    async def speech(request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        segment = _segment(service, body)
        with service.runner.place():
            return await _stream(service, request, segment, body.response_format)

    return [
        web.get("/v1/audio/config", config),
        web.get("/voices", voices),
        web.get("/v1/audio/voices", voices),
        web.post("/v1/audio/speech", speech),
    ]


async def _body(request: web.Request) -> SpeechRequest:
    try:
        return SpeechRequest.model_validate_json(await request.read())
    except pydantic.ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors())
        raise BadRequest(problems) from None


def _segment(service: TtsService, body: SpeechRequest) -> Segment:
    info = service.info
    voice, language = body.voice or info.voices[0], body.language or info.languages[0]
    require("voice", voice, info.voices)
    require("language", language, info.languages)
    if len(body.input) > info.max_text:
        raise BadRequest(f"input may have {info.max_text} characters, this one has {len(body.input)}")
    return Segment(say(body.input, language).text, voice, language, speed=body.speed)


async def _stream(
    service: TtsService, request: web.Request, segment: Segment, response_format: str
) -> web.StreamResponse:
    """Send the audio as it is made; the status is decided by the first of it."""
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    rate = service.info.sample_rate
    async with service.speaking(
        segment, pieces.put_nowait, lambda: pieces.qsize() < _QUEUED_PIECES
    ) as speaking:
        service.runner.batcher.notify(speaking)
        first = await _next(pieces, speaking)
        response = web.StreamResponse(
            headers={"Content-Type": _CONTENT_TYPES[response_format], "X-Sample-Rate": str(rate)}
        )
        await response.prepare(request)
        if response_format == "wav":
            await response.write(wav_header(rate))
        piece = first
        try:
            while piece:
                await response.write(piece)
                service.runner.batcher.notify(speaking)
                piece = await _next(pieces, speaking)
            await response.write_eof()
        except SpeechError as error:
            logger.warning("speech broke off: {}", error)
            response.force_close()  # the status has been sent; a cut connection is the only sign left
            if request.transport is not None:
                request.transport.abort()
        return response


async def _next(pieces: asyncio.Queue[bytes], speaking: Speaking) -> bytes:
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
