"""Tool calls that a language model wrote into its text, in the forms that are in use.

JSON (`{"name": …, "arguments": …}` and its kin), Python (`[look_up(word="x")]`), XML
(`<function=look_up><parameter=word>x</parameter>`), a name before its arguments (`look_up[ARGS]{…}`), and
keys and values in tags of their own.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Offered: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Tools that a model may call: name to the JSON schemas of its parameters, by their names."""

_NAMES = ("name", "tool_name", "function_name", "tool", "function", "action")
_ARGUMENTS = ("arguments", "parameters", "args", "params", "input", "action_input", "tool_input", "kwargs")
_PREFIX = re.compile(r"^(?:functions?|tools?|default_api|api|namespace)[.:]")
_XML = re.compile(
    r"<(?:function\s*=\s*|invoke\s+name\s*=\s*)[\"']?(?P<name>[\w.\-]+)[\"']?\s*>"
    r"(?P<body>.*?)(?=</function>|</invoke>|<function\s*=|<invoke\s|\Z)",
    re.DOTALL,
)
_PARAMETER = re.compile(
    r"<parameter(?:\s*=\s*|\s+name\s*=\s*)[\"']?(?P<key>[\w.\-]+)[\"']?[^>]*>\n?(?P<value>.*?)\n?</parameter>",
    re.DOTALL,
)
_PAIR = re.compile(
    r"<arg_key>\s*(?P<key>.*?)\s*</arg_key>\s*<arg_value>(?P<value>.*?)</arg_value>", re.DOTALL
)
_FENCE = re.compile(r"^\s*```[\w-]*\s*\n?|\n?```\s*$")


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A call of an offered tool; its arguments are JSON as far as they make sense."""

    name: str
    arguments: str


def offered(tools: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the tools of a chat request by their names."""
    functions = [tool.get("function") or {} for tool in tools]
    return {
        str(function["name"]): (function.get("parameters") or {}).get("properties") or {}
        for function in functions
        if function.get("name")
    }


def read_calls(text: str, tools: Offered) -> list[WrittenCall] | None:
    """Return the calls of offered tools that a text holds; None where it looks like no call at all."""
    text = _FENCE.sub("", _FENCE.sub("", text.strip()))
    for read in (_from_xml, _from_pairs, _from_json, _from_python, _from_name):
        found = read(text, tools)
        if found is not None:
            return [call for call in found if call.name in tools]
    return None


def _call(name: str, arguments: Any, tools: Offered) -> WrittenCall:
    bare = _PREFIX.sub("", name)
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return WrittenCall(bare if name not in tools else name, text)


# --------------------------------------------------------------------------------------------- tags


def _from_xml(text: str, tools: Offered) -> list[WrittenCall] | None:
    calls = [_xml_call(match["name"], match["body"], tools) for match in _XML.finditer(text)]
    return calls or None


def _xml_call(name: str, body: str, tools: Offered) -> WrittenCall:
    parameters = {match["key"]: match["value"] for match in _PARAMETER.finditer(body)}
    if not parameters and body.strip():
        return _call(name, body.strip(), tools)
    return _call(name, _typed(name, parameters, tools), tools)


def _from_pairs(text: str, tools: Offered) -> list[WrittenCall] | None:
    if "<arg_key>" not in text:
        return None
    name = text[: text.index("<arg_key>")].strip()
    pairs = {match["key"]: match["value"] for match in _PAIR.finditer(text)}
    return [_call(name, _typed(name, pairs, tools), tools)]


def _typed(name: str, values: Mapping[str, str], tools: Offered) -> dict[str, Any]:
    """Return values that were written without quotes, each as its parameter is declared."""
    schemas = tools.get(_PREFIX.sub("", name), {})
    return {key: _value(value, schemas.get(key)) for key, value in values.items()}


def _value(text: str, schema: Any) -> Any:
    if isinstance(schema, Mapping) and schema.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


# --------------------------------------------------------------------------------------------- JSON


def _from_json(text: str, tools: Offered) -> list[WrittenCall] | None:
    values = list(json_values(text))
    calls = [call for value in values for call in _of_value(value, tools)]
    if calls:
        return calls
    return None if not text.startswith(("{", "[{")) or not _names_a_call(text) else []


