"""Streamed text in chunks worth speaking."""

from __future__ import annotations

import re
from dataclasses import dataclass

import sentencex

_CLAUSE_END = re.compile(r"[,;:–—、，；：][\"'”’)\]]*\s+|[、，；：]")
_SENTENCE_END = re.compile(r"[.!?…。！？।؟][\"'”’)\]]*\s*$")


LEAST_IN_HASTE = 3
"""Tokens of a chunk in haste that ends within a clause."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Token limits of a chunk: at least (unless the text ends) and at most."""

    min_tokens: int
    max_tokens: int


class Chunker:
    """Cut streamed text into chunks that end where a speaker would pause.

    A chunk ends at the last complete sentence once that has `min_tokens`; a text without one is cut at
    `max_tokens`, at a clause or a word end where there is one. In haste, because somebody waits for it, a
    chunk ends at any of the three. Chunks joined are the text, exactly.
    """

    def __init__(
        self,
        first: Budget = Budget(10, 24),
        rest: Budget = Budget(1, 96),
        language: str = "en",
    ) -> None:
        self._budget, self._rest = first, rest
        self._language = language
        self._done: list[str] = []
        self._buffer = ""
        self._ends: list[int] = []
        """End of each token in the buffer, as a character index."""

    @property
    def text(self) -> str:
        """Text fed so far."""
        return "".join(self._done) + self._buffer

    @property
    def budget(self) -> Budget:
        """Token limits of the next chunk."""
        return self._budget

    @property
    def pending_tokens(self) -> int:
        """Tokens fed that are in no chunk yet."""
        return len(self._ends)

    def feed(self, token: str, *, in_haste: bool = False) -> list[str]:
        """Take in one token's text; return the chunks it completes (mostly none, sometimes one)."""
        if token:
            self._buffer += token
            self._ends.append(len(self._buffer))
        chunks = []
        while cut := self._cut():
            chunks.append(self._take(cut))
        if in_haste and not chunks and (cut := self._cut_in_haste()):
            chunks.append(self._take(cut))
        return chunks

    def finish(self) -> str:
        """Return what is left at the end of the text; it may be empty."""
        return self._take(len(self._buffer))

    def _cut(self) -> int:
        """Return the end of the next chunk in the buffer, as a character index; 0 while there is none."""
        if len(self._ends) < self._budget.min_tokens:
            return 0
        sentence = self._sentence_end()
        if self._long_enough(sentence):
            return sentence
        if len(self._ends) < self._budget.max_tokens:
            return 0
        ends = (end for end in (self._clause_end(), self._word_end()) if self._long_enough(end))
        return next(ends, sentence or len(self._buffer))

    def _cut_in_haste(self) -> int:
        if len(self._ends) < LEAST_IN_HASTE:
            return 0
        for end in (self._sentence_end(), self._clause_end()):
            if any(map(str.isalnum, self._buffer[:end])):
                return end
        end = self._word_end()
        return end if sum(e <= end for e in self._ends) >= LEAST_IN_HASTE else 0

    def _sentence_end(self) -> int:
        """Return the end of the last sentence with text after it: only then is it known to be complete."""
        *complete, last = sentencex.segment(self._language, self._buffer)  # pyright: ignore[reportAttributeAccessIssue]
        end = sum(map(len, complete)) if last.strip() else 0
        return end if self._buffer[:end].strip() else 0

    def _clause_end(self) -> int:
        return max((m.end() for m in _CLAUSE_END.finditer(self._buffer)), default=0)

    def _word_end(self) -> int:
        """Return the start of the last word, if a word stands before it."""
        head = self._buffer.rstrip()
        space = max(head.rfind(" "), head.rfind("\n"))
        return space + 1 if head[: space + 1].strip() else 0

    def _long_enough(self, end: int) -> bool:
        return sum(e <= end for e in self._ends) >= self._budget.min_tokens

    def _take(self, end: int) -> str:
        chunk, self._buffer = self._buffer[:end], self._buffer[end:]
        self._ends = [e - end for e in self._ends if e > end]
        if chunk:
            self._done.append(chunk)
            self._budget = self._rest
        return chunk


def ends_sentence(text: str) -> bool:
    """Return True if a speaker would pause after `text`."""
    return _SENTENCE_END.search(text) is not None
