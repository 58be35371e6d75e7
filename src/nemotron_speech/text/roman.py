"""Roman numerals behind a name: kings, wars, chapters, centuries."""

from __future__ import annotations

import re
from decimal import Decimal

from nemotron_speech.text import number_words as numbers

_TENS_AND_UNITS = r"(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
_NUMERAL = rf"(?=[IVXL]{{2,8}}(?!\w)|[VX](?![\w.])|I(?=[,;:)!?]|$|\sof\b|\sde\b)){_TENS_AND_UNITS}"
"""A single letter may be an initial, and I a word."""
_COUNTED = {
    "en": "War|Chapter|Part|Act|Volume|Bowl|Phase|Type|Book|Title|Section|Class|Scene|Appendix|Article|Level",
    "de": "Weltkrieg|Kapitel|Teil|Band|Akt|Phase|Typ|Buch|Klasse",
    "fr": "Chapitre|chapitre|Partie|partie|Tome|tome|Acte|acte|Phase|phase|type|Type|Livre|livre",
    "es": "Capítulo|capítulo|Parte|parte|Tomo|tomo|Acto|acto|Fase|fase|siglo|Siglo|siglos|Tipo|tipo",
}
_RULERS = {
    "en": "Henry|Louis|Elizabeth|George|Charles|Edward|Richard|James|William|Paul|Pius|John|Benedict|Gregory"
    "|Philip|Frederick|Alexander|Nicholas|Catherine|Napoleon|Wilhelm|Leo|Innocent|Mary|Ptolemy|Ramesses",
    "de": "Heinrich|Ludwig|Wilhelm|Friedrich|Karl|Elisabeth|Georg|Paul|Pius|Benedikt|Nikolaus|Katharina"
    "|Otto|Franz|Leopold|Philipp|Alexander|Gregor|Leo",
    "fr": "Louis|Henri|Charles|François|Philippe|Napoléon|Élisabeth|Paul|Pie|Jean|Benoît|Grégoire|Georges",
    "es": "Felipe|Carlos|Alfonso|Fernando|Isabel|Juan|Pío|Pablo|Benedicto|Enrique|Luis|Jaime|Napoleón",
}
_FEMALE = ("Elizabeth", "Elisabeth", "Élisabeth", "Isabel", "Catherine", "Katharina", "Mary")
_MOST_ORDINAL = {"es": 10, "fr": 1}
"""Ruler up to whom a language counts in ordinals."""
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50}


def pattern(language: str) -> str:
    """Return the pattern of a numeral behind a word that is counted so; empty where none is known."""
    if language not in _COUNTED:
        return ""
    words = f"{_COUNTED[language]}|{_RULERS[language]}".split("|")
    marks = "|".join(f"(?<=\\b{word} )" for word in words)
    century = rf"|\b(?=[IVX]){_TENS_AND_UNITS}(?:e|ème)(?=\ssiècle)" if language == "fr" else ""
    first = "|(?<=\\w )Ier\\b|(?<=\\w )Ire\\b" if language == "fr" else ""
    point = r"\.?" if language == "de" else ""
    return rf"(?:{marks}){_NUMERAL}{point}(?![\w-]){century}{first}"


def spoken(language: str, match: re.Match[str]) -> str:
    """Return the fourteenth behind Louis, fourteen behind Chapter."""
    written = match.group()
    number = Decimal(value(re.match("[IVXL]*", written).group()))  # pyright: ignore[reportOptionalMemberAccess]
    name = match.string[max(0, match.start() - 20) : match.start()].split()[-1:]
    if written.endswith("e"):
        return numbers.ordinal(language, number)
    if written.endswith("re"):
        return numbers.ordinal(language, number, "feminine")
    ruler = bool(name) and name[0] in _RULERS[language].split("|")
    if not (ruler or written.endswith("er")) or number > _MOST_ORDINAL.get(language, 100):
        return numbers.cardinal(language, number)
    return _of_a_ruler(language, number, female=bool(name) and name[0] in _FEMALE)


def _of_a_ruler(language: str, number: Decimal, *, female: bool) -> str:
    match language:
        case "en":
            return f"the {numbers.ordinal('en', number)}"
        case "de":
            return f"{'die' if female else 'der'} {numbers.ordinal('de', number).capitalize()}"
    return numbers.ordinal(language, number, "feminine" if female else "")


def value(numeral: str) -> int:
    """Return the number of a Roman numeral."""
    values = [_VALUES[letter] for letter in numeral]
    return sum(-one if one < max(values[at:]) else one for at, one in enumerate(values))
