"""Options of a request for the shape of its answer: kept, or refused with what is allowed, never ignored.

The responder answers in words. Tools may be offered and are not called; an answer can be wrapped in JSON.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from nemotron_speech.errors import BadRequest

_IN_WORDS = "this server answers in words and calls no tools"
_FORMATS = ("text", "json_object")


class OfferedFunction(msgspec.Struct):
    name: str


class Tool(msgspec.Struct):
    """A function that is offered."""

    type: str
    function: OfferedFunction | None = None


class Format(msgspec.Struct):
    """OpenAI's `response_format`."""

    type: str


class Promises(msgspec.Struct, kw_only=True):
    """The fields of a request that a language model could keep; null is as good as left out."""

    tools: list[Tool] = []
    tool_choice: str | dict[str, Any] = "auto"
    functions: list[OfferedFunction] = []
    function_call: str | dict[str, Any] = "auto"
    response_format: Format = msgspec.field(default_factory=lambda: Format("text"))
    json_schema: Any = None
    grammar: str = ""
    logprobs: bool | int = False
    modalities: list[str] = []

    @property
    def in_json(self) -> bool:
        """True if the answer is to be a JSON object."""
        return self.response_format.type == "json_object"

    def check(self) -> None:
        """Raise BadRequest for what cannot be kept."""
        self._check_tools()
        _refuse_call("tool_choice", self.tool_choice)
        _refuse_call("function_call", self.function_call)
        if self.response_format.type not in _FORMATS:
            allowed = ", ".join(_FORMATS)
            raise BadRequest(
                f"'response_format' cannot be {self.response_format.type[:40]!r} here; allowed: {allowed}"
            )
        for name, wanted in (("grammar", self.grammar), ("json_schema", self.json_schema)):
            if wanted:
                raise BadRequest(f"'{name}' cannot be kept to by this server; leave it out")
        if self.logprobs:
            raise BadRequest("'logprobs' cannot be given by this server, which has no probabilities")
        if set(self.modalities) - {"text"}:
            raise BadRequest("'modalities' allowed here: text")

    def _check_tools(self) -> None:
        for tool in self.tools:
            if tool.type != "function" or tool.function is None:
                raise BadRequest("a tool is a 'function' with a name")


def _refuse_call(field: str, choice: str | dict[str, Any]) -> None:
    if choice not in ("auto", "none"):
        asked = choice if isinstance(choice, str) else json.dumps(choice)
        raise BadRequest(f"'{field}' cannot be {asked[:80]} here: {_IN_WORDS}; allowed: none, auto")


def as_json(answer: str) -> str:
    """Return an answer in words as the JSON object that `response_format` asks for."""
    return json.dumps({"answer": answer}, ensure_ascii=False)
