"""A text rewritten in passes, and where in the first text each part of the last one came from."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import NamedTuple

Span = tuple[int, int]


class Edit(NamedTuple):
    """Put `text` where `start` to `end` was."""

    start: int
    end: int
    text: str


class _Pass:
    """One set of edits applied: the new text, and for each place in it the place before."""

    def __init__(self, text: str, edits: Iterable[Edit]) -> None:
        parts: list[str] = []
        at = length = 0
        self._starts: list[int] = []
        """Start of each part in the new text."""
        self._origins: list[Span | int] = []
        """Origin of each part: the whole replaced span, or the first character of an unchanged one."""
        for edit in edits:
            for origin, part in ((at, text[at : edit.start]), ((edit.start, edit.end), edit.text)):
                if part:
                    parts.append(part)
                    self._starts.append(length)
                    self._origins.append(origin)
                    length += len(part)
            at = edit.end
        parts.append(text[at:])
        self._starts.append(length)
        self._origins.append(at)
        self.text = "".join(parts)

    def origin(self, start: int, end: int) -> Span:
        return self._character(start)[0], self._character(end - 1)[1]

    def _character(self, index: int) -> Span:
        part = bisect_right(self._starts, index) - 1
        origin = self._origins[part]
        if isinstance(origin, tuple):
            return origin
        at = origin + index - self._starts[part]
        return at, at + 1


class Rewrite:
    """A text, changed pass by pass.

    Args:
        source: The text as it was written.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.text = source
        """Text as rewritten so far."""
        self._passes: list[_Pass] = []

    def apply(self, edits: Iterable[Edit]) -> None:
        """Change the text; `edits` are in order and do not overlap."""
        if edits := list(edits):
            self._passes.append(_Pass(self.text, edits))
            self.text = self._passes[-1].text

    def substitute(self, pattern: re.Pattern[str], change: Callable[[re.Match[str]], str | None]) -> None:
        """Replace what matches by what `change` returns; None leaves it."""
        found = ((match, change(match)) for match in pattern.finditer(self.text))
        self.apply(Edit(m.start(), m.end(), text) for m, text in found if text is not None)

    def origin(self, start: int, end: int) -> Span:
        """Return the span of the source that `start` to `end` of the text (not empty) came from.

        It is empty for what was added where nothing stood.
        """
        for done in reversed(self._passes):
            start, end = done.origin(start, max(end, start + 1))
        return start, end
