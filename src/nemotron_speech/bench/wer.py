"""Word error counts of a transcript."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NOT_SPOKEN = re.compile(r"[^\w\s']")


def words_of(text: str) -> list[str]:
    """Return the words that are heard: lower case, without punctuation."""
    return _NOT_SPOKEN.sub(" ", text.lower().replace("’", "'")).split()


def errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Return the least number of words to put in, take out or exchange to get from one to the other."""
    row = list(range(len(heard) + 1))
    for i, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, word in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != word))
    return row[-1]


def word_error_rate(reference: str, transcripts: Sequence[str]) -> float | None:
    """Return the share of wrong words over all transcripts of `reference`; None when there are none."""
    expected = words_of(reference)
    if not expected or not transcripts:
        return None
    return sum(errors(expected, words_of(text)) for text in transcripts) / (len(expected) * len(transcripts))
