"""Word times of a Magpie segment, from the text positions that the decoder attended to at every frame."""

from __future__ import annotations

from collections.abc import Sequence

from nemotron_speech.engines.base import Word
from nemotron_speech.engines.magpie_tts.text import TextChunk
from nemotron_speech.engines.shared.word_times import word_times


class SpokenWords:
    """The words of one segment, and the frame each began at."""

    def __init__(self, chunks: Sequence[TextChunk]) -> None:
        self._chunks = chunks
        self._before = [sum(len(chunk.words) for chunk in chunks[:i]) for i in range(len(chunks))]
        self._begun: dict[int, int] = {0: 0}

    def note(self, chunk: int, token: int, frame: int) -> None:
        """Take in that `token` of `chunk` was attended to at `frame`, counted over the segment."""
        word_of = self._chunks[chunk].word_of
        if word_of and token >= 0:
            word = self._before[chunk] + word_of[min(token, len(word_of) - 1)]
            if word > max(self._begun):
                self._begun[word] = frame

    def after(self, chunk: int) -> tuple[str, ...]:
        """Return the words of `chunk` that have not begun; none where tokens do not tell words."""
        begun = max(self._begun) + 1 - self._before[chunk]
        return self._chunks[chunk].words[max(begun, 0) :]

    def times(self, frames: int, ms_per_frame: float) -> tuple[Word, ...]:
        """Return the words of a segment of `frames` frames; none where tokens do not tell words.

        A word that the attention passed over begins between its neighbours.
        """
        words = [word for chunk in self._chunks for word in chunk.words]
        if not words or not all(chunk.words for chunk in self._chunks):
            return ()
        begun = {word: frame * ms_per_frame for word, frame in self._begun.items()}
        return word_times(words, begun, frames * ms_per_frame)
