"""Thoughts that a server leaves in the text of an answer, between `<think>` and `</think>`, told from it.

The tag may have another of the usual names, in any case.
"""

from __future__ import annotations

import re
from enum import Enum, auto

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "analysis")
_OPEN = {f"<{name}>": f"</{name}>" for name in _NAMES}
"""Tags that begin thoughts, and those that end them."""


class _Where(Enum):
    START = auto()
    """Nothing yet but what may be the tag."""
    THOUGHT = auto()
    GAP = auto()
    """Behind the thoughts, before the first word of the answer."""
    ANSWER = auto()


class ThinkTags:
    """Take streamed text apart. A tag counts at the beginning of an answer only: later it is text."""

    def __init__(self) -> None:
        self._where = _Where.START
        self._held = ""
        self._close = ""

    def feed(self, text: str) -> tuple[str, str]:
        """Return what of it is thought and what is answer; what may be a tag is held back."""
        if self._where is _Where.ANSWER:
            return "", text
        self._held += text
        match self._where:
            case _Where.START:
                return self._start()
            case _Where.THOUGHT:
                return self._think()
        return "", self._answer()

    def finish(self) -> tuple[str, str]:
        """Return what was held back when the answer ends."""
        rest, self._held = self._held, ""
        return (rest, "") if self._where is _Where.THOUGHT else ("", rest)

    def _start(self) -> tuple[str, str]:
        start = self._held.lstrip()
        tag = start[: start.find(">") + 1].lower()
        if tag in _OPEN:
            self._where, self._held, self._close = _Where.THOUGHT, start[len(tag) :], _OPEN[tag]
            return self._think()
        if any(open.startswith(start.lower()) for open in _OPEN):
            return "", ""
        self._where = _Where.ANSWER
        return "", self.finish()[1]

    def _think(self) -> tuple[str, str]:
        if end := re.search(self._close, self._held, re.IGNORECASE | re.ASCII):
            thought, self._held = self._held[: end.start()], self._held[end.end() :]
            self._where = _Where.GAP
            return thought, self._answer()
        safe = len(self._held) - _partial(self._held, self._close)
        thought, self._held = self._held[:safe], self._held[safe:]
        return thought, ""

    def _answer(self) -> str:
        answer, self._held = self._held.lstrip(), ""
        if answer:
            self._where = _Where.ANSWER
        return answer


def _partial(text: str, tag: str) -> int:
    """Return how many characters at the end may be the beginning of `tag`."""
    return next((n for n in range(len(tag) - 1, 0, -1) if text[-n:].lower() == tag[:n]), 0)
