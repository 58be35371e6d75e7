"""Plain language model servers that recite a script: llama.cpp with one slot state, and vLLM.

    uv run python -m benchmarks.doubles.plain_llm --port 8000 --script script.json --kind hybrid --slots 1

They keep to the public protocols, and to what the real ones do with their prompt caches. `GET /counts` says
what they were asked and what that cost; `DELETE /counts` forgets it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import msgspec
from aiohttp import web

from benchmarks.doubles.prompt_cache import call_text, render, text_of, tokenize
from benchmarks.doubles.prompt_engines import (
    AnswerPart,
    BlockEngine,
    Engine,
    Job,
    Pace,
    Part,
    ProgressPart,
    Record,
    SlotEngine,
)

MODEL = "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"
KINDS = ("hybrid", "attention", "vllm")

Json: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ToolReply(msgspec.Struct, frozen=True):
    """A reply that first calls a tool."""

    tool: str
    then: str
    """Answer once the tool has returned."""
    arguments: dict[str, Any] = {}


class LlmScript(msgspec.Struct, frozen=True):
    """Script of the model: its answers, and the time they take."""

    greeting: str = "Hello."
    """Answer while no user has spoken."""
    replies: tuple[str | ToolReply, ...] = ("I heard you.",)
    """One per turn of the user, in turn."""
    first_token_ms: float = 0.0
    """Delay before the first token of an answer that is not a continuation, on top of the rest."""
    request_ms: float = 15.0
    """Delay before each request's evaluation begins."""
    prompt_tokens_per_second: float = 1000.0
    tokens_per_second: float = 60.0
    """Generated tokens a second; 0: as fast as the connection takes them."""

    @property
    def pace(self) -> Pace:
        token_s = 1 / self.tokens_per_second if self.tokens_per_second else 0.0
        first_s = self.first_token_ms / 1000
        return Pace(self.request_ms / 1000, self.prompt_tokens_per_second, token_s, first_s)

    def reply(self, messages: Sequence[Mapping[str, Any]]) -> str | ToolReply:
        """Return what is said to the last user message; it depends on how many came before alone."""
        spoken = sum(message["role"] == "user" for message in messages)
        reply = self.replies[(spoken - 1) % len(self.replies)] if spoken else self.greeting
        answered = bool(messages) and messages[-1]["role"] == "tool"
        return reply.then if isinstance(reply, ToolReply) and answered else reply


class _File(msgspec.Struct, frozen=True):
    llm: LlmScript = LlmScript()


@dataclass(slots=True)
class Refusal(Exception):
    """A request that the server answers with an error."""

    status: int
    message: str
    type: str = "invalid_request_error"


