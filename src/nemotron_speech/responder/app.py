"""The responder's HTTP server: llama.cpp's routes over aiohttp."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias
from uuid import uuid4

import msgspec
from aiohttp import web
from loguru import logger

from nemotron_speech.errors import BadRequest, NotFound, SpeechError
from nemotron_speech.responder import wire
from nemotron_speech.responder.generation import Generation, Respond, TokenPace, generate
from nemotron_speech.responder.metrics import Totals
from nemotron_speech.responder.requests import (
    ContextOverflow,
    GenerationJob,
    read_chat,
    read_completion,
    read_template,
)
from nemotron_speech.responder.slots import SlotPool
from nemotron_speech.responder.talk.replies import reply
from nemotron_speech.responder.tokens import tokenize

MAX_BODY_BYTES = 8 * 1024 * 1024

Shape: TypeAlias = wire.ChatShape | wire.CompletionShape
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class ResponderOptions:
    """Options of the responder."""

    parallel: int = 2
    """Slots: answers given at once; further requests wait."""
    ctx: int = 16384
    """Tokens of context, shared out evenly between the slots."""
    pace: TokenPace = field(default_factory=TokenPace)
    model: str = "built-in-responder"

    @property
    def n_ctx(self) -> int:
        """Tokens of context of one slot."""
        return self.ctx // self.parallel


def build_app(options: ResponderOptions | None = None, respond: Respond = reply) -> web.Application:
    """Make the application. `respond` says what comes next in a conversation.

    Serve it with `handler_cancellation=True`: a closed connection is what stops an answer.
    """
    responder = _Responder(options or ResponderOptions(), respond)
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[error_boundary])
    app.add_routes(
        [
            web.get("/health", responder.health),
            web.get("/v1/health", responder.health),
            web.get("/props", responder.props),
            web.get("/slots", responder.slots),
            web.get("/metrics", responder.metrics),
            web.get("/models", responder.models),
            web.get("/v1/models", responder.models),
            web.get("/v1/models/{id:.+}", responder.own_model),
            web.post("/tokenize", responder.tokenize),
            web.post("/apply-template", responder.apply_template),
            web.post("/completion", responder.complete),
            web.post("/completions", responder.complete),
            web.post("/chat/completions", responder.chat),
            web.post("/v1/chat/completions", responder.chat),
        ]
    )
    return app


@web.middleware
async def error_boundary(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what went wrong into llama.cpp's error body; the one place where that happens."""
    try:
        return await handler(request)
    except SpeechError as error:
        return _json({"error": wire.error_body(error)}, status=error.http_status)
    except web.HTTPException as error:
        answer = _json({"error": wire.http_error_body(error.status, error.reason)}, status=error.status)
        if allowed := error.headers.get("Allow"):
            answer.headers["Allow"] = allowed
        return answer
    except ConnectionResetError:
        raise  # nobody is there to read an answer
    except Exception as error:  # noqa: BLE001  a bug in one request must not end in a page of text
        logger.opt(exception=error).error("a request failed: {} {}", request.method, request.path)
        return _json({"error": wire.http_error_body(500, "internal error")}, status=500)


class _Responder:
    def __init__(self, options: ResponderOptions, respond: Respond) -> None:
        self._options = options
        self._respond = respond
        self._pool = SlotPool(options.parallel)
        self._totals = Totals()
        self._tasks = count()
        self._started = int(time.time())

    async def health(self, request: web.Request) -> web.Response:
        return _json({"status": "ok", "pid": os.getpid()})

    async def props(self, request: web.Request) -> web.Response:
        options = self._options
        return _json(wire.props(options.model, options.parallel, options.n_ctx))

    async def slots(self, request: web.Request) -> web.Response:
        return _json(wire.slot_states(self._pool.slots, self._options.n_ctx))

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=self._totals.exposition(self._pool), content_type="text/plain")

    async def models(self, request: web.Request) -> web.Response:
        return _json(wire.models(self._options.model, self._options.n_ctx, self._started))

    async def own_model(self, request: web.Request) -> web.Response:
        asked, own = request.match_info["id"], self._options.model
        if asked != own:
            raise NotFound(f"there is no model {asked[:40]!r}; there is {own}")
        return _json(wire.models(own, self._options.n_ctx, self._started)["data"][0])

    async def tokenize(self, request: web.Request) -> web.Response:
        try:
            content = msgspec.json.decode(await request.read(), type=_TokenizeBody).content
        except (msgspec.DecodeError, UnicodeError) as error:
            raise BadRequest(str(error)) from None
        return _json({"tokens": tokenize(content)})

    async def apply_template(self, request: web.Request) -> web.Response:
        return _json({"prompt": read_template(await request.read())})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        job = read_completion(await request.read())
        return await self._answer(request, job, wire.CompletionShape(self._options.model))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        job = read_chat(await request.read())
        shape = wire.ChatShape(f"chatcmpl-{uuid4().hex}", self._options.model, int(time.time()))
        return await self._answer(request, job, shape)

    async def _answer(self, request: web.Request, job: GenerationJob, shape: Shape) -> web.StreamResponse:
        if len(job.tokens) >= self._options.n_ctx:
            raise ContextOverflow(len(job.tokens), self._options.n_ctx)
        wanted = job.slot if job.slot is not None and job.slot < self._options.parallel else None
        async with self._pool.use(wanted, job.tokens) as slot:
            generation = Generation(job, next(self._tasks), slot.id)
            texts = generate(generation, slot, self._respond, self._options.pace, self._options.n_ctx)
            async with self._accounted(generation), aclosing(texts):
                if job.stream:
                    return await _stream(request, generation, texts, shape)
                async for _ in texts:
                    pass
            return _json(shape.whole(generation))

    @asynccontextmanager
    async def _accounted(self, generation: Generation) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._totals.add(generation)
            outcome = "answered" if generation.stop_type != "none" else "given up"
            cached, evaluated, predicted = generation.cached, generation.evaluated, generation.predicted
            logger.info(
                f"slot {generation.slot}: {outcome}, {cached} tokens cached, {evaluated} evaluated, "
                f"{predicted} generated"
            )


class _TokenizeBody(msgspec.Struct):
    content: str


async def _stream(
    request: web.Request, generation: Generation, texts: AsyncIterator[str], shape: Shape
) -> web.StreamResponse:
    """Send the answer as it is made; a connection that has gone ends it like a cancellation."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    with suppress(ConnectionResetError):
        await response.prepare(request)
        async for chunks in _chunks(generation, texts, shape):
            await response.write(_events(chunks))
        if isinstance(shape, wire.ChatShape):
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
    return response


async def _chunks(
    generation: Generation, texts: AsyncIterator[str], shape: Shape
) -> AsyncIterator[list[wire.Json]]:
    opening: list[wire.Json] | None = None
    async for text in texts:
        if opening is None:
            opening = shape.opening(generation)
            yield opening
        if text:
            yield [shape.delta(text, generation)]
    yield [*(shape.opening(generation) if opening is None else ()), *shape.closing(generation)]


def _events(chunks: list[wire.Json]) -> bytes:
    return b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks)


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")
