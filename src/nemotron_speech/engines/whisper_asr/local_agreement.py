"""Stable part of a recogniser's changing hypotheses: the words that two in a row agree on.

A recogniser that re-reads a growing buffer changes its mind about the latest words. LocalAgreement-2 (Liu,
Spanakis and Niehues, Interspeech 2020; used for Whisper by Macháček, Dabre and Bojar, 2023) commits the
longest common prefix of two consecutive hypotheses. Here the last word of a hypothesis is never committed by
agreement, as the end of the buffer may have cut it. And while the buffer holds the whole utterance nothing is
final: the latest hypothesis knows more than those before it, so what they agreed on gives way to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nemotron_speech.engines.base import Word
from nemotron_speech.engines.shared.running_text import MOST_WORDS, RunningText

_LONGEST_REPEAT = 5
"""Words that a hypothesis over a shortened buffer may repeat of what was committed before it."""
_REPEAT_WITHIN_MS = 1000


class LocalAgreement:
    """The words of one utterance. Times of all words are on one clock.

    Args:
        separator: Text between two words.
    """

    def __init__(self, separator: str = " ") -> None:
        self.separator = separator
        self.text = RunningText()
        """The text of the committed words."""
        self._committed: list[Word] = []
        self._tentative: list[Word] = []
        self._window = 0
        """Index of the first committed word that the buffer still holds."""
        self.whole = True
        """True if the buffer holds all words so far."""

    @property
    def committed(self) -> tuple[Word, ...]:
        """The words that two readings agree on; of very many, the newest.

        Once the first of them has left the buffer they stay, whatever is heard.
        """
        return tuple(self._committed)

    @property
    def words(self) -> tuple[Word, ...]:
        """The committed words and those of the latest hypothesis that may still change."""
        return (*self._committed, *self._tentative)

    def hear(self, hypothesis: Sequence[Word]) -> None:
        """Take in a hypothesis over the buffer and commit what it shares with the one before."""
        if self.whole:
            self._tentative, self._committed, self.text = [*self.words], [], RunningText()
        rest = self._beyond_committed(hypothesis)
        agreed = min(_common_prefix(self._tentative, rest), max(len(rest) - 1, 0))
        self._commit(rest[:agreed])
        self._tentative = rest[agreed:]

    def preview(self, hypothesis: Sequence[Word]) -> tuple[Word, ...]:
        """Return what `words` would be with this hypothesis, and change nothing."""
        if self.whole:
            return tuple(hypothesis)
        return (*self._committed, *self._beyond_committed(hypothesis))

    def settle(self, until_ms: int) -> None:
        """Commit the tentative words of which at least half lies before `until_ms`, agreed on or not."""
        while self._tentative and _middle(self._tentative[0]) <= until_ms:
            self._commit([self._tentative.pop(0)])

    def forget_audio(self, before_ms: int) -> None:
        """Say that hypotheses from now on begin at `before_ms`. Tentative words before it are committed."""
        self.settle(before_ms)
        while self._window < len(self._committed) and self._committed[self._window].end_ms <= before_ms:
            self._window += 1
        self.whole = self.whole and not any(word.start_ms < before_ms for word in self.words[:1])
        old = min(self._window, len(self._committed) - MOST_WORDS)
        if old > 0:
            del self._committed[:old]
            self._window -= old

    def joined(self, words: Sequence[Word]) -> str:
        """Return what `words` add to the committed text."""
        text = self.separator.join(word.text for word in words)
        return f"{self.separator}{text}" if text and self.text.recent else text.lstrip()

    def _commit(self, words: Sequence[Word]) -> None:
        self.text.append(self.joined(words))
        self._committed += words

    def _beyond_committed(self, hypothesis: Sequence[Word]) -> list[Word]:
        """Return the hypothesis's words after the committed ones: found by text, else by times."""
        held = self._committed[self._window :]
        if held and _common_prefix(held, hypothesis) == len(held):
            return self._after(hypothesis[len(held) :])
        end = self._committed[-1].end_ms if self._committed else 0
        later = [word for word in hypothesis if _middle(word) >= end]
        return self._after(self._without_repeats(later))

    def _without_repeats(self, words: list[Word]) -> list[Word]:
        """Drop the words at the beginning that are the end of the committed ones heard again."""
        if not self._committed or not words:
            return words
        if words[0].start_ms > self._committed[-1].end_ms + _REPEAT_WITHIN_MS:
            return words
        for count in range(min(_LONGEST_REPEAT, len(words), len(self._committed)), 1, -1):
            if _common_prefix(self._committed[-count:], words) == count:
                return words[count:]
        return words

    def _after(self, words: Sequence[Word]) -> list[Word]:
        """Return the words with times that do not run backwards."""
        at = self._committed[-1].start_ms if self._committed else 0
        ordered = []
        for word in words:
            at = max(at, word.start_ms)
            ordered.append(replace(word, start_ms=at, end_ms=max(at, word.end_ms)))
        return ordered


def _middle(word: Word) -> float:
    return (word.start_ms + word.end_ms) / 2


def _common_prefix(one: Sequence[Word], other: Sequence[Word]) -> int:
    """Count the words that both begin with, whatever their case and punctuation."""
    for count, (a, b) in enumerate(zip(one, other, strict=False)):
        if _bare(a.text) != _bare(b.text):
            return count
    return min(len(one), len(other))


def _bare(text: str) -> str:
    letters = "".join(character for character in text.casefold() if character.isalnum())
    return letters or text.strip()
