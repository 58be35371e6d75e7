"""Moonshine's vocabulary: the pieces of text behind the decoder's token numbers.

`tokenizer.bin` is a list of byte strings in the order of their numbers, each after its length: one byte below
128, else two, the low seven bits first (format of Useful Sensors' `bin_tokenizer`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nemotron_speech.errors import ConfigurationError

START, END = 1, 2
"""Numbers of the tokens that begin and end a transcript."""
_SPACE = "\u2581".encode()
"""Stands for the space before a word."""


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One word of a transcript and how sure the decoder was of its least likely token, 0 to 1."""

    text: str
    confidence: float


class MoonshineVocabulary:
    """The pieces of text by token number."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [b"" if _is_special(piece) else piece for piece in pieces]

    @classmethod
    def read(cls, path: Path) -> MoonshineVocabulary:
        """Read a `tokenizer.bin`. Raises ConfigurationError for a file of another kind."""
        try:
            return cls(list(_pieces(path.read_bytes())))
        except (OSError, IndexError) as error:
            raise ConfigurationError(f"model: {path} is no Moonshine vocabulary ({error})") from error

    def __len__(self) -> int:
        return len(self._pieces)

    def words(self, tokens: Sequence[int], probabilities: Sequence[float]) -> tuple[SpokenWord, ...]:
        """Return the words of a transcript; a token without a space before it continues its word."""
        found: list[tuple[bytes, float]] = []
        for token, probability in zip(tokens, probabilities, strict=True):
            piece = self._pieces[token]
            if piece.startswith(_SPACE) or not found:
                found.append((piece.removeprefix(_SPACE), probability))
            else:
                text, least = found.pop()
                found.append((text + piece, min(least, probability)))
        spelt = ((text.decode("utf-8", "ignore").replace("\u2581", " "), sure) for text, sure in found)
        return tuple(SpokenWord(word, sure) for text, sure in spelt for word in text.split())


def _pieces(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        length, at = data[at], at + 1
        if length >= 128:
            length, at = data[at] * 128 + length - 128, at + 1
        if at + length > len(data):
            raise IndexError("the last piece is cut off")
        yield data[at : at + length]
        at += length


def _is_special(piece: bytes) -> bool:
    return len(piece) > 2 and piece.startswith(b"<") and piece.endswith(b">")
