"""Numbers as they are spoken: words to values, and values to words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from nemotron_speech.responder.talk.words import listed

UNITS = listed(
    "zero, one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, fourteen, "
    "fifteen, sixteen, seventeen, eighteen, nineteen"
)
TENS = dict(
    zip(
        listed("twenty, thirty, forty, fifty, sixty, seventy, eighty, ninety"),
        range(20, 100, 10),
        strict=True,
    )
)
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
ORDINAL_DAYS = listed(
    "first, second, third, fourth, fifth, sixth, seventh, eighth, ninth, tenth, eleventh, twelfth, "
    "thirteenth, fourteenth, fifteenth, sixteenth, seventeenth, eighteenth, nineteenth, twentieth"
)

_VALUES = {name: value for value, name in enumerate(UNITS)} | TENS
HOMOPHONES = {"to": "two", "too": "two", "for": "four", "fore": "four", "won": "one", "ate": "eight"}
HOMOPHONES |= {"oh": "zero", "nought": "zero", "naught": "zero", "tree": "three", "sex": "six", "tin": "ten"}
HOMOPHONES |= {"fourty": "forty", "tents": "ten", "free": "three", "sicks": "six", "heaven": "seven"}
"""Homophone that a recogniser writes to the number word it stands for; only where a number is expected."""

SPEAKABLE_LIMIT = 10**15


@dataclass(frozen=True, slots=True)
class SpokenNumber:
    """A value and how many words it took."""

    value: Fraction
    length: int


def read_number(words: Sequence[str], *, homophones: bool = True) -> SpokenNumber | None:
    """Read the longest number that the words begin with, None when they begin with none.

    Accepts "minus", digits ("3.5"), number words with "and", and "point" with digits after it.
    """
    position = 1 if words and words[0] in ("minus", "negative") else 0
    sign = -1 if position else 1
    whole = _read_whole(words[position:], homophones) or SpokenNumber(Fraction(0), 0)
    position += whole.length
    decimals = _read_decimals(words[position:], homophones)
    if not whole.length and not decimals.length:
        return None
    return SpokenNumber(sign * (whole.value + decimals.value), position + decimals.length)


def _read_whole(words: Sequence[str], homophones: bool) -> SpokenNumber | None:
    if words and (value := _digits(words[0])) is not None:
        scale = SCALES.get(words[1]) if len(words) > 1 else None
        if len(words) > 1 and words[1] == "hundred":
            scale = 100
        return SpokenNumber(value * (scale or 1), 2 if scale else 1)
    total = group = Fraction(0)
    length = 0
    room = 10**4
    """The next word must name less than this: "twenty five" is one number, "five twenty" is not."""
    for index, word in enumerate(words):
        value = _word_value(word, homophones and index == 0)
        if value is not None and value < room:
            group += value
            room = 10 if value >= 20 else 0
        elif word in ("a", "an") and index == 0 and _is_scale(words[1:2]):
            group = Fraction(1)
        elif word == "hundred" and (0 < group < 100 or index == 0):
            group = (group or 1) * 100
            room = 100
        elif word in SCALES and (group or index == 0):
            total += (group or 1) * SCALES[word]
            group, room = Fraction(0), 10**4
        elif word == "and" and length == index and index and room in (100, 10**4):
            continue
        else:
            break
        length = index + 1
    return SpokenNumber(total + group, length) if length else None


def _is_scale(words: Sequence[str]) -> bool:
    return bool(words) and (words[0] == "hundred" or words[0] in SCALES)


def _read_decimals(words: Sequence[str], homophones: bool) -> SpokenNumber:
    nothing = SpokenNumber(Fraction(0), 0)
    if len(words) < 2 or words[0] != "point":
        return nothing
    digits = ""
    length = 1
    for word in words[1:]:
        value = _word_value(word, homophones)
        if value is None and word.isdecimal():
            value = int(word)
        if value is None:
            break
        digits += str(value)
        length += 1
    return SpokenNumber(Fraction(int(digits), 10 ** len(digits)), length) if digits else nothing


def _word_value(word: str, homophones: bool) -> int | None:
    if homophones:
        word = HOMOPHONES.get(word, word)
    return _VALUES.get(word)


def _digits(word: str) -> Fraction | None:
    plain = word.replace(",", "")
    if not plain.isascii() or not plain.replace(".", "", 1).isdigit() or len(plain) > 18:
        return None
    return Fraction(plain)


# --------------------------------------------------------------------------------- value to words


def say_number(value: Fraction | int) -> str:
    """Say a value: whole numbers exactly, others rounded to three decimals."""
    if abs(value) >= SPEAKABLE_LIMIT:
        return f"about ten to the power of {say_whole(len(str(abs(int(value)))) - 1)}"
    rounded = round(Fraction(value), 3)
    sign = "minus " if rounded < 0 else ""
    whole, rest = divmod(abs(rounded), 1)
    decimals = f"{int(rest * 1000):03d}".rstrip("0")
    spoken = sign + say_whole(int(whole))
    return f"{spoken} point {' '.join(UNITS[int(digit)] for digit in decimals)}" if decimals else spoken


def is_rounded(value: Fraction) -> bool:
    """Return True if `say_number` leaves decimals out without saying so."""
    return abs(value) < SPEAKABLE_LIMIT and round(value, 3) != value


def say_whole(value: int) -> str:
    """Say a whole number from 0 up to the trillions."""
    if value < 20:
        return UNITS[value]
    if value < 100:
        tens = next(name for name, amount in TENS.items() if amount == value // 10 * 10)
        return tens if value % 10 == 0 else f"{tens}-{UNITS[value % 10]}"
    if value < 1000:
        rest = f" and {say_whole(value % 100)}" if value % 100 else ""
        return f"{UNITS[value // 100]} hundred{rest}"
    name, scale = next((n, s) for n, s in reversed(SCALES.items()) if value >= s)
    rest = value % scale
    joined = f"{' and' if rest < 100 else ''} {say_whole(rest)}" if rest else ""
    return f"{say_whole(value // scale)} {name}{joined}"


def say_ordinal(value: int) -> str:
    """Say a day of the month: 1 to 31."""
    if value <= 20:
        return ORDINAL_DAYS[value - 1]
    if value == 30:
        return "thirtieth"
    tens = "twenty" if value < 30 else "thirty"
    return f"{tens}-{ORDINAL_DAYS[value % 10 - 1]}"
