"""What the words of a turn say about whether it is over."""

from __future__ import annotations

import re
from enum import Enum, auto

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_ABBREVIATION = re.compile(r"\b([a-z])\.([a-z])\b")
_TRAILS_OFF = re.compile(r"(?:[,:;–—-]|\.\.\.|…)\s*$")


def _set(words: str, separator: str | None = None) -> frozenset[str]:
    return frozenset(words.split(separator))


_GOES_ON = _set(
    "and but or nor because although unless until if whereas plus the a an my your our their its "
    "um uhm uh er erm hm hmm mm"
)
_GOES_ON_IN_STATEMENTS = _set("to of with for from into about between")
_QUESTION = _set("what where who whom whose which when why how")
_ASKING = _set("can could would will do does did is are was were have has may should shall am")
_SUBJECTS = _set("i you he she it we they this that there the my your our")
_LAST_WORDS = _set("please thanks today tonight tomorrow yesterday morning now again too instead")
_SO_ENDS = _set("think hope guess suppose believe say said not or even do did")
_ANSWERS = _set(
    "yes|yeah|yep|yup|no|nope|nah|okay|ok|sure|right|correct|exactly|maybe|perhaps|please|thanks|thank you|"
    "stop|go ahead|go on|of course|absolutely|definitely|never|always|hello|hi|hey|goodbye|bye|good morning|"
    "cancel|continue|help|repeat|yes please|no thanks|no thank you|not really|i do|i don't|that's right|"
    "that's all|none|both|neither|either",
    "|",
)
_DIGITS = _set("zero oh one two three four five six seven eight nine double triple")
_NUMBERS = _DIGITS | _set(
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
    "twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million first second third"
)
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
    GOES_ON = auto()
    """Nobody ends like this."""


def cue(text: str) -> Cue:
    """Say what the words so far lead one to expect (English; other languages are mostly `PLAIN`)."""
    words = _words(text)
    if not words:
        return Cue.PLAIN
    digits, letters = _dictated(words)
    if _goes_on_dictating(digits, letters) or _is_left_open(words) or _TRAILS_OFF.search(text):
        return Cue.GOES_ON
    if text.rstrip().endswith("?") or " ".join(words) in _ANSWERS:
        return Cue.OVER
    if len(words) == 1 and (_is_number(words[0]) or len(words[0]) == 1):
        return Cue.OVER
    whole = digits in _WHOLE_NUMBERS or words[-1] in _LAST_WORDS or _asks(words)
    return Cue.WHOLE if whole else Cue.PLAIN


def same_words(one: str, other: str) -> bool:
    """Whether two transcripts differ in no more than case, punctuation and spaces."""
    return _words(one) == _words(other)


def normalised(text: str) -> str:
    """Return the words without case and punctuation, a space between each two."""
    return " ".join(_words(text))


def _words(text: str) -> list[str]:
    return _WORD.findall(_ABBREVIATION.sub(r"\1\2", text.casefold().replace("’", "'")))


def _asks(words: list[str]) -> bool:
    """Whether the words have the form of a question that is not too short to be one."""
    return len(words) >= 4 and (words[0] in _QUESTION or (words[0] in _ASKING and words[1] in _SUBJECTS))


def _is_left_open(words: list[str]) -> bool:
    last = words[-1]
    if last in _QUESTION:
        return len(words) > 1
    if last == "so":
        return len(words) == 1 or words[-2] not in _SO_ENDS
    if last in _GOES_ON_IN_STATEMENTS:
        return not _QUESTION & set(words)
    return last in _GOES_ON


def _dictated(words: list[str]) -> tuple[int, int]:
    """How many digits, and how many letters, end the text: a telephone number, or a name being spelled."""
    digits = letters = 0
    for word in reversed(words):
        if word.isdigit() and len(word) != 2:  # with two it is a number more often than a group of one
            digits += len(word)
        elif word in _DIGITS:
            digits += 1
        elif len(word) == 1 and word.isalpha():
            letters += 1
        else:
            break
    if digits == 0 and letters == 2 and words[-2] in ("a", "i"):
        letters = 1
    return digits, letters


def _goes_on_dictating(digits: int, letters: int) -> bool:
    return 1 < digits + letters < (WHOLE_NAME if letters > digits else WHOLE_NUMBER)


def _is_number(word: str) -> bool:
    return word.isdigit() or word in _NUMBERS
