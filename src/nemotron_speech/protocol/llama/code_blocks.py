"""Code within an answer that may be a tool call: JSON, fenced blocks, calls as Python writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from nemotron_speech.protocol.llama.written_calls import Offered, extent


class BlockKind(Enum):
    """Ways of writing code into a text."""

    FENCE = auto()
    JSON = auto()
    PYTHON = auto()


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """The beginning of a block, at `start` of a text."""

    kind: BlockKind
    start: int


_JSON = re.compile(r"(?:functools\s*)?(?:\{|\[\s*\{)\s*[\"']")
_OPEN_JSON = re.compile(r"(?:functools\s*)?(?:\[\s*)?\{?\s*\Z")
_FENCE = re.compile(r"^[ \t]*```", re.MULTILINE)
_OPEN_FENCE = re.compile(r"^[ \t]*`{1,2}\Z", re.MULTILINE)
_PREFIXES = tuple(
    start + module
    for start in ("", "print(")
    for module in ("", "functions.", "tools.", "default_api.", "api.")
)
MOST_CHARACTERS = 4_000
"""Characters of a block that is not fenced; one that is longer is text."""


class CodeBlocks:
    """Finds blocks in a text.

    Args:
        tools: Tools whose names begin a call as Python writes it.
    """

    def __init__(self, tools: Offered) -> None:
        calls = [f"{prefix}{name}(" for prefix in _PREFIXES for name in tools]
        self._beginnings = ("functools[", *calls)
        calls = "|".join(map(re.escape, calls))
        self._python = re.compile(rf"^[ \t]*\[?\s*(?:{calls})", re.MULTILINE) if calls else None

    def find(self, text: str, *, at_line_start: bool) -> CodeBlock | None:
        """Return the first block that begins in `text`, whose own beginning may be one of a line."""
        found = [
            CodeBlock(kind, match.start())
            for kind, pattern in self._patterns()
            if (match := _search(pattern, text, at_line_start=at_line_start or kind is BlockKind.JSON))
        ]
        return min(found, key=lambda block: block.start, default=None)

    def _patterns(self) -> list[tuple[BlockKind, re.Pattern[str]]]:
        patterns = [(BlockKind.FENCE, _FENCE), (BlockKind.JSON, _JSON)]
        return patterns if self._python is None else [(BlockKind.PYTHON, self._python), *patterns]

    def open_end(self, text: str, *, at_line_start: bool) -> int:
        """Return where the end of `text` may be the beginning of a block; its length where it is none."""
        ends = [len(text)]
        for pattern in (_OPEN_FENCE, _OPEN_JSON):
            anywhere = pattern is _OPEN_JSON
            match = _search(pattern, text, at_line_start=at_line_start or anywhere)
            if match and match.group().strip():
                ends.append(match.start())
        line = text.rfind("\n") + 1
        head = text[line:].lstrip(" \t[")
        if head and (line or at_line_start) and any(one.startswith(head) for one in self._beginnings):
            ends.append(line)
        return min(ends)


def _search(pattern: re.Pattern[str], text: str, *, at_line_start: bool) -> re.Match[str] | None:
    """Search as `re` does; the beginning of `text` begins a line only if it is said to."""
    return next((m for m in pattern.finditer(text) if m.start() or at_line_start), None)


def block_end(text: str, kind: BlockKind) -> int | None:
    """Return where the block that `text` begins with ends; None while it does not."""
    if kind is BlockKind.FENCE:
        end = text.find("```", text.index("```") + 3)
        return end + 3 if end >= 0 else None
    starts = [place for place in map(text.find, "{[(") if place >= 0]
    return extent(text, min(starts))


def fence_names_a_call(text: str) -> bool:
    """Return whether a fenced block says that it is a tool call."""
    info = text.lstrip().lstrip("`").split("\n", 1)[0].strip().lower()
    return (
        re.fullmatch(r"(?:tool|function)s?_?-?(?:code|calls?|use|request)?", info) is not None and info != ""
    )
