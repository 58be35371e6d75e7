"""What numbers, amounts, dates, addresses and the like look like in a text, by language.

Every repetition is bounded or possessive, and begins only where none like it is going on, so that a search
takes time in proportion to the length of the text, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from nemotron_speech.text import measures
from nemotron_speech.text.vocabulary import Vocabulary

COMMA_DECIMALS = ("es", "de", "fr", "it", "vi")
"""Languages that write 1.234,5."""

_TOP_LEVEL = "com|org|net|edu|gov|io|ai|dev|app|info|eu|uk|us|de|fr|es|it|vn|cn|ch|at|tv|me"
_WORD_END = r"(?![\w])"
_NUMBER_BEGINS = r"(?<![\w.,])"

_EMAIL = r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,6}"
_URL = r"(?<![\w])(?:https?://|www\.)\S{1,2000}"
_HOST = (
    rf"(?<![\w.-])(?:[A-Za-z][\w-]{{0,62}}+\.){{1,5}}(?:{_TOP_LEVEL})(?![\w-]|\.[\w])"
    r"(?:/\S{0,2000})?"
)
_ISO_DATE = r"(?<![\d-])[12]\d{3}-(?:0\d|1[0-2])-[0-3]\d(?![\d-])"
_DATE = r"(?<![\d./])\d{1,2}(?P<mark>[./])\d{1,2}(?P=mark)(?:\d{4}|\d{2})(?![\d/]|\.\d)"
_CLOCK = (
    r"(?<![\d:.])(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d)?(?![\d:])"
    r"(?:\s?Uhr\b|\s?[aApP]\.?\s?[mM](?:\b\.?))?"
)
_HOUR = r"(?<![\d:.,])(?:1[0-2]|[1-9])\s?(?:[ap]\.m\.|[AP]\.M\.|[aApP][mM]\b)"
_PHONE = "|".join(
    (
        r"\+\d(?:[ ().-]{0,2}\d){6,14}(?!\d)",
        r"(?<![\d.,-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-. ]\d{4}(?![\d-])",
        r"(?<![\d.,-])\d{3}-\d{4}(?![\d-])",
        r"(?<![\d.,])0\d{2,4}[ /-]\d{3,8}(?:[ -]\d{1,5}){0,3}(?!\d)",
    )
)
_DOTTED = r"(?<![\w.])[vV]?\d{1,9}(?:\.\d{1,9}){2,5}(?![\d.,]?\d)"
_NOT_GROUPED = r"(?!\d{1,3}(?:\.\d{3})+(?![\d.]))"
_BARE = r"(?<![\w.])\.\d{1,15}(?![\w.])"
_MIXED = r"(?<![\d/.,])(?:\d{1,4} )?\d{1,4}/\d{1,4}(?![\d/])"
_DECADE = r"(?<![\d.,])(?:1[1-9]\d0|20\d0|'?\d0)s\b"
_YEAR = r"(?<![\w.,$-])(?:1[1-9]\d\d|20\d\d)(?![\w%]|[.,]\d)"
_CHINESE_YEAR = r"(?<!\d)(?:1[1-9]\d\d|20\d\d)(?=\s?年)"
_NUMBERED = r"(?<![\w])(?:#|№|No\. ?|Nr\. ?)(?=\d)"
_RANGE = r"(?<=\d)(?:[–—]| – |-)(?=\d)"
_DIFFERENCE = r"(?<=\d) [-−] (?=\d)"
_JOINED = r"(?<=[\w])[_/](?=[\w])"
_MARKED = r"(?<![\w])[#~](?=[\w])"

_MONTHS = "MONTHS"
"""Stands for the names of the months."""
_ORDINALS = {
    "en": r"(?<![\w.,])\d{1,9}(?:st|nd|rd|th)\b",
    "de": rf"(?<![\w.,])\d{{1,3}}\.(?=\s(?:{_MONTHS}|Jahrhundert))",
    "es": r"(?<![\w.,])(?:\d{1,9}\.?[ºª]|1°)(?![\w])",
    "fr": r"(?<![\w.,])\d{1,9}(?:ères?|ers?|res?|èmes?|ndes?|nds?|es?)\b",
}
_ORDINALS["it"] = _ORDINALS["es"]
_MONTH_DAY = rf"(?<![\d.,])(?P<month>{_MONTHS})\s(?P<day>[0-3]?\d)(?:st|nd|rd|th)?(?![\w/:]|[.,]\d)"
_DAY_MONTH = rf"(?<![\w.,])[0-3]?\d(?=\s(?:{_MONTHS})\b)"


def pattern(language: str, words: Vocabulary, months: Sequence[str]) -> re.Pattern[str]:
    """Return the pattern of all expressions of a language; a match names its kind in `lastgroup`.

    What an amount consists of is in groups: sign, amount, money, size (1: money before, 2: behind), unit.
    """
    kinds = [
        *_addresses_and_times(language),
        *_ordinals(language),
        *_amounts(language, words),
        *_numbers_and_signs(language, words),
    ]
    whole = "|".join(f"(?P<{name}>{one})" for name, one in kinds).replace(_MONTHS, _any_of(months))
    if language == "zh":  # its words are not set apart by spaces
        whole = whole.replace(r"\w", "A-Za-z0-9_")
    return re.compile(whole)


def number(language: str) -> str:
    """Return the pattern of a number without a sign, as it is written in a language."""
    if language not in COMMA_DECIMALS:
        return r"(?:\d{1,3}(?:,\d{3})++(?:\.\d++)?|\d++(?:\.\d++)?)"
    group = "[. ]" if language == "fr" else r"\."
    return rf"(?:\d{{1,3}}(?:{group}\d{{3}})++(?!\d)(?:,\d++)?|\d++(?:[.,]\d++)?)"


def _addresses_and_times(language: str) -> list[tuple[str, str]]:
    dotted = _NOT_GROUPED + _DOTTED if language in COMMA_DECIMALS else _DOTTED
    return [
        ("email", _EMAIL),
        ("url", _URL),
        ("host", _HOST),
        ("iso_date", _ISO_DATE),
        ("date", _DATE),
        ("clock", _CLOCK),
        ("hour", _HOUR),
        ("phone", _PHONE),
        ("dotted", dotted),
    ]


def _amounts(language: str, words: Vocabulary) -> list[tuple[str, str]]:
    one, sizes = number(language), _any_of(words.magnitudes)
    money, units = _any_of(measures.CURRENCIES), _any_of(measures.UNITS | measures.RATES)
    prefixed = (
        rf"(?<![\w])(?P<sign1>[-−]?)(?P<money1>{money})\s?(?P<amount1>{one})"
        rf"(?:\s?(?P<size1>{sizes}){_WORD_END})?"
    )
    suffixed = (
        rf"{_NUMBER_BEGINS}(?P<sign2>[-−]?)(?P<amount2>{one})(?:\s?(?P<size2>{sizes}))?"
        rf"\s?(?P<money2>{money}){_WORD_END}"
    )
    unit = rf"{_NUMBER_BEGINS}(?P<sign3>[-−]?)(?P<amount3>{one})\s?(?P<unit>{units}){_WORD_END}(?!/[\w])"
    return [("prefixed", prefixed), ("suffixed", suffixed), ("measure", unit)]


def _ordinals(language: str) -> list[tuple[str, str]]:
    """Return what comes before measures: 1° may be the first, and 1990s no seconds."""
    ordinal = [("ordinal", _ORDINALS[language])] if language in _ORDINALS else []
    if language != "en":
        return ordinal
    return [("month_day", _MONTH_DAY), *ordinal, ("day_month", _DAY_MONTH), ("decade", _DECADE)]


def _numbers_and_signs(language: str, words: Vocabulary) -> list[tuple[str, str]]:
    short = rf"(?<![\w.])(?:{_any_of(words.abbreviations)}){_WORD_END}"
    return [
        *([("bare", _BARE)] if language == "en" else []),
        ("mixed", _MIXED),
        ("year", _CHINESE_YEAR if language == "zh" else _YEAR),
        ("numbered", _NUMBERED),
        ("range", _RANGE),
        ("difference", _DIFFERENCE),
        ("number", rf"(?:(?<![\w.)])[-−](?=\d))?{number(language)}"),
        *([("abbreviation", short)] if words.abbreviations else []),
        ("sign", f"[{re.escape(''.join(words.signs))}]"),
        ("joined", _JOINED),
        ("marked", _MARKED),
        ("quote", "[“”„«»]"),
        ("apostrophe", "[‘’ʼ]"),
    ]


def _any_of(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
