"""What is said to a llama.cpp server (or another OpenAI-compatible one) and what its answers mean.

Requests are values with a `body()`. A streamed answer is bytes fed to `ChatAnswer` or `CompletionAnswer`,
which give events; the last one is a `Finish` or a `ServerError`. To stop an answer, close its connection.

No event carries U+FFFD: when a token limit cuts an answer inside a character, the incomplete tail is
dropped, and a continuation makes the server generate that character again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from nemotron_speech.errors import PeerError
from nemotron_speech.protocol.llama_tolerance import Surrogates, lenient
from nemotron_speech.protocol.llama_wire import (
    ChatChunk,
    CompletionChunk,
    Delta,
    ErrorBody,
    ErrorDetail,
    ModelsBody,
    ProgressBody,
    PromptDetails,
    PropsBody,
    Timings,
    ToolCall,
    Usage,
)
from nemotron_speech.protocol.sse import MAX_EVENT_BYTES, SseEvent, SseParser

CHAT_PATH = "/v1/chat/completions"
COMPLETION_PATH = "/completion"
HEALTH_PATH = "/health"
PROPS_PATH = "/props"
MODELS_PATH = "/v1/models"

Message: TypeAlias = Mapping[str, Any]
"""A chat message in OpenAI's shape: `role`, `content`, and for tools `tool_calls`, `tool_call_id`."""

_OVERFLOW = ("context length", "context size", "context window", "maximum model length")
"""One of these is in what OpenAI's, vLLM's, SGLang's and others' servers say of a prompt that is too long."""

_CHAT_CHUNK = msgspec.json.Decoder(ChatChunk)
_COMPLETION_CHUNK = msgspec.json.Decoder(CompletionChunk)
_MODELS = msgspec.json.Decoder(ModelsBody)
_PROPS = msgspec.json.Decoder(PropsBody)
_ERROR_BODY = msgspec.json.Decoder(ErrorBody)
_ANY_ERROR = msgspec.json.Decoder(ErrorDetail)

# ------------------------------------------------------------------------------------ requests


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One answer asked of `/v1/chat/completions`, always streamed.

    Only a stream stops when its connection closes, and with `return_progress` also while the prompt is
    being evaluated (llama.cpp looks for closed connections when it has something to send).
    """

    messages: Sequence[Message]
    model: str = "default"
    max_tokens: int | None = None
    id_slot: int | None = None
    """The server's slot to use; None lets it choose. Check it against `Props.total_slots`."""
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()
    tools: Sequence[Mapping[str, Any]] = ()
    thinking: bool | None = False
    """Whether a reasoning model may think first; None leaves it to the server."""
    thinking_tokens: int | None = None
    """How long it may think; None for as long as it wants."""
    plain: bool = False
    """The server is another one: nothing but what OpenAI's and vLLM's know."""
    strict: bool = False
    """It refuses what OpenAI's does not know: vLLM's switch for thoughts, and going on with an answer."""
    cache_prompt: bool = True
    return_progress: bool = True
    continue_final_message: bool = False
    """The last message is an assistant's, unfinished: go on with its text."""
    add_generation_prompt: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields, as they are."""

    def continuation(self, text: str) -> ChatRequest:
        """The same request, going on after `text` of the answer (all of it, not the last chunk's)."""
        messages = self.messages[:-1] if self.continue_final_message else self.messages
        return replace(
            self,
            messages=[*messages, {"role": "assistant", "content": text}],
            continue_final_message=True,
            add_generation_prompt=False,
        )

    def warm_up(self) -> ChatRequest:
        """A request that only evaluates the messages into the slot's cache.

        The server answers with one token all the same; ignore it.
        """
        return replace(self, max_tokens=1 if self.plain else 0, add_generation_prompt=False)

    def body(self) -> dict[str, Any]:
        """The request as JSON-ready data; fields that are None or empty are left to the server."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": list(self.messages),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if not self.plain:
            body |= {"cache_prompt": self.cache_prompt, "return_progress": self.return_progress}
            body |= _given(id_slot=self.id_slot, reasoning_budget_tokens=self.thinking_tokens)
        body |= _given(max_tokens=self.max_tokens, seed=self.seed)
        body |= _given(temperature=self.temperature, top_p=self.top_p)
        if self.stop:
            body["stop"] = list(self.stop)
        if self.tools:
            body["tools"] = list(self.tools)
        if not self.strict:
            body |= self._template_fields()
        return body | dict(self.extra)

    def _template_fields(self) -> dict[str, Any]:
        """What says how the server's template is to be used."""
        fields: dict[str, Any] = {}
        if self.thinking is not None:
            fields["chat_template_kwargs"] = {"enable_thinking": self.thinking}
        if self.continue_final_message:
            fields["continue_final_message"] = True
        if not self.add_generation_prompt:
            fields["add_generation_prompt"] = False
        return fields


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """Text to continue, asked of llama.cpp's own `/completion`, always streamed."""

    prompt: str
    n_predict: int | None = None
    id_slot: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()
    cache_prompt: bool = True
    return_progress: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)

    def continuation(self, text: str) -> CompletionRequest:
        """The same request, going on after `text`, the chunk just received."""
        return replace(self, prompt=self.prompt + text)

    def body(self) -> dict[str, Any]:
        """The request as JSON-ready data."""
        body: dict[str, Any] = {
            "prompt": self.prompt,
            "stream": True,
            "cache_prompt": self.cache_prompt,
            "return_progress": self.return_progress,
        }
        body |= _given(n_predict=self.n_predict, id_slot=self.id_slot, seed=self.seed)
        body |= _given(temperature=self.temperature, top_p=self.top_p)
        if self.stop:
            body["stop"] = list(self.stop)
        return body | dict(self.extra)


