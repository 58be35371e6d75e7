"""Requests of llama.cpp's HTTP protocol: read, checked, and turned into a job for a slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from nemotron_speech.errors import BadRequest
from nemotron_speech.responder.promises import Promises
from nemotron_speech.responder.talk.replies import Turn
from nemotron_speech.responder.tokens import NO_THOUGHTS, parse, render, tokenize


class ContextOverflow(BadRequest):
    """The prompt is longer than a slot."""

    def __init__(self, prompt_tokens: int, n_ctx: int) -> None:
        super().__init__(
            f"request ({prompt_tokens} tokens) exceeds the available context size ({n_ctx} tokens), "
            "try increasing it"
        )
        self.prompt_tokens = prompt_tokens
        self.n_ctx = n_ctx


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Options(Promises, kw_only=True):
    stream: bool = False
    stop: str | list[str] | None = None
    id_slot: int | None = None
    cache_prompt: bool = True
    return_progress: bool = False
    n_predict: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    timings_per_token: bool = False
    temperature: float | None = None
    top_p: float | None = None
    """Sampling options are checked and have no effect: an answer is always the same."""


class CompletionBody(_Options):
    """`POST /completion`."""

    prompt: str


class _Part(msgspec.Struct):
    type: str
    text: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None

    def turn(self) -> Turn:
        if isinstance(self.content, str):
            return Turn(self.role, self.content)
        parts = [part.text for part in self.content or () if part.type == "text"]
        return Turn(self.role, "\n".join(parts))


class ChatBody(_Options):
    """`POST /v1/chat/completions` and `POST /apply-template`."""

    messages: list[_Message]
    model: str | None = None
    n: int = 1
    stream_options: _StreamOptions | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False


@dataclass(frozen=True, slots=True)
class GenerationJob:
    """One answer to give: what was said, what of the answer exists already, and its limits."""

    turns: Sequence[Turn]
    begun: str
    """The beginning of the answer, to be gone on with."""
    prompt: str
    tokens: Sequence[str]
    slot: int | None
    max_tokens: int | None
    stops: Sequence[str]
    stream: bool
    cache_prompt: bool
    return_progress: bool
    timings_per_token: bool
    include_usage: bool = False
    in_json: bool = False
    """True if the answer is to be a JSON object."""


def read_completion(data: bytes) -> GenerationJob:
    """Read a completion request. Raises BadRequest."""
    body = _decode(data, CompletionBody)
    turns, begun = parse(body.prompt)
    return _job(body, turns, begun, body.prompt)


def read_chat(data: bytes) -> GenerationJob:
    """Read a chat request. Raises BadRequest."""
    body = _decode(data, ChatBody)
    if not body.messages:
        raise BadRequest("'messages' is empty; there is nothing to answer")
    if body.n != 1:
        raise BadRequest(f"'n' is {body.n}; this server gives one answer per request")
    turns = [message.turn() for message in body.messages]
    prompt = chat_prompt(body)
    include_usage = body.stream_options is not None and body.stream_options.include_usage
    if _is_continued(turns):
        return _job(body, turns[:-1], turns[-1].text, prompt, include_usage)
    return _job(body, turns, "", prompt, include_usage)


def read_template(data: bytes) -> str:
    """Read a request for a rendered prompt and give the prompt. Raises BadRequest."""
    return chat_prompt(_decode(data, ChatBody))


def chat_prompt(body: ChatBody) -> str:
    turns = [message.turn() for message in body.messages]
    return render(turns, open_answer=body.add_generation_prompt, final_is_open=_is_continued(turns))


def _is_continued(turns: Sequence[Turn]) -> bool:
    """llama.cpp goes on with a last assistant message whether it is asked to or not."""
    return bool(turns) and turns[-1].role == "assistant"


def _job(
    body: _Options, turns: Sequence[Turn], begun: str, prompt: str, include_usage: bool = False
) -> GenerationJob:
    limits = (body.n_predict, body.max_tokens, body.max_completion_tokens)
    max_tokens = next((limit for limit in limits if limit is not None and limit >= 0), None)
    stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
    return GenerationJob(
        turns=turns,
        begun=begun.removeprefix(NO_THOUGHTS),
        prompt=prompt,
        tokens=tokenize(prompt) or [" "],
        slot=body.id_slot if body.id_slot is not None and body.id_slot >= 0 else None,
        max_tokens=max_tokens,
        stops=[stop for stop in stops if stop],
        stream=body.stream,
        cache_prompt=body.cache_prompt,
        return_progress=body.return_progress,
        timings_per_token=body.timings_per_token,
        include_usage=include_usage,
        in_json=body.in_json,
    )


_Body = TypeVar("_Body", bound=_Options)


def _decode(data: bytes, kind: type[_Body]) -> _Body:
    try:
        fields = msgspec.json.decode(data)
        if isinstance(fields, dict):
            fields = {name: value for name, value in fields.items() if value is not None}
        body = msgspec.convert(fields, kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadRequest(str(error)) from None
    body.check()
    return body
