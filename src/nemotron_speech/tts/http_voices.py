"""A synthesiser's voices over HTTP: which there are, and new ones learnt from a clip where the engine can."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, cast

from aiohttp import BodyPartReader, web
from loguru import logger

from nemotron_speech import audio, sound_files
from nemotron_speech.engines.base import CloneLimits, VoiceCloner
from nemotron_speech.engines.registry import tts_names_that
from nemotron_speech.errors import BadRequest, NotSupported, TooLarge

if TYPE_CHECKING:
    from nemotron_speech.tts_server import TtsService

MAX_CLIP_BYTES = 10 * 1024 * 1024
_TOLERANCE_S = 0.1
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class VoiceStore:
    """The voices of a service, and those that were learnt since it started."""

    def __init__(self, service: TtsService) -> None:
        self._service = service
        self._cloned: list[str] = []
        self._changing = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/voices", self._list),
            web.get("/v1/audio/voices", self._list),
            web.post("/voices", self._add),
            web.post("/v1/audio/voices", self._add),
            web.delete("/voices/{name}", self._remove),
            web.delete("/v1/audio/voices/{name}", self._remove),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        info = self._service.info
        body = {"voices": info.voices, "default": info.voices[0], "languages": info.languages}
        if limits := info.cloning:
            told = {"min_s": limits.min_s, "max_s": limits.max_s, "max_bytes": MAX_CLIP_BYTES}
            body |= {"cloned": self._cloned, "cloning": {**told, "max_voices": limits.voices}}
        return web.json_response(body)

    async def _add(self, request: web.Request) -> web.Response:
        limits, _ = await self._cloner()
        fields = await _form(request)
        name = fields.get("name", b"").decode(errors="replace")
        if not _NAME.fullmatch(name):
            raise BadRequest("name: 1 to 32 lower-case letters, digits, - or _, a letter or digit first")
        if "clip" not in fields:
            raise BadRequest("clip: a sound file with the voice is missing")
        clip = await asyncio.to_thread(sound_files.read, fields["clip"], limits.max_s + _TOLERANCE_S)
        _check_length(clip.seconds, limits)
        async with self._service.runner.place():  # learning is work for the engine, like speaking
            await self._clone(name, clip)
        return web.json_response({"voice": name, "clip_s": round(clip.seconds, 2)}, status=201)

    async def _clone(self, name: str, clip: audio.Clip) -> None:
        limits, engine = await self._cloner()
        async with self._changing:
            if name in self._service.info.voices:
                raise BadRequest(f"there is a voice named {name!r} already; choose another name")
            if len(self._cloned) >= limits.voices:
                raise BadRequest(
                    f"{limits.voices} voices have been cloned, as many as are kept; DELETE one first"
                )
            await self._service.runner.batcher.call(engine.clone, name, clip)
            self._cloned.append(name)
        logger.info("a voice was cloned: {}", name)

    async def _remove(self, request: web.Request) -> web.Response:
        _, engine = await self._cloner()
        name = request.match_info["name"]
        async with self._changing:
            if name not in self._cloned:
                raise BadRequest(
                    f"no cloned voice {name[:40]!r}; cloned: {', '.join(self._cloned) or 'none'}"
                )
            await self._service.runner.batcher.call(engine.forget, name)
            self._cloned.remove(name)
        return web.Response(status=204)

    async def _cloner(self) -> tuple[CloneLimits, VoiceCloner]:
        info = self._service.info
        if info.cloning is None:
            others = await asyncio.to_thread(tts_names_that, lambda one: one.cloning is not None)
            can = ", ".join(others) or "none of those installed"
            raise NotSupported(f"the {info.name} engine clones no voices; engines that can: {can}")
        return info.cloning, cast("VoiceCloner", self._service.runner.engine)


def _check_length(seconds: float, limits: CloneLimits) -> None:
    allowed = f"allowed: {limits.min_s:g} to {limits.max_s:g} s"
    if seconds < limits.min_s:
        raise BadRequest(f"clip: {seconds:.1f} s long; {allowed}")
    if seconds >= limits.max_s + _TOLERANCE_S:
        raise BadRequest(f"clip: {limits.max_s:.1f} s long or more; {allowed}")


async def _form(request: web.Request) -> dict[str, bytes]:
    """Return the fields of a multipart form. Raises BadRequest, TooLarge."""
    if request.content_type != "multipart/form-data":
        raise BadRequest("send a multipart form with the fields name and clip")
    fields: dict[str, bytes] = {}
    left = MAX_CLIP_BYTES
    try:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name:
                fields[part.name] = await _part(part, left)
                left -= len(fields[part.name])
    except (ValueError, AssertionError) as error:
        raise BadRequest(f"not a multipart form: {error}") from None
    return fields


async def _part(part: BodyPartReader, limit: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk(64 * 1024):
        data += chunk
        if len(data) > limit:
            raise TooLarge(f"a clip may have {MAX_CLIP_BYTES} bytes")
    return bytes(data)
