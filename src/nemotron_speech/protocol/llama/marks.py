"""Marks that language models leave in their text: tags around thoughts and tool calls, special tokens.

Tags are read by what their names say and not from a list of models: `<think>`, `<|begin_of_thought|>` and
`[THINK]` all begin thoughts, `<tool_call>`, `<|tool_calls_section_begin|>` and `<TOOLCALL>` all begin calls.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto


class MarkKind(Enum):
    """Meanings of a mark."""

    THOUGHT = auto()
    THOUGHT_END = auto()
    CALL = auto()
    CALL_END = auto()
    HEADER = auto()
    """A message begins with the name of a role."""
    CHANNEL = auto()
    """A channel's name follows."""
    CHANNEL_END = auto()
    MESSAGE = auto()
    """The message follows its role and its channel."""
    ANSWER = auto()
    """The model's own words follow."""
    OTHERS = auto()
    """Words of somebody else follow, written by the model in their place."""
    END = auto()
    """A message is over."""
    NOTHING = auto()
    """No meaning: a token of padding, of the beginning, around the answer."""


@dataclass(frozen=True, slots=True)
class TextMark:
    """A mark in a text, from `start` to `end`; what begins and what ends belong together by `key`."""

    kind: MarkKind
    key: str
    start: int
    end: int


_CANDIDATE = re.compile(
    r"<[|｜]?/?[|｜]?[A-Za-z_][^<>\n]{0,100}>|\[/?[A-Z][A-Z_]{2,20}\]|◁/?[a-z]{3,12}▷|<<?/?SYS>>?"
)
_MAYBE = re.compile(
    r"(?:<(?:[|｜][^<>\n]{0,100}|/?|/?(?P<name>[A-Za-z_][\w:.\-]{0,40})(?P<rest>[|｜]|[ =/][^<>\n]{0,60})?)"
    r"|\[/?[A-Z_]{0,21}|◁/?[a-z]{0,12})\Z"
)
"""Text at the end that may become a mark."""
_OPEN_SYSTEM = frozenset(f"<<{slash}SYS>>"[:end] for slash in ("", "/") for end in range(2, 8))
"""Beginnings of `<<SYS>>` and its end, the only mark with two brackets."""
_NAME = re.compile(r"[\w.\-]+")
_NAMESPACE = re.compile(r"^\w+:(?=\w)")
_BORDER = re.compile(r"^(?:begin|start|end)_(?:of_)?|_(?:section_)?(?:begin|start|end)$")
_ENDING = re.compile(r"^end_|_end$")
_THOUGHT = re.compile(
    r"(?:\w+_)?(?:think|thinking|thoughts?|reasoning|reflection|monologue|scratchpad)(?:_process|_fast)?"
    r"|antthinking|analysis|rationale|cot|chain_of_thought|internal|deliberation|inner"
    r"|(?:tool|function)_(?:responses?|results?|outputs?)|observation"
)
"""Names of thoughts, and of results of tools, which a model makes up where it writes them itself."""
_CALL = re.compile(r"(?:\w+_)?(?:tool_?calls?|function_?calls?|tool_?code|tool_?use|python_tag|toolcall)")
_PLAIN_NOTHING = re.compile(
    r"s|bos|eos|pad|unk|eod|sep|cls|mask|(?:start|end)_of_\w+|(?:unused|special_|extra_id_|reserved\w*_)\d+"
    r"|(?:final_?)?(?:answer|response|reply)|final|output"
)
_HEADERS = frozenset({"im_start", "start", "start_header_id", "header_start", "start_of_role", "turn"})
_ENDS = frozenset(
    {"end", "return", "call", "im_end", "eot_id", "eom_id", "endoftext", "end_of_text", "eot", "end_of_turn"}
)
_OTHERS = frozenset({"user", "system", "tool", "observation", "human", "ipython", "developer"})
_FIXED = {
    "unused94": (MarkKind.THOUGHT, "unused"),
    "unused95": (MarkKind.THOUGHT_END, "unused"),
    "inner_prefix": (MarkKind.THOUGHT, "inner"),
    "inner_suffix": (MarkKind.THOUGHT_END, "inner"),
    "action_start": (MarkKind.CALL, "action"),
    "start_action": (MarkKind.CALL, "action"),
    "action_end": (MarkKind.CALL_END, "action"),
    "end_action": (MarkKind.CALL_END, "action"),
    "start_of_turn": (MarkKind.HEADER, ""),
    "end_of_turn": (MarkKind.END, ""),
    "message": (MarkKind.MESSAGE, ""),
    "assistant": (MarkKind.ANSWER, ""),
    "tool_results": (MarkKind.THOUGHT, "tool_result"),
}


