"""Thoughts that a server leaves in the text of an answer, between `<think>` and `</think>`, told from it."""

from __future__ import annotations

from enum import Enum, auto

_OPEN, _CLOSE = "<think>", "</think>"


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
        if start.startswith(_OPEN):
            self._where, self._held = _Where.THOUGHT, start[len(_OPEN) :]
            return self._think()
        if _OPEN.startswith(start):
            return "", ""
        self._where = _Where.ANSWER
        return "", self.finish()[1]

    def _think(self) -> tuple[str, str]:
        thought, tag, self._held = self._held.partition(_CLOSE)
        if tag:
            self._where = _Where.GAP
            return thought, self._answer()
        safe = len(thought) - _partial(thought)
        self._held = thought[safe:]
        return thought[:safe], ""

    def _answer(self) -> str:
        answer, self._held = self._held.lstrip(), ""
        if answer:
            self._where = _Where.ANSWER
        return answer


def _partial(text: str) -> int:
    """How many characters at the end may be the beginning of the closing tag."""
    return next((n for n in range(len(_CLOSE) - 1, 0, -1) if text.endswith(_CLOSE[:n])), 0)
