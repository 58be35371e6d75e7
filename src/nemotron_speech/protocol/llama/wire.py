"""The JSON of llama.cpp's and OpenAI's answers, as far as it is read; unknown fields are ignored."""

from __future__ import annotations

import msgspec


class PromptDetails(msgspec.Struct):
    cached_tokens: int | None = 0


class Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: PromptDetails | None = None


class Timings(msgspec.Struct):
    cache_n: int = 0
    prompt_n: int = 0
    predicted_n: int = 0


class ProgressBody(msgspec.Struct):
    total: int
    cache: int
    processed: int
    time_ms: float = 0


class Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: Function = msgspec.field(default_factory=Function)


class Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """vLLM's name for `reasoning_content`."""
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    """The one call of an answer, in the older form."""


class Choice(msgspec.Struct):
    delta: Delta = msgspec.field(default_factory=Delta)
    message: Delta | None = None
    """The whole answer, where it was not streamed."""
    finish_reason: str | None = None


class ErrorDetail(msgspec.Struct):
    message: str = "no reason given"
    type: str | None = None
    code: int | str | None = None
    n_prompt_tokens: int = 0
    n_ctx: int = 0


class ErrorBody(msgspec.Struct):
    error: ErrorDetail | str


class ChatChunk(msgspec.Struct):
    choices: list[Choice] = []
    usage: Usage | None = None
    timings: Timings | None = None
    prompt_progress: ProgressBody | None = None
    error: ErrorDetail | str | None = None


class CompletionChunk(msgspec.Struct):
    content: str = ""
    stop: bool = False
    stop_type: str = ""
    timings: Timings | None = None
    prompt_progress: ProgressBody | None = None
    error: ErrorDetail | str | None = None


class GenerationSettings(msgspec.Struct):
    n_ctx: int = 0


class PropsBody(msgspec.Struct):
    total_slots: int
    default_generation_settings: GenerationSettings = msgspec.field(default_factory=GenerationSettings)
    model_alias: str = ""
    model_path: str = ""
    build_info: str = ""


class ModelBody(msgspec.Struct):
    max_model_len: int | None = None
    """vLLM's."""


class ModelsBody(msgspec.Struct):
    data: list[ModelBody] = []
