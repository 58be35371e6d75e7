"""Dates as they are written: whole, short, and with the months cut short."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache

from nemotron_speech.text import number_words as numbers
from nemotron_speech.text.vocabulary import VOCABULARIES

_SHORT_TOO = {"en": {9: ("Sept",)}, "de": {9: ("Sep",), 3: ("Mär", "Mrz"), 1: ("Jän",)}}
_WITH_POINT = {"fr": None, "es": ("mar",)}
"""Short months (None: all of them) that are words too without a point: sept is seven, mar the sea."""
_DAY_IN_FRONT = {
    "en": ("on", "On", "by", "until", "till", "since", "before", "after", "from"),
    "fr": ("le", "Le", "du", "au"),
    "es": ("el", "El", "del", "al"),
    "it": ("il", "Il", "dal", "al"),
}
"""Words behind which 24/12 is a day, no fraction."""


@cache
def months(language: str) -> tuple[str, ...]:
    """Return the names of the months; none where they are numbers."""
    if language in ("vi", "zh"):
        return ()
    from babel import Locale

    names = Locale.parse(language).months["format"]["wide"]
    return tuple(names[number] for number in range(1, 13))


@cache
def short_months(language: str) -> Mapping[str, int]:
    """Return the months that are cut short, without a point, and the number of each."""
    if not (whole := months(language)):
        return {}
    from babel import Locale

    names = Locale.parse(language).months["format"]["abbreviated"]
    short = {names[number].rstrip("."): number for number in range(1, 13)}
    for number, more in _SHORT_TOO.get(language, {}).items():
        short |= dict.fromkeys(more, number)
    return {name: number for name, number in short.items() if name not in whole}


def any_month(language: str) -> str:
    """Return the pattern of a month's name, whole or cut short."""
    names = [*map(re.escape, months(language)), *_short(language)]
    return "|".join(sorted(names, key=len, reverse=True))


def short_month(language: str) -> str:
    """Return the pattern of a month cut short that stands behind a day."""
    names = "|".join(sorted(_short(language), key=len, reverse=True))
    behind = r"(?:(?<=\d )|(?<=\d\. )|(?<=\d(?:st|nd|rd|th) )|(?<=\d de ))"
    return rf"{behind}(?:{names})(?!\w)|(?<!\w)(?:{names})(?=\s(?:19|20)\d\d\b)"


def _short(language: str) -> list[str]:
    words = _WITH_POINT.get(language, ())
    return [name + (r"\." if words is None or name in words else r"\.?") for name in short_months(language)]


def whole_name(language: str, month: str) -> str:
    """Return the whole name of a month; `month` may be cut short."""
    number = short_months(language).get(month.rstrip("."))
    return months(language)[number - 1] if number else month


def day_and_month(language: str) -> str:
    """Return the pattern of 24/12 behind a word that makes a day of it."""
    marks = "|".join(rf"(?<=\b{word} )" for word in _DAY_IN_FRONT.get(language, ()))
    parts = "" if language == "en" else r"(?!1/[234]\b|2/3\b|3/4\b)"  # a half, a third, a quarter
    if not marks:
        return ""
    return rf"(?:{marks}){parts}[0-3]?\d/[0-3]?\d(?![\w/%]|[.,]\d|\s(?:of|du|des?|del?|dell[ao])\b)"


def spoken(language: str, day: str, month: int, year: int | None = None) -> str:
    """Return a date in words; `day` is in words already."""
    form = VOCABULARIES[language].date
    names = months(language)
    name = names[month - 1] if names else numbers.cardinal(language, Decimal(month))
    if year is None:
        return re.sub(r"[ ,]*(?:\bde )?\{year\}", "", form).format(day=day, month=name)
    return form.format(day=day, month=name, year=numbers.year(language, Decimal(year)))


def of_a_short_date(written: str, *, month_first: bool) -> Sequence[int]:
    """Return day and month of 24/12; nothing where it is none."""
    first, second = map(int, re.findall(r"\d+", written)[:2])
    day, month = (second, first) if month_first and first <= 12 else (first, second)
    return (day, month) if 1 <= month <= 12 and 1 <= day <= 31 else ()
