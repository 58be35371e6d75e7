"""Estimated times of words: each was said just before the first reading that has it.

The exported decoder tells nothing of its attention. But an utterance is read every few tenths of a second,
and a word is in the first reading after it was said. Between such readings time is shared out over the frames
that hold speech, by the lengths of the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nemotron_speech.engines.base import Word
from nemotron_speech.engines.moonshine_asr.speech import FRAME
from nemotron_speech.engines.moonshine_asr.vocabulary import SpokenWord

_FRAME_MS = FRAME * 1000 // 16000


@dataclass(frozen=True, slots=True)
class Sighting:
    """The words of one reading and where its speech ended, in frames of the window."""

    end: int
    words: tuple[str, ...]


def sighted(end: int, words: Sequence[SpokenWord]) -> Sighting:
    """Return the words of a reading as they are compared: without case and punctuation."""
    return Sighting(end, tuple(bare(word.text) for word in words))


def timed(
    words: Sequence[SpokenWord],
    sightings: Sequence[Sighting],
    spoken: npt.NDArray[np.bool_],
    start_ms: int,
) -> list[Word]:
    """Return the words of a window with estimated times on the stream's clock.

    Args:
        words: Of the latest reading.
        sightings: Earlier readings of the same window.
        spoken: For each frame of the window whether it is speech.
        start_ms: Where the window begins.
    """
    if not words:
        return []
    said = np.concatenate(([0], np.cumsum(spoken)))
    ends = np.cumsum([len(word.text) + 1 for word in words])
    counts, frames = _anchors([bare(word.text) for word in words], sightings, len(spoken))
    letters = [0, *(int(ends[count - 1]) for count in counts), int(ends[-1])]
    speech = [0, *(int(said[frame]) for frame in frames), int(said[-1])]
    begins = np.interp([0, *ends[:-1]], letters, speech)
    finishes = np.interp(ends, letters, speech)
    found = list[Word]()
    for word, begin, finish in zip(words, begins, finishes, strict=True):
        at = _ms(said, begin, 1)
        end = max(at, _ms(said, finish, 0))
        found.append(Word(word.text, start_ms + at, start_ms + end, round(word.confidence, 3)))
    return found


def _anchors(words: Sequence[str], sightings: Sequence[Sighting], frames: int) -> tuple[list[int], list[int]]:
    """Return counts of words and the frames by which they were said, both rising.

    A reading of which the last word was heard otherwise later ended within that word, and tells nothing.
    """
    counts, ends = list[int](), list[int]()
    for sighting in sightings:
        count = len(sighting.words)
        right = 0 < count < len(words) and tuple(words[:count]) == sighting.words
        if right and sighting.end < frames and count > (counts[-1] if counts else 0):
            counts.append(count)
            ends.append(sighting.end)
    return counts, ends


def _ms(said: npt.NDArray[np.int64], speech: float, side: int) -> int:
    """Return where so many frames of speech have passed: a word ends before a pause and begins after it."""
    whole = min(int(speech), int(said[-1]))
    if side:
        frame = min(int(np.searchsorted(said, whole, side="right")) - 1, len(said) - 1)
    else:
        frame = int(np.searchsorted(said, whole, side="left"))
    return round((frame + speech - whole) * _FRAME_MS)


def bare(word: str) -> str:
    """Return a word without case and punctuation."""
    return "".join(letter for letter in word.casefold() if letter.isalnum()) or word
