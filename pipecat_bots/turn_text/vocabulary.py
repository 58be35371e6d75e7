"""Cues in words to a turn's end, and the words of a language that one has to know for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


class Completeness(Enum):
    """Expectation that the text leaves."""

    OVER = auto()
    """A whole answer, however short."""
    WHOLE = auto()
    """A sentence that could end here: a question, a request, a number in full."""
    PLAIN = auto()
    """Nothing either way."""
    OPEN = auto()
    """A number that may be whole, or not; letters that may be all."""
    LACKS = auto()
    """A sentence that lacks something."""
    GOES_ON = auto()
    """An ending that nobody ends with."""


LEFT_OPEN = frozenset({Completeness.OPEN, Completeness.LACKS, Completeness.GOES_ON})


def listed(words: str, separator: str | None = None) -> frozenset[str]:
    """Return a set of what stands in a string, between spaces or another separator."""
    return frozenset(words.casefold().split(separator))


_NONE: frozenset[str] = frozenset()

Lengths = tuple[int, ...]

CARD: Lengths = (15, 16)


@dataclass(frozen=True, slots=True)
class Words:
    """One language."""

    goes_on: frozenset[str] = _NONE
    """Words that nobody ends with: conjunctions, articles, most prepositions, fillers."""
    ends: frozenset[str] = _NONE
    """Two words that sentences end with, though the second is listed above: *lade ihn ein*, *le son*."""
    openings: frozenset[str] = _NONE
    """Phrases that nobody says without more in a sentence: *ich möchte*, *je voudrais*, *hold on*."""
    tails: tuple[str, ...] = ()
    """Endings of unfinished sentences, in a language that is written without spaces."""
    asking_tails: tuple[str, ...] = ()
    """Particles that end a question there."""
    stranded: frozenset[str] = _NONE
    """Prepositions that only a question, or a clause like one, ends with."""
    question: frozenset[str] = _NONE
    asking: frozenset[str] = _NONE
    """Verbs that a question begins with if their subject follows."""
    subjects: frozenset[str] = _NONE
    answers: frozenset[str] = _NONE
    """Whole turns, however short."""
    last: frozenset[str] = _NONE
    """Words that requests like to end with."""
    subordinators: frozenset[str] = _NONE
    """Conjunctions of which, behind a subject, more is to follow: *weil ich*."""
    nominatives: frozenset[str] = _NONE
    conditions: frozenset[str] = _NONE
    """Beginnings of clauses that are no sentence: *wenn das Wetter*."""
    articles: frozenset[str] = _NONE
    """Words before a noun, possessives too."""
    copulas: frozenset[str] = _NONE
    polite: frozenset[str] = _NONE
    """Words that may be said within an opening: *können Sie mir bitte*."""
    starters: frozenset[str] = _NONE
    """Words before the sentence proper begins."""
    holds: frozenset[str] = _NONE
    """Phrases that ask for a moment, and behind which a question stands all the same: *wait*, *hold on*."""
    letter_words: frozenset[str] = _NONE
    """Words of one letter, that are no letter being spelled."""
    announces: frozenset[str] = _NONE
    """Words that announce the digits of a telephone number."""
    spells: frozenset[str] = _NONE
    """Words that announce the letters of a name."""
    named: Mapping[str, Lengths] = field(default_factory=dict)
    """Possible lengths of a number, in digits, by its name of one word or two: *pin*, *security code*."""
    phone: Lengths = (7, 9, 10, 11)
    """Possible lengths of a telephone number, in digits."""
    digits: Mapping[str, str] = field(default_factory=dict)
    """Digits by their other names."""
    repeats: Mapping[str, int] = field(default_factory=dict)
    """*double*."""
