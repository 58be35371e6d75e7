"""Requests to a llama.cpp server, or to another OpenAI-compatible one: values with a `body()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

Message: TypeAlias = Mapping[str, Any]
"""A chat message in OpenAI's shape: `role`, `content`, and for tools `tool_calls`, `tool_call_id`."""


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
    """True if a reasoning model may think first; None leaves it to the server."""
    thinking_tokens: int | None = None
    """Tokens it may think; None for as many as it wants."""
    plain: bool = False
    """The server is another one: nothing but what OpenAI's and vLLM's know."""
    strict: bool = False
    """True for a server that refuses vLLM's switch for thoughts, and to go on with an answer."""
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
        """Return the fields that say how the server's template is used."""
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
