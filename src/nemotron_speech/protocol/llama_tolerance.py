"""Odd chunks of language model servers, read for what they mean.

Servers send null where a field could be left out, floats for counts, text in parts, tool arguments as
objects, and halves of a character. A chunk that does not decode as it is comes here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from nemotron_speech.protocol.llama_wire import ChatChunk


def lenient(data: str) -> ChatChunk:
    """Read one chunk, or a whole answer that was not streamed. Raises ValueError for what is neither."""
    fields = json.loads(data)
    if not isinstance(fields, dict):
        raise ValueError(f"an object is expected, not {data[:40]!r}")
    fields = _without_nulls(fields)
    fields["choices"] = [_choice(choice) for choice in _list(fields.get("choices"))]
    for name in ("usage", "timings", "prompt_progress"):
        if name in fields:
            fields[name] = _counts(fields[name])
    return msgspec.convert(fields, ChatChunk, strict=False)


def _choice(choice: Any) -> dict[str, Any]:
    choice = choice if isinstance(choice, Mapping) else {}
    said = choice.get("delta") or choice.get("message") or {}
    delta: dict[str, Any] = dict(said) if isinstance(said, Mapping) else {}
    for name in ("content", "reasoning_content", "reasoning"):
        if name in delta:
            delta[name] = _text(delta[name])
    if "tool_calls" in delta:
        delta["tool_calls"] = [_call(call) for call in _list(delta["tool_calls"])]
    return {"delta": delta, "finish_reason": choice.get("finish_reason")}


def _call(call: Any) -> dict[str, Any]:
    call = dict(call) if isinstance(call, Mapping) else {}
    function = call.get("function")
    function = dict(function) if isinstance(function, Mapping) else {}
    if not isinstance(function.get("arguments", ""), str):
        function["arguments"] = json.dumps(function["arguments"])
    return {**call, "function": function}


def _text(content: Any) -> str:
    """Return text that came whole, or in parts of {"type": "text", "text": …}."""
    if isinstance(content, str):
        return content
    return "".join(
        part if isinstance(part, str) else str(part.get("text", "") if isinstance(part, Mapping) else "")
        for part in _list(content)
    )


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
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