@dataclass
class PlainServer:
    """One server: routes, and the records of what was asked.

    Args:
        script: Answers of the model.
        kind: One of "hybrid" and "attention" (llama.cpp), "vllm".
        slots: Slots of llama.cpp.
        n_ctx: Tokens of context of each conversation.
        model: The name that vLLM serves it by.
        states_cache: True if vLLM says how many tokens were cached, which it does only on request.
    """

    script: LlmScript
    kind: str = "hybrid"
    slots: int = 1
    n_ctx: int = 8192
    model: str = MODEL
    states_cache: bool = True
    records: list[Record] = field(default_factory=list)
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        if self.is_vllm:
            self.engine = BlockEngine(self.script.pace)
        else:
            rewind = "any token" if self.kind == "attention" else "none"
            self.engine = SlotEngine(self.script.pace, rewind, self.slots)

    @property
    def is_vllm(self) -> bool:
        return self.kind == "vllm"

    def app(self) -> web.Application:
        """Make the application. Serve it with `handler_cancellation=True`."""
        app = web.Application(middlewares=[self._boundary])
        routes = {"/health": self._health, "/v1/models": self._models, "/counts": self._counts}
        if self.is_vllm:
            routes["/version"] = self._version
        else:
            routes |= {"/props": self._props, "/slots": self._slots}
            app.router.add_post("/tokenize", self._tokenize)
            app.router.add_post("/apply-template", self._apply_template)
            app.router.add_post("/completion", self._completion)
        for path, handler in routes.items():
            app.router.add_get(path, handler)
        app.router.add_delete("/counts", self._forget)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, app: web.Application) -> None:
        await self.engine.close()

    @web.middleware
    async def _boundary(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refusal as refusal:
            error: Json = {"message": refusal.message, "type": refusal.type, "code": refusal.status}
            return web.json_response({"error": error}, status=refusal.status)
        except web.HTTPNotFound:
            return web.json_response({"detail": "Not Found"}, status=404)

    # ------------------------------------------------------------------------------- what is asked of it

    def counts(self) -> Json:
        """Return what was asked since the start, and what it cost."""
        answers = [record for record in self.records if record.kind == "answer"]
        return {
            "requests": {"answers": len(answers), "warm_ups": len(self.records) - len(answers)},
            "evaluated": sum(record.evaluated for record in self.records),
            "generated": sum(record.generated for record in self.records),
            "records": [asdict(record) for record in self.records],
        }

    async def _counts(self, request: web.Request) -> web.Response:
        return web.json_response(self.counts())

    async def _forget(self, request: web.Request) -> web.Response:
        self.records.clear()
        return web.json_response(self.counts())

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response() if self.is_vllm else web.json_response({"status": "ok"})

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0.11.0"})

    async def _models(self, request: web.Request) -> web.Response:
        entry: Json = {"id": self.model, "object": "model", "created": 0, "owned_by": "llamacpp"}
        if self.is_vllm:
            entry |= {"owned_by": "vllm", "root": self.model, "parent": None, "max_model_len": self.n_ctx}
        return web.json_response({"object": "list", "data": [entry]})

    async def _props(self, request: web.Request) -> web.Response:
        settings = {"params": {}, "n_ctx": self.n_ctx}
        props = {"total_slots": self.slots, "default_generation_settings": settings}
        return web.json_response({**props, "model_path": "plain.gguf", "build_info": "plain"})

    async def _slots(self, request: web.Request) -> web.Response:
        return web.json_response(self.engine.states())

    async def _tokenize(self, request: web.Request) -> web.Response:
        return web.json_response({"tokens": tokenize((await request.json())["content"])})

    async def _apply_template(self, request: web.Request) -> web.Response:
        return web.json_response({"prompt": self._prompt(await request.json())})

    def _prompt(self, body: Json) -> str:
        opens, tools = body.get("add_generation_prompt", True), body.get("tools") or ()
        return render(body["messages"], tools, open_answer=opens, final_is_open=self._continues(body))

    def _continues(self, body: Json) -> bool:
        """Return whether the answer goes on with the last message; llama.cpp's does, asked to or not."""
        is_open = bool(body["messages"]) and body["messages"][-1]["role"] == "assistant"
        return is_open and (not self.is_vllm or body.get("continue_final_message", False))

    # ----------------------------------------------------------------------------------------- answering

    async def _completion(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        job = self._job(body, body["prompt"], self.script.replies[0], "", body.get("n_predict"))
        return await self._answer(request, body, job, _CompletionShape(job))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if self.is_vllm:
            self._check(body)
        messages, prompt = body["messages"], self._prompt(body)
        begun = text_of(messages[-1]) if self._continues(body) else ""
        reply = self.script.reply(messages)
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        job = self._job(body, prompt, reply, begun, limit)
        usage = (body.get("stream_options") or {}).get("include_usage", False)
        name = body.get("model") or self.model
        return await self._answer(request, body, job, _ChatShape(job, name, self, usage))

    def _check(self, body: Json) -> None:
        """Refuse what vLLM refuses; fields that it does not know it ignores."""
        if body.get("model", self.model) != self.model:
            raise Refusal(404, f"The model `{body['model']}` does not exist.", "NotFoundError")
        if body.get("continue_final_message") and body.get("add_generation_prompt", True):
            fields = "`continue_final_message` and `add_generation_prompt`"
            raise Refusal(400, f"Cannot set both {fields} to True.", "BadRequestError")
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        if limit is not None and limit < 1:
            raise Refusal(400, f"max_tokens must be at least 1, got {limit}.", "BadRequestError")

    def _job(self, body: Json, prompt: str, reply: str | ToolReply, begun: str, limit: int | None) -> Job:
        tokens = tokenize(prompt) or [" "]
        if len(tokens) >= self.n_ctx:
            raise self._overflow(len(tokens))
        is_warm_up = limit is not None and 0 <= limit <= 1
        answer = _answer(reply)
        if begun and answer[0].startswith(begun.rstrip()):
            answer = [answer[0][len(begun) :], *answer[1:]]
        room = self.n_ctx - len(tokens)
        wanted = room if limit is None or limit < 0 else max(1, min(limit, room))
        record = Record(
            time.time(), "warm-up" if is_warm_up else "answer", len(tokens), continues=bool(begun)
        )
        return Job(
            prompt=tokens,
            answer=tokenize("".join(answer)),
            spoken=len(tokenize(answer[0])),
            call=reply if isinstance(reply, ToolReply) else None,
            limit=wanted,
            slot=body.get("id_slot"),
            stops_in_prompt=bool(body.get("return_progress")),
            record=record,
        )

    def _overflow(self, tokens: int) -> Refusal:
        if self.is_vllm:
            length = f"This model's maximum context length is {self.n_ctx} tokens"
            return Refusal(400, f"{length}. However, your request has {tokens}.", "BadRequestError")
        size = f"request ({tokens} tokens) exceeds the available context size ({self.n_ctx} tokens)"
        return Refusal(400, size, "exceed_context_size_error")

    async def _answer(
        self, request: web.Request, body: Json, job: Job, shape: _ChatShape | _CompletionShape
    ) -> web.StreamResponse:
        self.records.append(job.record)
        self.engine.start(job)
        if not body.get("stream"):
            text = "".join([part.text async for part in job.parts() if isinstance(part, AnswerPart)])
            return web.json_response(shape.whole(text))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            await response.prepare(request)
            async for chunk in _chunks(job.parts(), shape):
                await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            if isinstance(shape, _ChatShape):
                await response.write(b"data: [DONE]\n\n")
            await response.write_eof()
        except ConnectionResetError:
            pass
        finally:
            job.drop()
        return response


def _answer(reply: str | ToolReply) -> list[str]:
    """Return the spoken text of a reply, and the tool call behind it."""
    if isinstance(reply, str):
        return [reply]
    return ["", call_text(reply.tool, json.dumps(reply.arguments))]


async def _chunks(parts: AsyncIterator[Part], shape: _ChatShape | _CompletionShape) -> AsyncIterator[Json]:
    async for part in parts:
        for chunk in shape.of(part):
            yield chunk
    for chunk in shape.last():
        yield chunk


# ------------------------------------------------------------------------------------------- shapes


def _timings(job: Job) -> Json:
    record = job.record
    return {
        "cache_n": record.prompt_tokens - record.evaluated,
        "prompt_n": record.evaluated,
        "predicted_n": record.generated,
    }


@dataclass
class _ChatShape:
    """Chunks of `/v1/chat/completions`."""

    job: Job
    model: str
    server: PlainServer
    wants_usage: bool
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    begun: bool = False

    def of(self, part: Part) -> list[Json]:
        """Return the chunks of one part of the answer."""
        opening = [] if self.begun else [self._chunk({"role": "assistant", "content": ""})]
        self.begun = True
        if isinstance(part, ProgressPart):
            progress = {"total": part.total, "cache": part.cached, "processed": part.processed}
            empty = self._chunk({"content": None})
            return [*opening, {**empty, "prompt_progress": {**progress, "time_ms": part.ms}}]
        if not part.is_call:
            return [*opening, self._chunk({"content": part.text})]
        return opening

    def last(self) -> list[Json]:
        """Return the chunks behind the text."""
        chunks = [] if self.job.call is None else [self._call(self.job.call)]
        chunks.append(self._chunk({}, self._reason()))
        extra: Json = {} if self.server.is_vllm else {"timings": _timings(self.job)}
        if self.wants_usage:
            return [*chunks, {**self._head(), "choices": [], "usage": self._usage(), **extra}]
        chunks[-1] |= extra
        return chunks

    def whole(self, text: str) -> Json:
        """Return the answer in one piece."""
        message: Json = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": self._reason()}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._usage()}

    def _reason(self) -> str:
        if self.job.call is not None and not self.job.is_cut:
            return "tool_calls"
        return "length" if self.job.is_cut else "stop"

    def _call(self, call: ToolReply) -> Json:
        function = {"name": call.tool, "arguments": json.dumps(call.arguments)}
        made = {"index": 0, "id": f"call-{uuid4().hex[:9]}", "type": "function", "function": function}
        return self._chunk({"tool_calls": [made]})

    def _usage(self) -> Json:
        record = self.job.record
        usage: Json = {"prompt_tokens": record.prompt_tokens, "completion_tokens": record.generated}
        usage["total_tokens"] = sum(usage.values())
        if self.server.states_cache:
            cached = record.prompt_tokens - record.evaluated
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        return usage

    def _head(self, kind: str = "chat.completion.chunk") -> Json:
        return {"id": self.id, "object": kind, "created": int(time.time()), "model": self.model}

    def _chunk(self, delta: Json, reason: str | None = None) -> Json:
        return {**self._head(), "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


@dataclass
class _CompletionShape:
    """Chunks of `/completion`."""

    job: Job

    def of(self, part: Part) -> list[Json]:
        """Return the chunks of one part of the answer."""
        if isinstance(part, ProgressPart):
            progress = {"total": part.total, "cache": part.cached, "processed": part.processed}
            return [{"content": "", "stop": False, "prompt_progress": {**progress, "time_ms": part.ms}}]
        return [{"content": part.text, "stop": False, "index": 0, "tokens": [], "id_slot": -1}]

    def last(self) -> list[Json]:
        """Return the chunk behind the text."""
        return [self.whole("")]

    def whole(self, text: str) -> Json:
        """Return the answer in one piece."""
        stop_type = "limit" if self.job.is_cut else "eos"
        return {"content": text, "stop": True, "stop_type": stop_type, "timings": _timings(self.job)}


def read_script(path: Path) -> LlmScript:
    """Read the section `llm` of a script file; sections and fields of others are ignored."""
    return msgspec.json.decode(path.read_bytes(), type=_File).llm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--kind", choices=KINDS, default="hybrid")
    parser.add_argument("--slots", type=int, choices=(1, 2), default=1)
    parser.add_argument("--ctx", type=int, default=8192, help="tokens of context of each conversation")
    parser.add_argument("--model", default=MODEL, help="the name that vLLM serves it by")
    parser.add_argument("--silent-cache", action="store_true", help="vLLM does not say what was cached")
    a = parser.parse_args()
    script = read_script(a.script)
    server = PlainServer(script, a.kind, a.slots, a.ctx, a.model, not a.silent_cache)
    web.run_app(
        server.app(),
        host=a.host,
        port=a.port,
        print=None,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=1.0,
        loop=asyncio.new_event_loop(),
    )


if __name__ == "__main__":
    main()
