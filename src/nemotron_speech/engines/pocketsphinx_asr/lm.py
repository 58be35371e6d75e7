"""Estimate a trigram language model from sentences and write it in ARPA format.

Witten-Bell discounting with backoff (Witten and Bell, 1991): after a history seen n times with t different
continuations, t / (n + t) of the probability goes to words not seen there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile
from math import log10
from pathlib import Path

_ORDER = 3
_NEVER = -99.0
"""log10 of the probability of `<s>`, which is only ever a history."""

_History = tuple[str, ...]


class TrigramModel:
    """Counts and conditional probabilities of up to three words."""

    def __init__(self, sentences: Iterable[Sequence[str]]) -> None:
        self._following: defaultdict[_History, Counter[str]] = defaultdict(Counter)
        for sentence in sentences:
            self._count(("<s>", *sentence, "</s>"))
        self._mass = {history: counts.total() + len(counts) for history, counts in self._following.items()}
        self._vocabulary = len(self._following[()])

    def _count(self, words: _History) -> None:
        for position in range(1, len(words)):
            for length in range(min(_ORDER, position + 1)):
                self._following[words[position - length : position]][words[position]] += 1

    def probability(self, word: str, history: _History) -> float:
        """Return P(word | history), interpolated with the shorter histories."""
        shorter = self.probability(word, history[1:]) if history else 1 / self._vocabulary
        counts = self._following.get(history)
        if not counts:
            return shorter
        return (counts[word] + len(counts) * shorter) / self._mass[history]

    def arpa(self) -> str:
        """Return the model as ARPA text."""
        grams = self._grams()
        lines = ["\\data\\", *(f"ngram {n}={len(grams[n])}" for n in range(1, _ORDER + 1))]
        for order in range(1, _ORDER + 1):
            lines += ["", f"\\{order}-grams:", *(self._line(gram, order) for gram in sorted(grams[order]))]
        return "\n".join([*lines, "", "\\end\\", ""])

    def _grams(self) -> dict[int, list[_History]]:
        grams: dict[int, list[_History]] = {1: [("<s>",)], 2: [], 3: []}
        for history, counts in self._following.items():
            grams[len(history) + 1].extend((*history, word) for word in counts)
        return grams

    def _line(self, gram: _History, order: int) -> str:
        probability = _NEVER if gram == ("<s>",) else log10(self.probability(gram[-1], gram[:-1]))
        words = " ".join(gram)
        return f"{probability:.4f}\t{words}" + (f"\t{self._backoff(gram):.4f}" if order < _ORDER else "")

    def _backoff(self, history: _History) -> float:
        counts = self._following.get(history)
        if not counts:
            return 0.0
        return log10(len(counts) / self._mass[history])


def read_vocabulary(path: Path) -> frozenset[str]:
    """Return the words of an ARPA file."""
    with path.open() as lines:
        for line in lines:
            if line.startswith("\\1-grams:"):
                break
        return frozenset(line.split()[1] for line in takewhile(str.strip, lines))
