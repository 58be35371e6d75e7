"""Names made of digits: codes, numbers of accounts and of telephones, read digit by digit."""

from __future__ import annotations

import re

from nemotron_speech.text import number_words as numbers

_BEGINS = r"(?<![\w.,-])(?<!\d )"

TELEPHONES = (
    r"(?<![\w.,])0\d(?:\.\d{2}){4}(?!\.?\d)",  # in France, with points
    rf"{_BEGINS}1[38]00 \d{{3}} \d{{3}}(?![\d-]|,\d)",  # services in Australia
    rf"{_BEGINS}(?=(?:\d\d ){{0,4}}\d{{3}} )\d{{2,3}}(?: \d{{2,3}}){{2,3}} \d{{2}}(?![\d-]|,\d| \d)",
    r"(?<![\w.,])\(0\d{1,4}\) ?\d{3,8}(?![\d-])",
)
"""Telephone numbers in groups of the lengths that one country has; the first of all matches."""
EMERGENCY = {
    "en": r"(?:(?<=[Cc]all )|(?<=[Dd]ial )|(?<=[Tt]ext )|(?<=[Rr]ing ))"
    r"(?:911|999|112|000|1[01]1|[2-8]11|988)(?![\w%]|[.,]\d)",
    "de": r"(?:(?<=Notruf )|(?<=die )|(?<=unter ))11[02](?![\w%]|[.,]\d|\s[A-ZÄÖÜ])",
}
LEADING_ZERO = r"(?<![\w.,-])\d{1,8}-0\d{2,8}(?![\w-])"
"""Two numbers of which the second begins with a zero: no range ends with it."""
ISBN = r"(?:(?<=ISBN )|(?<=ISBN: ))\d{9}[\dXx]\b|(?<![\w.,-])97[89]\d{10}(?!\w)"
MIXED = (
    r"(?<![\w-])(?:[A-Z]{1,8}\d{1,10}|\d{1,10}[A-Z]{1,8})[A-Z\d]{0,20}"
    r"(?:-\d[A-Z\d]{0,20}|-[A-Z\d]{1,20}(?=-))(?:-[A-Z\d]{1,20}){0,6}(?![\w-])"
)
"""A code of letters and digits in groups: X200-15, AB12-CD34-567."""
LONG = r"(?<![\w.,-])\d{10,15}(?<!000)(?![\w%]|[.,]\d)"
"""Number that nobody counts to: it has no separators and does not end in thousands."""

_BEFORE = {
    "en": (
        "PIN",
        "ZIP",
        "zip",
        "ID",
        "code",
        "Code",
        "serial",
        "umber",
        "account",
        "invoice",
        "Invoice",
        "ticket",
        "tracking",
        "ref",
        "reference",
        "confirmation",
        "code is",
        "PIN is",
        "umber is",
    ),
    "de": ("PIN", "Code", "PLZ", "ummer", "Code ist", "PIN ist", "ummer ist", "ummer lautet"),
    "fr": ("PIN", "code", "postal", "uméro", "code est", "uméro est", "code est le", "uméro est le"),
    "es": ("PIN", "código", "postal", "úmero", "código es", "úmero es", "código es el", "úmero es el"),
    "it": ("PIN", "codice", "postale", "umero"),
}
"""Words, or the ends of words, behind which four digits or more are a name."""


def named(language: str) -> str:
    """Return the pattern of the digits behind a word that says what they name."""
    marks = "|".join(f"(?<={word} )|(?<={word}: )" for word in _BEFORE.get(language, ()))
    behind = rf"(?:{marks})\d{{4,15}}(?![\w%:]|[.,]\d|[-–]\d)"
    local = r"|(?<![\w.,-])[6-9]\d{8}(?<!000)(?![\w%]|[.,]\d)" if language == "es" else ""
    return rf"{behind}|(?<=#)\d{{5,15}}(?![\w%]|[.,]\d)|{LONG}{local}" if marks else LONG


def spelled_out(language: str, code: str) -> str:
    """Return the letters of a code as they are, each digit as a word, and a pause between its groups."""
    return ", ".join(
        " ".join(
            numbers.digits(language, run) if run.isdecimal() else run for run in re.findall(r"\d+|\D+", group)
        )
        for group in code.split("-")
    )


def check_letter(written: str) -> str:
    """Return the check letter that ends an ISBN, apart from its digits."""
    return ", X" if written[-1] in "xX" else ""


def fall(match: re.Match[str]) -> bool:
    """Return True between numbers of three digits or more that fall: 747-400."""
    low = re.search(r"\d+$", match.string[max(0, match.start() - 9) : match.start()])
    high = re.match(r"\d+", match.string[match.end() : match.end() + 9])
    if match.group() != "-" or low is None or high is None:
        return False
    return len(low[0]) == len(high[0]) >= 3 and int(high[0]) < int(low[0])
