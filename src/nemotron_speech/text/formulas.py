"""Formulas in a text: inline math between dollar signs, powers, and numbers with an exponent."""

from __future__ import annotations

import re
from decimal import Decimal

from nemotron_speech.text import number_words as numbers
from nemotron_speech.text.rewrite import Rewrite
from nemotron_speech.text.vocabulary import VOCABULARIES

SUPERSCRIPTS = {**dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True)), "⁻": "-", "⁺": "", "ⁿ": "n"}
_EXPONENT = r"[-−+]?\d{1,9}(?:\.\d{1,9})?(?!\d)|[A-Za-z](?![\w{])"
POWER = rf"(?<=[\w)])(?:\^\{{?(?:{_EXPONENT})(?:\}}|(?![-+−\w]*\}}))|[{''.join(SUPERSCRIPTS)}]{{1,9}})"
"""An exponent behind its base: ^2, ^{10}, ²³."""
SCIENTIFIC = r"(?<![\w.,])\d{1,9}(?:\.\d{1,9})?[eE][-−+]?\d{1,3}(?![\w]|\.\d)"
"""A number in powers of ten: 1e-5, 6.02E23."""

_MATH = re.compile(r"\$\$?(?=\S)(?=[^$\n]{0,200}[A-Za-z\\^=])(?P<math>[^$\n]{1,200})(?<=\S)\$\$?(?!\d)")
_POWER_IN_CODE = re.compile(r"(?<![*\w])(?P<base>\w{1,9})\*\*(?P<exponent>-?\d{1,3})(?![\w*])")
_AMOUNT = re.compile(r"[\d.,]+(?:\s\w+)+")
"""Text between two dollar signs that is money and words, no formula: $5 and a$."""
_COMMAND = re.compile(
    r"\\d?frac\{(?P<top>[^{}]{1,60})\}\{(?P<bottom>[^{}]{1,60})\}|\\sqrt\{(?P<root>[^{}]{1,60})\}|\\(?P<name>[A-Za-z]{1,20})|[{}]"
)
_NAMES = {
    "times": "×", "cdot": "×", "div": "÷", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠",
    "neq": "≠", "approx": "≈", "pm": "±", "infty": "∞", "left": "", "right": "", "quad": " ",
    "text": "", "mathrm": "", "sqrt": "√", "to": "→",
}  # fmt: skip
"""LaTeX commands and the sign each one draws; others are read by their name: \\pi, \\alpha."""


def open_math(rewrite: Rewrite) -> None:
    """Take the dollar signs off inline math, and write its LaTeX commands as signs."""
    if "**" in rewrite.text:
        rewrite.substitute(_POWER_IN_CODE, lambda match: f"{match['base']}^{match['exponent']}")
    if "$" in rewrite.text:
        rewrite.substitute(_MATH, _in_signs)


def _in_signs(match: re.Match[str]) -> str | None:
    math = match["math"]
    if _AMOUNT.match(math):
        return None
    return _COMMAND.sub(_sign_of, math)


def _sign_of(match: re.Match[str]) -> str:
    if match["top"]:
        return f"{match['top']} ÷ {match['bottom']}"
    if match["root"]:
        return f"√{match['root']}"
    name = match["name"]
    return _NAMES.get(name, name) if name else ""


def power(language: str, written: str) -> str:
    """Return squared, cubed, to the power of ten; `written` is an exponent that POWER found."""
    exponent = "".join(SUPERSCRIPTS.get(character, character) for character in written).strip("^{}+")
    words = VOCABULARIES[language]
    if exponent in ("2", "3"):
        return f"{words.joint}{words.signs['²' if exponent == '2' else '³']}"
    return f"{words.joint}{words.power.format(n=_exponent(language, exponent))}"


def scientific(language: str, written: str) -> str:
    """Return six point zero two times ten to the power of twenty-three; a mantissa of one is left out."""
    mantissa, _, exponent = written.lower().replace("−", "-").partition("e")
    words = VOCABULARIES[language]
    form = "to the {n}" if language == "en" and exponent.startswith("-") else words.power
    ten = numbers.cardinal(language, Decimal(10))
    raised = f"{ten}{words.joint}{form.format(n=_exponent(language, exponent.lstrip('+')))}"
    if Decimal(mantissa) == 1:
        return raised
    return words.joint.join([numbers.cardinal(language, Decimal(mantissa)), words.signs["×"], raised])


def _exponent(language: str, exponent: str) -> str:
    exponent = exponent.replace("−", "-")
    number = exponent.lstrip("-").replace(".", "").isdigit()
    return numbers.cardinal(language, Decimal(exponent)) if number else exponent
