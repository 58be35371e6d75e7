"""Numbers in words, by the rules of the Unicode locale data."""

from __future__ import annotations

import re
from contextlib import suppress
from decimal import Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from nemotron_speech.text.vocabulary import VOCABULARIES

if TYPE_CHECKING:
    from unicode_rbnf import RbnfEngine

MAX_DIGITS = 15
"""Longer numbers are names (of an account, of a part), and are read digit by digit."""


@cache
def _rules(language: str) -> RbnfEngine:
    from unicode_rbnf import RbnfEngine

    return RbnfEngine.for_language(language)


@lru_cache(4096)
def _spelled(language: str, number: Decimal, purpose: str, *rulesets: str) -> str:
    """Return the number in words by the first of `rulesets` the language has, else by the usual one."""
    from unicode_rbnf import FormatPurpose

    found = _rules(language).format_number(abs(number), FormatPurpose[purpose])
    text = next(
        (found.text_by_ruleset[name] for name in rulesets if name in found.text_by_ruleset), found.text
    )
    text = text.replace("\u00ad", "").replace("〇", "零")
    vocabulary = VOCABULARIES[language]
    return f"{vocabulary.minus}{vocabulary.joint}{text}" if number < 0 else text


def cardinal(language: str, number: Decimal) -> str:
    """Return a number as one counts: twenty-one, veintiuno."""
    whole, _, decimals = format(number, "f").lstrip("-").partition(".")
    if not decimals:
        return _spelled(language, number, "CARDINAL", "spellout-numbering")
    vocabulary = VOCABULARIES[language]
    words = [cardinal(language, Decimal(whole)), vocabulary.point, digits(language, decimals)]
    return vocabulary.joint.join([vocabulary.minus, *words] if number < 0 else words)


def counting(language: str, number: Decimal, *, feminine: bool = False) -> str:
    """Return a number before what is counted: veintiún euros, ein Kilometer."""
    if number != int(number) or (language in ("it", "de") and number != 1):
        return cardinal(language, number)
    gender = "feminine" if feminine and language in ("es", "fr", "it", "de") else "masculine"
    return _spelled(language, number, "CARDINAL", f"spellout-cardinal-{gender}", "spellout-cardinal")


_SPANISH_FEMININE = re.compile(
    r".*(?:[^d]as?|ción|ciones|dad|dades)|vez|veces|manos?|noches?|clases?|calles?|medidas?"
)
_SPANISH_MASCULINE = re.compile(
    r"(?:(?:problem|idiom|program|sistem|tem|map|planet|clim|crucigram)as?|días?)"
)
_SPANISH_LINKS = frozenset(
    {
        *("a", "al", "ante", "con", "de", "del", "desde", "e", "en", "entre", "es", "era", "hasta", "la"),
        *("las", "le", "les", "lo", "los", "ni", "o", "para", "pero", "por", "que", "se", "sin", "son"),
        *("u", "y", "ya"),
    }
)
"""Words behind a number that it does not count."""


_FRENCH_FEMININE = re.compile(
    r"(?:heure|minute|seconde|tonne|livre|semaine|année|journée|nuit|personne|page|chose|voiture|femme|fille)s?|fois"
)
_GERMAN_FEMININE = re.compile(
    r"[A-ZÄÖÜ].*(?:[^aeäöü]e|ung|heit|keit|ion|schaft|tät)|Person|Nacht|Stadt|Frau|Woche"
)


def before_a_noun(language: str, number: Decimal, noun: str) -> str | None:
    """Return veintiún before años, une before heure, ein before Tag; None where nothing changes."""
    if number != int(number) or not noun:
        return None
    match language:
        case "es" if noun.islower() and noun not in _SPANISH_LINKS:
            feminine = bool(_SPANISH_FEMININE.fullmatch(noun)) and not _SPANISH_MASCULINE.fullmatch(noun)
        case "fr" if _FRENCH_FEMININE.fullmatch(noun):
            feminine = True
        case "de" if number == 1 and noun[0].isupper():
            feminine = bool(_GERMAN_FEMININE.fullmatch(noun))
        case _:
            return None
    return counting(language, number, feminine=feminine)


def ordinal(language: str, number: Decimal, ending: str = "") -> str:
    """Return first, dritte, primero; `ending` names a form the language has (de: n, r; es: feminine)."""
    wanted = f"spellout-ordinal-{ending}" if ending else "spellout-ordinal"
    return _spelled(language, number, "ORDINAL", wanted, "spellout-ordinal-masculine", "spellout-ordinal")


def ordinal_form(language: str, written: str) -> str:
    """Return the form of an ordinal that its ending asks for: 2da, 3er, 1re."""
    match language:
        case "en":
            return ""
        case "es" | "it" if written.endswith("er"):
            return "masculine-adjective"
    return "feminine" if written.endswith(("ª", "a", "re", "res", "nde", "ndes")) else ""


def year(language: str, number: Decimal) -> str:
    """Return a year: nineteen ninety-five."""
    if language == "zh":
        return digits(language, str(number))
    if language == "fr":
        return cardinal(language, number)
    return _spelled(language, number, "YEAR")


def digits(language: str, text: str) -> str:
    """Return each digit of `text` as a word; anything else in it is a short pause."""
    joint = VOCABULARIES[language].joint
    groups = "".join(c if c in "0123456789" else " " for c in text).split()
    return ", ".join(joint.join(cardinal(language, Decimal(digit)) for digit in group) for group in groups)


def spelled(language: str, text: str, number: Decimal) -> str:
    """Return the number written as `text` in words, or its digits where that is how one reads it."""
    whole = text.lstrip("-−").split(".")[0]
    if len(whole) > MAX_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        return digits(language, text)
    with suppress(ValueError):  # the locale data stop short of some number
        return cardinal(language, number)
    return digits(language, text)
