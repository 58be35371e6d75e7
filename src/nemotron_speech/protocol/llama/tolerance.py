"""Odd chunks of language model servers, read for what they mean.

Servers send null where a field could be left out, floats for counts, text in parts, tool arguments as
objects, and halves of a character. A chunk that does not decode as it is comes here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from nemotron_speech.protocol.llama.wire import ChatChunk, ProgressBody, Timings, Usage

_COUNTS = {"usage": Usage, "timings": Timings, "prompt_progress": ProgressBody}
"""Fields of a chunk that count something."""


def lenient(data: str) -> ChatChunk:
    """Read one chunk, or a whole answer that was not streamed. Raises ValueError for what is neither."""
    fields = json.loads(data)
    if not isinstance(fields, dict):
        raise ValueError(f"an object is expected, not {data[:40]!r}")
    fields = _without_nulls(fields)
    fields["choices"] = [_choice(choice) for choice in _list(fields.get("choices"))]
    for name, kind in _COUNTS.items():
        if name in fields:
            fields[name] = _stated(_counts(fields[name]), kind)
    if not isinstance(fields.get("error", ""), str | Mapping):
        fields["error"] = json.dumps(fields["error"])
    return msgspec.convert(fields, ChatChunk, strict=False)


def _stated(value: Any, kind: type[msgspec.Struct]) -> msgspec.Struct | None:
    """Return counts as they are read; None for what makes no sense, as counts are no part of the answer."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return None


def _choice(choice: Any) -> dict[str, Any]:
    choice = choice if isinstance(choice, Mapping) else {}
    said = choice.get("delta") or choice.get("message") or {}
    delta: dict[str, Any] = dict(said) if isinstance(said, Mapping) else {}
    for name in ("content", "reasoning_content", "reasoning"):
        if name in delta:
            delta[name] = _text(delta[name])
    if "tool_calls" in delta:
        delta["tool_calls"] = [_call(call) for call in _list(delta["tool_calls"])]
    if "function_call" in delta:
        delta["function_call"] = _function(delta["function_call"])
    reason = choice.get("finish_reason")
    return {"delta": delta, "finish_reason": reason if isinstance(reason, str | None) else "stop"}


def _call(call: Any) -> dict[str, Any]:
    call = call if isinstance(call, Mapping) else {}
    stated = call.get("function")
    read: dict[str, Any] = {"function": _function(stated if isinstance(stated, Mapping) else call)}
    if "id" in call:
        read["id"] = str(call["id"])
    if str(call.get("index", "")).removesuffix(".0").isdecimal():
        read["index"] = int(float(call["index"]))
    return read


def _function(function: Any) -> dict[str, Any]:
    function = function if isinstance(function, Mapping) else {}
    arguments = function.get("arguments", "")
    return {
        "name": str(function.get("name", "")),
        "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
    }


def _text(content: Any) -> str:
    """Return text that came whole, or in parts of {"type": "text", "text": …}; other parts are left out."""
    if isinstance(content, Mapping):
        text = content.get("text", "")
        return _text(text) if content.get("type", "text") in ("text", "output_text") else ""
    return "".join(map(_text, content)) if isinstance(content, list) else str(content)


def _list(value: Any) -> list[Any]:
    """Return a list; one thing alone stands for a list of it. Raises ValueError for what is neither."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [value]
    if not isinstance(value, list):
        raise ValueError(f"a list is expected, not {value!r}")
    return value


def _counts(value: Any) -> Any:
    """Round numbers: some servers count in floats."""
    if isinstance(value, float):
        return round(value)
    if isinstance(value, Mapping):
        return {name: _counts(one) for name, one in value.items()}
    return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return value


class Surrogates:
    """Joins the halves of a character that came in two chunks."""

    def __init__(self) -> None:
        self._high = ""

    def join(self, text: str) -> str:
        """Return text without lone halves; a first half is kept for the next text."""
        if not self._high and text.isascii():
            return text
        text, self._high = self._high + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._high = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
