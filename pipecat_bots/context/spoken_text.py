"""Words of a spoken segment that have been heard at a point of its audio."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise

_PIECE = re.compile(r"\s*\S+\s*")
MS_PER_CHARACTER = 65.0
"""A brisk 185 words a minute in English, so that an estimate is rather late than early."""

Word = tuple[str, int, int]


class SpokenText:
    """The text of one segment, given out piece by piece as its audio plays. Pieces joined are the text."""

    def __init__(self, text: str) -> None:
        self.text = ""
        self._pieces: list[str] = []
        self._ends: list[int] = []
        self._given = 0
        self._from = 0
        """The piece that the sound begins with."""
        self.extend(text)

    def extend(self, text: str) -> None:
        """Add text that has no sound of its own."""
        self.text += text
        self._pieces += _split(text)
        self._measure()

    def begin_again(self) -> None:
        """Let the sound begin anew, with the piece that is next."""
        self._from = self._given
        self._measure()

    def _measure(self) -> None:
        self._ends = list(accumulate(map(len, self._pieces[self._from :])))

    @property
    def said(self) -> str:
        """The text given out so far."""
        return "".join(self._pieces[: self._given])

    @property
    def unsaid(self) -> str:
        """The text still to come."""
        return "".join(self._pieces[self._given :])

    def take(self) -> str:
        """Give out the next piece."""
        self._given += 1
        return self._pieces[self._given - 1]

    def due(self, audio_ms: float, ms_per_character: float = MS_PER_CHARACTER) -> int:
        """Return how many pieces are over after `audio_ms`, while words and length are unknown."""
        over = sum(end * ms_per_character <= audio_ms for end in self._ends)
        return max(0, self._from + over - self._given)

    def timeline(self, audio_ms: float, words: Sequence[Word] = ()) -> list[float]:
        """Return the end of each piece still to come, in milliseconds from the start of the segment."""
        pieces = self._pieces[self._from :]
        spoken = [i for i, piece in enumerate(pieces) if any(map(str.isalnum, piece))]
        if words and len(words) == len(spoken):
            ends = self._by_words(dict(zip(spoken, words, strict=True)))
        else:
            ends = [audio_ms * end / max(1, self._ends[-1]) for end in self._ends]
        return [min(end, audio_ms) for end in ends[self._given - self._from :]]

    def _by_words(self, words: dict[int, Word]) -> list[float]:
        """Return the end of each piece; one that is no word (a dash) is over with the word before it."""
        ends = [float(words[i][2]) if i in words else 0.0 for i in range(len(self._ends))]
        return list(accumulate(ends, max))


def _split(text: str) -> list[str]:
    pieces = _PIECE.findall(text)
    return pieces if pieces or not text else [text]


def cut(pcm: bytes, ends_ms: Sequence[float], start_ms: float, sample_rate: int) -> list[bytes]:
    """Cut audio that begins at `start_ms` where the pieces end; the last part is what is left."""
    offsets = [2 * round((end - start_ms) * sample_rate / 1000) for end in ends_ms]
    bounds = [0, *(min(max(0, offset), len(pcm)) for offset in offsets), len(pcm)]
    return [pcm[a:b] for a, b in pairwise(accumulate(bounds, max))]
