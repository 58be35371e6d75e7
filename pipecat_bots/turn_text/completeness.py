"""Evidence in the words of a turn that it is over."""

from __future__ import annotations

import re
from functools import lru_cache

from pipecat_bots.turn_text.dictation import cue_of, dictated, is_number
from pipecat_bots.turn_text.english import breaks_off, lacks_something
from pipecat_bots.turn_text.guarded import guarded
from pipecat_bots.turn_text.languages import ENGLISH, words_of
from pipecat_bots.turn_text.vocabulary import Completeness, Words

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_ABBREVIATION = re.compile(r"\b([a-z])\.([a-z])\b")
_SENTENCE_END = re.compile(r"[.?!]\s+")
_TRAILS_OFF = re.compile(r"(?:[,:;–—，、：；-]|\.\.\.|…|\b(?:[cdjlmnst]|qu|un|[dns]?[aeu]ll)['’])\s*$")
"""A comma, dots; an elided article: *j'aime l'*."""
_LONGEST_OPENING = 5
_LONGEST_HOLD = 3


@lru_cache(maxsize=256)
@guarded(Completeness.PLAIN)
def cue(text: str, language: str = "en", resumed: bool = False) -> Completeness:
    """Say what the words so far lead one to expect; mostly nothing in a language that is not known.

    `resumed`: what is dictated at the end was paused in before (`dictation.resumes`).
    """
    table, words = words_of(language), _words(text)
    if not words:
        return Completeness.PLAIN
    if _TRAILS_OFF.search(text.lower()):
        return Completeness.GOES_ON
    if " ".join(words) in table.answers:
        return Completeness.OVER
    plain = _without_case(text)
    if dictation := dictated(plain, language):
        return cue_of(dictation, language, resumed)
    words = _behind_holds(words, table)
    if left_open := _left_open(_behind_holds(_last_sentence(text), table), table):
        return left_open
    asks = text.rstrip().endswith(("?", "？")) or words[-1].endswith(table.asking_tails)
    if asks or len(words) == len(words[0]) == 1 or is_number(plain, language):
        return Completeness.OVER
    return Completeness.WHOLE if words[-1] in table.last or _asks(words, table) else Completeness.PLAIN


def same_words(one: str, other: str) -> bool:
    """Return whether two transcripts differ in no more than case, punctuation and spaces."""
    return _words(one) == _words(other)


def normalised(text: str) -> str:
    """Return the words without case and punctuation, a space between each two."""
    return " ".join(_words(text))


def _words(text: str) -> list[str]:
    return _WORD.findall(_without_case(text))


def _without_case(text: str) -> str:
    return _ABBREVIATION.sub(r"\1\2", text.casefold().replace("’", "'"))


def _last_sentence(text: str) -> list[str]:
    return _words(_SENTENCE_END.split(text.strip())[-1])


def _behind_holds(words: list[str], table: Words) -> list[str]:
    """Return the question behind *wait*, *no hold on*; all the words if there is none."""
    behind = 0
    at = 0
    while at < len(words):
        size = next(
            (n for n in range(_LONGEST_HOLD, 0, -1) if " ".join(words[at : at + n]) in table.holds), 0
        )
        if not size and words[at] not in table.starters:
            break
        at += size or 1
        behind = at if size else behind
    asks = at < len(words) and (words[at].removesuffix("'s") in table.question or words[at] in table.asking)
    return words[behind:] if asks else words


def _left_open(words: list[str], table: Words) -> Completeness | None:
    """Return the cue of a sentence that is left open; None if it is not."""
    if not words:
        return None
    if table is ENGLISH:
        breaks, lacks = breaks_off(words), lacks_something(words)
    else:
        breaks, lacks = False, _lacks_verb(words, table) or _asks_for_more(words, table)
    trails = words[-1] in table.goes_on and " ".join(words[-2:]) not in table.ends
    if breaks or trails or words[-1].endswith(table.tails) or _opens(words, table):
        return Completeness.GOES_ON
    return Completeness.LACKS if lacks else None


def _opens(words: list[str], table: Words) -> bool:
    """Return whether the sentence has come no further than a phrase that any sentence may begin with."""
    for start in range(max(0, len(words) - _LONGEST_OPENING), len(words)):
        begins = start == 0 or words[start - 1] in table.starters
        if begins and " ".join(words[start:]) in table.openings:
            return True
    return False


def _lacks_verb(words: list[str], table: Words) -> bool:
    """*weil ich*, *wenn das Wetter*, *meine Adresse ist*."""
    if len(words) < 2:
        return False
    if words[-1] in table.nominatives and words[-2] in table.subordinators:
        return True
    if len(words) == 3 and words[0] in table.conditions and words[1] in table.articles:
        return True
    return 3 <= len(words) <= 4 and words[-1] in table.copulas and words[0] in table.articles


def _asks_for_more(words: list[str], table: Words) -> bool:
    """*können Sie mir bitte*, *sagen Sie mir wo*: a phrase that sentences begin with, and little more."""
    asked = words[:-1] if words[-1] in table.question else words
    kept = [word for word in asked if word not in table.polite]
    if not kept or len(kept) == len(words) or kept[-1] in table.copulas:
        return False
    return _opens(kept, table)


def _asks(words: list[str], table: Words) -> bool:
    """Return whether the words have the form of a question that is not too short to be one."""
    first = next((i for i, word in enumerate(words) if word not in table.starters), 0)
    question = words[first:]
    if len(question) < 4:
        return False
    inverted = question[0] in table.asking and (not table.subjects or question[1] in table.subjects)
    return question[0].removesuffix("'s") in table.question or inverted
