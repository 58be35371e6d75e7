"""The words of a reading, with their times, from the places the model gives to its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from nemotron_speech.engines.base import Word

_SPACELESS = frozenset({"zh", "yue", "ja", "th", "lo", "my"})
"""Languages that faster-whisper splits by character rather than by space."""
_OPENING, _CLOSING = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"
_SENTENCE_END = ".。!！?？"
_LONGEST_TYPICAL_S = 0.7
"""Upper bound of the median word length of a reading, in seconds.

A word twice as long as the median has a pause in it.
"""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text between two spaces or, in some languages, a character; times are seconds within the reading."""

    text: str
    start: float
    end: float
    confidence: float


def separator(language: str) -> str:
    """Return the text between two words of a language."""
    return "" if language in _SPACELESS else " "


def pieces(alignment: list[dict[str, Any]]) -> list[Piece]:
    """Return the pieces of an alignment of faster-whisper's `find_alignment`, punctuation with its words."""
    from faster_whisper.transcribe import merge_punctuations  # pyright: ignore[reportMissingImports]

    merge_punctuations(alignment, _OPENING, _CLOSING)
    found = [
        Piece(item["word"], float(item["start"]), float(item["end"]), float(item["probability"]))
        for item in alignment
        if item["word"]
    ]
    return _without_pauses(found)


def words(said: Sequence[Piece], language: str, start_ms: int, end_ms: int) -> list[Word]:
    """Return the words with stream times; what does not begin with a space belongs to the word before."""
    spaced = bool(separator(language))
    found: list[Word] = []
    for piece in said:
        text = "".join(piece.text.split()) if spaced else piece.text
        if not text.strip():
            continue
        begin = min(max(start_ms + round(piece.start * 1000), start_ms), end_ms)
        end = min(max(start_ms + round(piece.end * 1000), begin), end_ms)
        if spaced and found and not piece.text[0].isspace():
            last = found.pop()
            confidence = min(piece.confidence, last.confidence or 1.0)
            found.append(Word(last.text + text, last.start_ms, end, confidence))
        else:
            found.append(Word(text, begin, end, piece.confidence))
    return found


def _without_pauses(said: Sequence[Piece]) -> list[Piece]:
    """Take the pause out of the first piece and those around the end of a sentence: it is aligned to them."""
    lengths = [piece.end - piece.start for piece in said if piece.end > piece.start]
    longest = 2 * min(_LONGEST_TYPICAL_S, median(lengths)) if lengths else 0.0
    found: list[Piece] = []
    for piece in said:
        start, end = piece.start, piece.end
        if end - start > longest:
            if not found or found[-1].text[-1] in _SENTENCE_END:
                start = end - longest
            elif piece.text[-1] in _SENTENCE_END:
                end = start + longest
        found.append(Piece(piece.text, start, end, piece.confidence))
    return found
