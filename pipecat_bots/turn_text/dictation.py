"""Digits said in groups, and letters being spelled: what a text ends with, and whether it is whole.

Number words are told by text2num, in the languages it knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from text_to_num import alpha2digit

from pipecat_bots.turn_text.guarded import guarded
from pipecat_bots.turn_text.languages import base_of, words_of
from pipecat_bots.turn_text.vocabulary import CARD, Completeness, Lengths, Words, listed

_TOKEN = re.compile(r"\d+(?:\.\d+)?[^\W\d_]*|[^\W_]+(?:'[^\W_]+)?")
_COUNTED = frozenset({"de", "en", "es", "fr", "it", "nl", "pt"})
"""Languages of text2num."""
_ANNOUNCED_WITHIN = 8
"""Words before the digits among which their name is looked for."""
_AREA_CODE = 3
_SHORTEST_NAME = 3
"""Letters of a name, or of an abbreviation."""
_SHORTEST_PLATE = 4
"""Letters and digits, mixed, of the shortest number plate."""
_HOURS = 24
_SHORTEST_WITH_ZERO = 9
"""Digits of a telephone number with the zero before its area code."""
_IS = listed("is it's ist es est è é")
_BEFORE_TIMES = listed("at by until till um ab bis à às las alle dalle alla")
"""Words that tell a time from the first digits of a telephone number."""
_YEARS = range(1900, 2100)


@dataclass(frozen=True, slots=True)
class Dictation:
    """Dictation at the end of a text."""

    groups: tuple[str, ...]
    """Dictated letters and digits, as they were grouped: `("06", "12", "34")`, `("b", "o", "b")`."""
    before: tuple[str, ...]
    """Words before the dictation."""

    @property
    def characters(self) -> str:
        return "".join(self.groups)


def numerals(text: str, language: str) -> list[str]:
    """Return the words of a text in small letters, with its numbers in digits: `["at", "7", "30"]`."""
    base = base_of(language)
    return _TOKEN.findall(alpha2digit(text, base, 0) if base in _COUNTED else text)


def is_number(text: str, language: str) -> bool:
    """Return whether a text is one number and no more: *seven*, *twenty five*, *seven thirty*."""
    words = numerals(text, language)
    return bool(words) and words[0][0].isdecimal() and (len(words) == 1 or _is_time_or_year(words))


@lru_cache(maxsize=256)
def dictated(text: str, language: str) -> Dictation | None:
    """Return what is dictated at the end of a text in small letters; None if it ends with other words."""
    table, words = words_of(language), numerals(text, language)
    written = set(_TOKEN.findall(text))
    groups, start = list[str](), len(words)
    for word in reversed(words):
        group = table.digits.get(word, word)
        if group.isdecimal():
            if len(group) > 2 and group[0] != "0" and word not in written:
                break  # an amount
        elif word in table.repeats and groups:
            repeated = groups.pop()
            group = repeated[0] * table.repeats[word] + repeated[1:]
        elif len(word) > 1 or word.lower() == word.upper():
            break  # no letter of an alphabet
        groups.append(group)
        start -= 1
    groups.reverse()
    if len(groups) > 1 and groups[0] in table.letter_words and (len(groups) == 2 or groups[1].isdecimal()):
        groups, start = groups[1:], start + 1  # an article
    before = words[:start]
    if not groups or (len(groups) == 1 and not _is_a_series(groups[0])):
        return None
    if _is_time_or_year(groups) and not _is_announced(before, table):
        return None
    return Dictation(tuple(groups), tuple(before))


@guarded(False)
def resumes(before: str, newest: str, language: str) -> bool:
    """Return whether the words after a pause only go on with the dictation before it."""
    numbers = numerals(newest, language)
    goes_on = bool(numbers) and all(_is_group(word, words_of(language)) for word in numbers)
    return goes_on and bool(ended := numerals(before, language)) and _is_group(ended[-1], words_of(language))


def cue_of(dictation: Dictation, language: str, resumed: bool = False) -> Completeness:
    """Say whether more is to be expected.

    `resumed`: there was a pause in it already, so that another one is likely.
    """
    characters, table = dictation.characters, words_of(language)
    near = dictation.before[-_ANNOUNCED_WITHIN:]
    named = _named(near, table)
    if characters.isdecimal():
        return _of_digits(dictation, table, named, resumed)
    if named and _is_reference(dictation, named, table):
        return _of_reference(len(characters), named)
    if characters.isalpha():
        return _of_spelling(dictation, table)
    return Completeness.OPEN if len(characters) < _SHORTEST_PLATE else Completeness.PLAIN


def _is_reference(dictation: Dictation, named: Lengths, table: Words) -> bool:
    """*reference is X Y*, *gate B 12*; but not *order a B L T*, *the name on the booking is B O B*."""
    near = dictation.before[-_ANNOUNCED_WITHIN:]
    if not dictation.characters.isalpha():
        return near[-1] in table.named or near[-1] in _IS
    return near[-1] in _IS and min(named) > 1 and table.spells.isdisjoint(near)


def _of_reference(length: int, whole: Lengths) -> Completeness:
    """Judge letters and digits by the length of the reference they were called: *booking X Y Z*."""
    if length < min(whole):
        return Completeness.GOES_ON
    return Completeness.WHOLE if length in whole else Completeness.PLAIN


def _of_spelling(dictation: Dictation, table: Words) -> Completeness:
    """Judge a spelled name: one that was said before has a known end, another one has not."""
    letters, said = dictation.characters, dictation.before[-_ANNOUNCED_WITHIN:]
    if letters in said:
        return Completeness.OVER
    announced = not table.spells.isdisjoint(said)
    if any(word.startswith(letters) for word in said) or (announced and len(letters) < _SHORTEST_NAME):
        return Completeness.GOES_ON
    return Completeness.OPEN if len(letters) < _SHORTEST_NAME else Completeness.PLAIN


def _of_digits(dictation: Dictation, table: Words, named: Lengths, resumed: bool) -> Completeness:
    digits, near = dictation.characters, dictation.before[-_ANNOUNCED_WITHIN:]
    least = _SHORTEST_WITH_ZERO if digits[0] == "0" else 1
    whole = named or tuple(length for length in table.phone if length >= least)
    announced = bool(named) or digits[0] == "0" or not table.announces.isdisjoint(near)
    if len(digits) in whole or (not named and len(digits) in CARD):
        return Completeness.WHOLE
    if resumed and not named and _begins_a_card(digits):
        return Completeness.GOES_ON
    if len(digits) > max(whole):
        return Completeness.OPEN if resumed and len(digits) < min(CARD) else Completeness.PLAIN
    if len(digits) > min(whole):
        return (Completeness.GOES_ON if resumed else Completeness.OPEN) if announced else Completeness.PLAIN
    is_area_code = len(digits) == _AREA_CODE and len(dictation.groups) > 1
    return Completeness.GOES_ON if announced or resumed or is_area_code else Completeness.OPEN


def _begins_a_card(digits: str) -> bool:
    """Return whether these are two or three groups of four that begin as payment cards do (ISO/IEC 7812)."""
    return len(digits) in (8, 12) and digits[0] in "3456"


def _named(near: Sequence[str], table: Words) -> Lengths:
    """Return the possible lengths of the number named last; () without one: *security code* is no *code*."""
    for at in range(len(near) - 1, -1, -1):
        for name in (" ".join(near[max(0, at - 1) : at + 1]), near[at]):
            if name in table.named:
                return table.named[name]
    return ()


def _is_announced(before: Sequence[str], table: Words) -> bool:
    """Return whether a telephone number is to come, and no time of a call."""
    near = before[-_ANNOUNCED_WITHIN:]
    return bool(near) and not table.announces.isdisjoint(near) and near[-1] not in _BEFORE_TIMES


def _is_group(word: str, table: Words) -> bool:
    return word.isdecimal() or word in table.digits or word in table.repeats


def _is_a_series(group: str) -> bool:
    """Return whether digits written as one word may have been said one by one: *555*, *06*; not *2026*."""
    return len(group) > 1 and (group[0] == "0" or (len(group) > 2 and int(group) not in _YEARS))


def _is_time_or_year(numbers: Sequence[str]) -> bool:
    """*seven thirty*, *nineteen eighty four*."""
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        return False
    first, second = numbers
    return first[0] != "0" and int(first) <= _HOURS and second[0] != "0" and len(second) == 2