def _given(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


# -------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of the answer."""

    text: str
    generated: bool = True
    """Whether it is a token of the model's: line breaks that the template puts first come before any."""


@dataclass(frozen=True, slots=True)
class ThoughtDelta:
    """More of what the model thinks before it answers; not to be spoken."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call: the first piece of each `index` has id and name, all add to the arguments."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the evaluation of the prompt is, in tokens."""

    total: int
    cached: int
    processed: int
    """Of `total`, those from the cache included."""
    time_ms: int


class FinishReason(StrEnum):
    """Why the answer ended."""

    STOP = "stop"
    """The model ended it, or a stop word did."""
    LENGTH = "length"
    """The token limit was reached: there may be more."""
    TOOL_CALLS = "tool_calls"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Finish:
    """The answer is complete. Counts are tokens, 0 where the server does not say."""

    reason: FinishReason
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt, those that did not have to be evaluated again."""
    completion_tokens: int = 0
    states_cache: bool = False
    """True if the server says how many tokens were cached."""


@dataclass(frozen=True, slots=True)
class ServerError:
    """The server refused, or gave up in the middle of an answer."""

    message: str
    type: str = "server_error"
    code: int = 500
    prompt_tokens: int = 0
    context_tokens: int = 0

    @property
    def is_context_overflow(self) -> bool:
        """Whether the prompt is longer than a slot: send less."""
        message = self.message.lower()
        return self.type == "exceed_context_size_error" or any(words in message for words in _OVERFLOW)

    @property
    def is_of_the_request(self) -> bool:
        """Whether the request itself was refused, for another reason than its length."""
        return self.code in (400, 422) and not self.is_context_overflow


Event: TypeAlias = TextDelta | ThoughtDelta | ToolCallDelta | Progress | Finish | ServerError


class ChatAnswer:
    """Turn the bytes of one streamed chat answer into events."""

    def __init__(self) -> None:
        self._parser = SseParser()
        self._reason: FinishReason | None = None
        self._usage = Usage()
        self._timings: Timings | None = None
        self._surrogates = Surrogates()
        self._calls = _Calls()
        self._unframed = b""
        """Start of a body that is no event stream: an answer, or an error, in one piece of JSON."""
        self._is_stream: bool | None = None
        self.ended = False
        """Whether the last event (Finish or ServerError) has been given."""

    def feed(self, data: bytes) -> list[Event]:
        """Take in the next bytes. Raises PeerError for what is not a chat answer."""
        if self._is_stream is None and data.strip():
            self._is_stream = not data.lstrip().startswith(b"{")
        if self._is_stream is False:
            self._unframed += data
            if len(self._unframed) > MAX_EVENT_BYTES:
                raise PeerError(f"the peer sent an answer of more than {MAX_EVENT_BYTES} bytes")
            return []
        return [event for sse in self._parser.feed(data) if not self.ended for event in self._take(sse)]

    def end(self) -> list[Event]:
        """The connection has ended. Raises PeerError when that was in the middle of the answer."""
        events: list[Event] = []
        if self._unframed and not self.ended:
            events = self._take(SseEvent(self._unframed.decode(errors="replace")))
            self._unframed = b""
        if self.ended:
            return events
        if self._reason is None:
            raise PeerError("the answer broke off")
        return [*events, self._finish(self._reason)]

    def _take(self, sse: SseEvent) -> list[Event]:
        if sse.data == "[DONE]":
            return [self._finish(self._reason or FinishReason.OTHER)]
        if not sse.data.strip():
            return []
        chunk = _chat_chunk(sse)
        if chunk.error is not None:
            self.ended = True
            return [_server_error(chunk.error)]
        self._usage = chunk.usage or self._usage
        self._timings = chunk.timings or self._timings
        events: list[Event] = []
        if chunk.prompt_progress is not None:
            events.append(_progress(chunk.prompt_progress))
        for choice in chunk.choices:
            events += self._delta_events(
                choice.message or choice.delta, generated=chunk.prompt_progress is None
            )
            if choice.finish_reason:
                self._reason = _finish_reason(choice.finish_reason)
        return events

    def _delta_events(self, delta: Delta, generated: bool) -> list[Event]:
        events: list[Event] = []
        if thought := _whole_characters(delta.reasoning_content or delta.reasoning):
            events.append(ThoughtDelta(self._surrogates.join(thought)))
        if text := self._surrogates.join(_whole_characters(delta.content)):
            events.append(TextDelta(text, generated))
        return events + [self._calls.delta(call) for call in delta.tool_calls or ()]

    def _finish(self, reason: FinishReason) -> Finish:
        self.ended = True
        usage, timings = self._usage, self._timings or Timings()
        details = usage.prompt_tokens_details or PromptDetails(None)
        return Finish(
            reason,
            prompt_tokens=usage.prompt_tokens or timings.cache_n + timings.prompt_n,
            cached_tokens=timings.cache_n or details.cached_tokens or 0,
            completion_tokens=usage.completion_tokens or timings.predicted_n,
            states_cache=self._timings is not None or details.cached_tokens is not None,
        )


class _Calls:
    """Tells which call each piece of a tool call is of: by its id, else its index, else the newest one."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._indices: dict[int, int] = {}
        self._count = 0

    def delta(self, call: ToolCall) -> ToolCallDelta:
        """Return the piece with the number of its call, counted from 0 in the order of their beginnings."""
        function = call.function
        number = self._number(call)
        if call.id:
            self._ids[call.id] = number
        if call.index is not None and (call.id or call.index not in self._indices):
            self._indices[call.index] = number
        return ToolCallDelta(number, call.id or "", function.name or "", function.arguments or "")

    def _number(self, call: ToolCall) -> int:
        if call.id:
            return self._ids[call.id] if call.id in self._ids else self._begin()
        if call.index is not None and call.index in self._indices:
            return self._indices[call.index]
        return self._begin() if call.function.name or not self._count else self._count - 1

    def _begin(self) -> int:
        self._count += 1
        return self._count - 1


class CompletionAnswer:
    """Turn the bytes of one streamed `/completion` answer into events. The same interface as `ChatAnswer`."""

    def __init__(self) -> None:
        self._parser = SseParser()
        self.ended = False

    def feed(self, data: bytes) -> list[Event]:
        """Take in the next bytes. Raises PeerError for what is not a completion."""
        return [event for sse in self._parser.feed(data) if not self.ended for event in self._take(sse)]

    def end(self) -> list[Event]:
        """The connection has ended. Raises PeerError when that was in the middle of the answer."""
        if not self.ended:
            raise PeerError("the answer broke off")
        return []

    def _take(self, sse: SseEvent) -> list[Event]:
        chunk = _decode(sse, _COMPLETION_CHUNK)
        if chunk.error is not None:
            self.ended = True
            return [_server_error(chunk.error)]
        events: list[Event] = []
        if chunk.prompt_progress is not None:
            events.append(_progress(chunk.prompt_progress))
        if text := _whole_characters(chunk.content):
            events.append(TextDelta(text))
        if chunk.stop:
            self.ended = True
            reason = FinishReason.LENGTH if chunk.stop_type == "limit" else FinishReason.STOP
            timings = chunk.timings or Timings()
            prompt_tokens = timings.cache_n + timings.prompt_n
            stated = chunk.timings is not None
            events.append(Finish(reason, prompt_tokens, timings.cache_n, timings.predicted_n, stated))
        return events


def _progress(progress: ProgressBody) -> Progress:
    return Progress(progress.total, progress.cache, progress.processed, round(progress.time_ms))


def _whole_characters(text: str | None) -> str:
    return text.replace("\ufffd", "") if text else ""


def _chat_chunk(sse: SseEvent) -> ChatChunk:
    try:
        return _decode(sse, _CHAT_CHUNK)
    except PeerError:
        try:
            return lenient(sse.data)
        except (ValueError, msgspec.ValidationError):
            pass
        raise


def _finish_reason(name: str) -> FinishReason:
    return FinishReason(name) if name in set(FinishReason) else FinishReason.OTHER


# ------------------------------------------------------------------------- answers in one piece


@dataclass(frozen=True, slots=True)
class Props:
    """What a llama.cpp server says about itself."""

    total_slots: int
    n_ctx: int
    """Tokens of context of each slot."""
    model: str
    build: str = ""


def parse_props(body: bytes) -> Props:
    """Read the answer of `GET /props`. Raises PeerError for anything else."""
    try:
        props = _PROPS.decode(body)
    except msgspec.DecodeError as error:
        raise PeerError(f"not the properties of a llama.cpp server: {error}") from None
    model = props.model_alias or props.model_path
    return Props(props.total_slots, props.default_generation_settings.n_ctx, model, props.build_info)


def parse_context_tokens(body: bytes) -> int | None:
    """Read how much context the model of `GET /v1/models` has, in tokens; None where it does not say."""
    try:
        models = _MODELS.decode(body).data
    except msgspec.DecodeError:
        return None
    return next((model.max_model_len for model in models if model.max_model_len), None)


def parse_error(status: int, body: bytes) -> ServerError:
    """Read the body of an answer whose HTTP status is not 200; any body gives a usable error."""
    try:
        error = _ERROR_BODY.decode(body).error
    except (msgspec.DecodeError, UnicodeError):
        text = body[:200].decode(errors="replace").strip()
        return ServerError(text or f"HTTP status {status}", "http_error", status)
    return _server_error(error, status)


def _decode(sse: SseEvent, decoder: msgspec.json.Decoder[Any]) -> Any:
    try:
        if sse.type == "error":
            return decoder.type(error=_ANY_ERROR.decode(sse.data))
        return decoder.decode(sse.data)
    except msgspec.DecodeError as error:
        raise PeerError(f"not an answer of a language model: {error}") from None


def _server_error(error: ErrorDetail | str, status: int = 500) -> ServerError:
    if isinstance(error, str):
        return ServerError(error, code=status)
    code = int(str(error.code)) if str(error.code).isdecimal() else status
    return ServerError(error.message, error.type or "server_error", code, error.n_prompt_tokens, error.n_ctx)