def json_values(text: str) -> Iterator[Any]:
    """Yield the objects and lists of a text, written in JSON or as Python writes them."""
    at = 0
    while (start := _bracket(text, at)) >= 0:
        end = extent(text, start)
        if end is None:
            return
        at = end
        value = _literal(text[start:end])
        if value is not None:
            yield value
        else:
            at = start + 1


def _bracket(text: str, at: int) -> int:
    starts = [place for place in (text.find("{", at), text.find("[", at)) if place >= 0]
    return min(starts, default=-1)


def _literal(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def extent(text: str, start: int) -> int | None:
    """Return where the bracket at `start` is closed, strings skipped; None where it is not."""
    depth, quote, at = 0, "", start
    while at < len(text):
        character = text[at]
        if quote:
            at += character == "\\"
            quote = "" if character == quote else quote
        elif character in "\"'" and _opens_string(text, at):
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return None


def _opens_string(text: str, at: int) -> bool:
    """Return whether a quote is one, and no apostrophe in a word."""
    return text[at] == '"' or not text[at - 1 : at].isalnum()


def _of_value(value: Any, tools: Offered) -> Iterator[WrittenCall]:
    if isinstance(value, list):
        for one in value:
            yield from _of_value(one, tools)
    elif isinstance(value, Mapping):
        yield from _of_object(value, tools)


def _of_object(value: Mapping[str, Any], tools: Offered) -> Iterator[WrittenCall]:
    for key in ("tool_calls", "tool_call", "function_call", "function"):
        if isinstance(value.get(key), list | Mapping):
            yield from _of_value(value[key], tools)
            return
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), None)
    keys = [key for key in _ARGUMENTS if key in value]
    if name is not None and (keys or (len(value) == 1 and _PREFIX.sub("", name) in tools)):
        yield _call(name, value[keys[0]] if keys else {}, tools)
    elif len(value) == 1 and (only := str(next(iter(value)))) in tools and isinstance(value[only], Mapping):
        yield _call(only, value[only], tools)


def _names_a_call(text: str) -> bool:
    """Return whether broken JSON was to be a call."""
    has_name = any(f'"{key}"' in text for key in (*_NAMES, "tool_calls"))
    return has_name and any(f'"{key}"' in text for key in (*_ARGUMENTS, "tool_calls"))


# ------------------------------------------------------------------------------- Python, and names


def _from_python(text: str, tools: Offered) -> list[WrittenCall] | None:
    try:
        tree = ast.parse(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    nodes = [node for statement in tree.body for node in _expressions(getattr(statement, "value", None))]
    calls = [_python_call(node, tools) for node in nodes]
    return [call for call in calls if call is not None] if calls and None not in calls else None


def _expressions(node: ast.AST | None) -> Iterator[ast.AST | None]:
    if isinstance(node, ast.List | ast.Tuple):
        yield from node.elts
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
        yield from node.args
    else:
        yield node


def _python_call(node: ast.AST | None, tools: Offered) -> WrittenCall | None:
    if not isinstance(node, ast.Call):
        return None
    name = ast.unparse(node.func)
    bare = _PREFIX.sub("", name)
    if bare not in tools:
        return None
    names = [*tools[bare]]
    if len(node.args) > len(names) or any(keyword.arg is None for keyword in node.keywords):
        return None
    given = [*zip(names, node.args, strict=False), *((str(k.arg), k.value) for k in node.keywords)]
    try:
        arguments = {key: ast.literal_eval(value) for key, value in given}
        return _call(bare, json.dumps(arguments, ensure_ascii=False), tools)
    except (ValueError, TypeError, RecursionError):
        return None


def _from_name(text: str, tools: Offered) -> list[WrittenCall] | None:
    """Read a name and its arguments, with anything but words between them."""
    if not tools:
        return None
    names = "|".join(map(re.escape, sorted(tools, key=len, reverse=True)))
    calls = []
    for match in re.finditer(rf"(?<![\w])(?P<name>{names})(?![\w(])(?P<between>[^{{}}]{{0,80}})", text):
        end = extent(text, match.end()) if text[match.end() : match.end() + 1] == "{" else None
        if end is not None:
            calls.append(_call(match["name"], text[match.end() : end], tools))
        elif not text[match.end("name") :].strip():
            calls.append(_call(match["name"], {}, tools))
    return calls or None
