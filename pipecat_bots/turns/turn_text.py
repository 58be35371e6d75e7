"""What the words of a turn say about whether it is over."""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache

from pipecat_bots.turns.turn_grammar import breaks_off, lacks_something
from pipecat_bots.turns.turn_words import ENGLISH, Words, words_of

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_ABBREVIATION = re.compile(r"\b([a-z])\.([a-z])\b")
_SENTENCE_END = re.compile(r"[.?!]\s+")
_TRAILS_OFF = re.compile(r"(?:[,:;–—-]|\.\.\.|…|\b(?:[cdjlmnst]|qu|un|[dns]?[aeu]ll)['’])\s*$")
"""A comma, dots; an elided article: *j'aime l'*."""
_LONGEST_OPENING = 5

_WHOLE_NUMBERS = (7, 10, 11, 16)
WHOLE_NUMBER = 7
"""Digits a dictated number has at least; with fewer, a pause is taken for one between its groups."""
WHOLE_NAME = 4
"""Letters a spelled name has at least."""


class Cue(Enum):
    """What the text lets one expect."""

    OVER = auto()
    """A whole answer, however short."""
    WHOLE = auto()
    """It could end here: a question, a request, a number in full."""
    PLAIN = auto()
    """Nothing either way."""
    OPEN = auto()
    """More is to be expected: a sentence that lacks something, a number too short to be one."""
    GOES_ON = auto()
    """Nobody ends like this."""


LEFT_OPEN = frozenset({Cue.OPEN, Cue.GOES_ON})


@lru_cache(maxsize=256)
def cue(text: str, language: str = "en") -> Cue:
    """Say what the words so far lead one to expect; mostly nothing in a language that is not known."""
    table, words = words_of(language), _words(text)
    if not words:
        return Cue.PLAIN
    if _TRAILS_OFF.search(text.lower()):
        return Cue.GOES_ON
    if " ".join(words) in table.answers:
        return Cue.OVER
    digits, letters = _dictated(words, table)
    if _goes_on_dictating(digits, letters):
        return Cue.OPEN if table.announces.isdisjoint(words) else Cue.GOES_ON
    if left_open := _left_open(_last_sentence(text), table):
        return left_open
    if text.rstrip().endswith("?") or len(words) == len(words[0]) == 1 or _are_a_number(words, table):
        return Cue.OVER
    whole = digits in _WHOLE_NUMBERS or words[-1] in table.last or _asks(words, table)
    return Cue.WHOLE if whole else Cue.PLAIN


def same_words(one: str, other: str) -> bool:
    """Whether two transcripts differ in no more than case, punctuation and spaces."""
    return _words(one) == _words(other)


def normalised(text: str) -> str:
    """Return the words without case and punctuation, a space between each two."""
    return " ".join(_words(text))


def _words(text: str) -> list[str]:
    return _WORD.findall(_ABBREVIATION.sub(r"\1\2", text.casefold().replace("’", "'")))


def _last_sentence(text: str) -> list[str]:
    return _words(_SENTENCE_END.split(text.strip())[-1])


def _left_open(words: list[str], table: Words) -> Cue | None:
    """How a sentence is left open, if it is."""
    if not words:
        return None
    is_english = table is ENGLISH
    if words[-1] in table.goes_on or _opens(words, table) or (is_english and breaks_off(words)):
        return Cue.GOES_ON
    return Cue.OPEN if is_english and lacks_something(words) else None


def _opens(words: list[str], table: Words) -> bool:
    """Whether the sentence has come no further than a phrase that every sentence may begin with."""
    for start in range(max(0, len(words) - _LONGEST_OPENING), len(words)):
        begins = start == 0 or words[start - 1] in table.starters
        if begins and " ".join(words[start:]) in table.openings:
            return True
    return False


def _asks(words: list[str], table: Words) -> bool:
    """Whether the words have the form of a question that is not too short to be one."""
    first = next((i for i, word in enumerate(words) if word not in table.starters), 0)
    question = words[first:]
    if len(question) < 4:
        return False
    inverted = question[0] in table.asking and (not table.subjects or question[1] in table.subjects)
    return question[0] in table.question or inverted


def _dictated(words: list[str], table: Words) -> tuple[int, int]:
    """How many digits, and how many letters, end the text: a telephone number, or a name being spelled."""
    digits = letters = 0
    for word in reversed(words):
        if word.isdigit() and len(word) != 2:  # with two it is a number more often than a group of one
            digits += len(word)
        elif word in table.digits:
            digits += 1
        elif len(word) == 1 and word.isalpha():
            letters += 1
        else:
            break
    if digits == 0 and letters == 2 and words[-2] in table.letter_words:
        letters = 1
    return digits, letters


def _goes_on_dictating(digits: int, letters: int) -> bool:
    return 1 < digits + letters < (WHOLE_NAME if letters > digits else WHOLE_NUMBER)


def _are_a_number(words: list[str], table: Words) -> bool:
    """Whether the words are one number: *seven*, *twenty five*. With more digits one is dictated."""
    digits = sum(word.isdigit() or word in table.digits for word in words)
    return all(_is_number(word, table) for word in words) and (len(words) == 1 or 2 * digits <= len(words))


def _is_number(word: str, table: Words) -> bool:
    return word.isdigit() or word in table.digits or word in table.numbers
