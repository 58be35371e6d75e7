"""Words of an answer on their way to a listener: held while they may be thoughts, and taken back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from nemotron_speech.protocol.llama.thoughts import may_be_thought
from nemotron_speech.protocol.llama.written_calls import WrittenCall

NOTHING_TO_SAY = "I have nothing to say to that. Please ask again."
"""Answer in place of one without words."""


@dataclass(frozen=True, slots=True)
class SaidText:
    """Words of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Unsaid:
    """All words of the answer so far were thoughts; what was not spoken yet is not to be."""


AnswerPart: TypeAlias = SaidText | WrittenCall | Unsaid


class Trust(Enum):
    """Confidence that the words are an answer."""

    UNREAD = auto()
    """Nothing has come but spaces."""
    DOUBTED = auto()
    SETTLED = auto()


class WordOutlet:
    """Gives out the words of one answer, in order with its tool calls.

    Args:
        expects_thoughts: Whether every answer of this model begins with thoughts that no tag opens.
    """

    def __init__(self, *, expects_thoughts: bool) -> None:
        self._expects_thoughts = expects_thoughts
        self._parts: list[AnswerPart] = []
        self._last = ""
        """Last character given out; empty before the first."""
        self.resume()

    def resume(self) -> None:
        """Forget what was held."""
        self.trust = Trust.SETTLED if self._last else Trust.UNREAD
        self.doubted = ""
        """Words that are held because they may be thoughts."""
        self.at_line_start = True
        self._closes_gap = False
        self._parts.clear()

    @property
    def has_given(self) -> bool:
        """True if words were given out that were not taken back."""
        return self._last != ""

    def take(self) -> list[AnswerPart]:
        """Return the parts that have become certain since the last call."""
        parts, self._parts = self._parts, []
        return parts

    def say(self, text: str) -> None:
        """Give words out, now or when they are known to be no thoughts."""
        before = (self._last + self.doubted)[-1:]
        if self._closes_gap and (before.isspace() or not before):
            text = text.lstrip()
        if not text:
            return
        self._closes_gap = False
        self.at_line_start = text.endswith("\n")
        if self.trust is Trust.SETTLED:
            self._give(text)
            return
        self.doubted += text
        if self.doubted.strip():
            self.trust = Trust.DOUBTED
            if not (self._expects_thoughts or may_be_thought(self.doubted)):
                self.settle()

    def settle(self) -> None:
        """Take what was held for an answer, and what follows."""
        text, self.doubted = self.doubted, ""
        self.trust = Trust.SETTLED
        self._give(text)

    def trust_what_follows(self) -> None:
        """Note that thoughts of their own have ended: words that follow are no thoughts."""
        self._expects_thoughts = False
        if self.trust is Trust.UNREAD:
            self.trust = Trust.SETTLED

    def call(self, calls: list[WrittenCall]) -> None:
        """Give out tool calls."""
        self._parts += calls

    def leave_gap(self) -> None:
        """Note that something was left out here: one space is enough, and a line may begin."""
        self._closes_gap = self.at_line_start = True

    def unsay(self) -> None:
        """Take all words back; those that follow are the answer."""
        if self._last:
            self._parts.append(Unsaid())
        self._last = self.doubted = ""
        self.trust, self._expects_thoughts = Trust.SETTLED, False
        self.leave_gap()

    def _give(self, text: str) -> None:
        if text:
            self._last = text[-1]
            self._parts.append(SaidText(text))