def find(text: str, start: int = 0) -> TextMark | None:
    """Return the first mark of `text` from `start`."""
    for candidate in _CANDIDATE.finditer(text, start):
        if meaning := _meaning(candidate.group()):
            return TextMark(*meaning, candidate.start(), candidate.end())
    return None


def open_end(text: str) -> int:
    """Return where the end of `text` may be the beginning of a mark; its length where it is none."""
    start = max(text.rfind("<"), text.rfind("["), text.rfind("◁"))
    if text[max(0, start - 1) :] in _OPEN_SYSTEM:
        return start - 1
    maybe = _MAYBE.match(text, start) if start >= 0 else None
    if maybe is None:
        return len(text)
    goes_on = bool(maybe["rest"]) and maybe["rest"] not in "|｜"
    is_known = maybe["name"] in ("function", "invoke") or _meaning(f"<{maybe['name']}>") is not None
    return len(text) if goes_on and not is_known else start


def _meaning(candidate: str) -> tuple[MarkKind, str] | None:
    if candidate.startswith(("[", "◁")):
        return _bracketed(candidate)
    inner = candidate[1:-1].replace("｜", "|").replace("▁", "_")
    is_closing = inner.lstrip("|").startswith("/")
    named = inner.strip("|/<> ").rpartition("|")[2]
    named = _NAMESPACE.sub("", named)
    found = _NAME.match(named)
    if found is None:
        return None
    name, rest = found.group().lower(), named[found.end() :].strip()
    if "|" in inner:
        return _token(name, is_closing=is_closing or not inner.startswith(("|", "/")))
    return _tag(name, rest, is_closing=is_closing, is_empty=inner.endswith("/"))


def _bracketed(candidate: str) -> tuple[MarkKind, str] | None:
    name = candidate[1:-1].lower()
    is_closing, name = name.startswith("/"), name.removeprefix("/")
    if name in ("inst", "args", "call_id", "bos", "eos", "system_prompt", "available_tools"):
        return MarkKind.NOTHING, name
    return _paired(name, is_closing=is_closing)


def _tag(name: str, rest: str, *, is_closing: bool, is_empty: bool) -> tuple[MarkKind, str] | None:
    """Read `<name>`, `</name>` or `<name attribute="value">`."""
    if name in ("function", "invoke") and (is_closing or "=" in rest):
        return (MarkKind.CALL_END if is_closing else MarkKind.CALL), name
    if rest and "=" not in rest:
        return None
    if name in _FIXED and name not in ("message", "assistant"):
        return _FIXED[name]
    if paired := _paired(name, is_closing=is_closing):
        return (MarkKind.NOTHING, name) if is_empty else paired
    return (MarkKind.NOTHING, name) if _PLAIN_NOTHING.fullmatch(name) or name == "sys" else None


def _token(name: str, *, is_closing: bool) -> tuple[MarkKind, str]:
    """Read a special token, `<|name|>`, or a pair of them with one bar each, `<|name>` and `<name|>`."""
    if name == "channel":
        return (MarkKind.CHANNEL_END if is_closing else MarkKind.CHANNEL), "channel"
    if name in _FIXED:
        return _FIXED[name]
    if paired := _paired(name, is_closing=is_closing):
        return paired
    if name in _HEADERS:
        return (MarkKind.END if is_closing else MarkKind.HEADER), ""
    if name in _OTHERS:
        return MarkKind.OTHERS, ""
    return (MarkKind.END if name in _ENDS else MarkKind.NOTHING), name


def _paired(name: str, *, is_closing: bool) -> tuple[MarkKind, str] | None:
    stem = _BORDER.sub("", _BORDER.sub("", name))
    is_end = is_closing or _ENDING.search(name) is not None
    if _CALL.fullmatch(stem):
        return (MarkKind.CALL_END if is_end else MarkKind.CALL), stem
    if _THOUGHT.fullmatch(stem):
        return (MarkKind.THOUGHT_END if is_end else MarkKind.THOUGHT), stem
    return None
