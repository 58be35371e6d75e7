"""What words may tell of a turn's end, and of which words one has to know it in a language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


class Cue(Enum):
    """What the text lets one expect."""

    OVER = auto()
    """A whole answer, however short."""
    WHOLE = auto()
    """It could end here: a question, a request, a number in full."""
    PLAIN = auto()
    """Nothing either way."""
    OPEN = auto()
    """A number that may be whole, or not; letters that may be all."""
    LACKS = auto()
    """A sentence that lacks something."""
    GOES_ON = auto()
    """Nobody ends like this."""


LEFT_OPEN = frozenset({Cue.OPEN, Cue.LACKS, Cue.GOES_ON})


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
    """Nobody ends with these: conjunctions, articles, most prepositions, fillers."""
    ends: frozenset[str] = _NONE
    """Two words that sentences end with, though the second is listed above: *lade ihn ein*, *le son*."""
    openings: frozenset[str] = _NONE
    """Nobody says these and no more in a sentence: *ich möchte*, *je voudrais*, *hold on*."""
    tails: tuple[str, ...] = ()
    """What nobody ends with in a language that is written without spaces."""
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
    """What clauses begin with that are no sentence: *wenn das Wetter*."""
    articles: frozenset[str] = _NONE
    """What stands before a noun, possessives too."""
    copulas: frozenset[str] = _NONE
    polite: frozenset[str] = _NONE
    """What may be said within an opening: *können Sie mir bitte*."""
    starters: frozenset[str] = _NONE
    """What is said before the sentence proper begins."""
    letter_words: frozenset[str] = _NONE
    """Words of one letter, that are no letter being spelled."""
    announces: frozenset[str] = _NONE
    """What tells that the digits to come are a telephone number."""
    spells: frozenset[str] = _NONE
    """What tells that the letters to come are a name."""
    named: Mapping[str, Lengths] = field(default_factory=dict)
    """How many digits a number of another name, of one word or two, has: *pin*, *security code*."""
    phone: Lengths = (7, 9, 10, 11)
    """How many digits a telephone number has."""
    digits: Mapping[str, str] = field(default_factory=dict)
    """What a digit is called besides its name."""
    repeats: Mapping[str, int] = field(default_factory=dict)
    """*double*."""
