"""Patterns of numbers, amounts, dates, addresses and the like, by language.

Every repetition is bounded or possessive, and begins only where none like it is going on, so that a search
takes time in proportion to the length of the text, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from nemotron_speech.text import codes, dates, formulas, measures, roman
from nemotron_speech.text.vocabulary import Vocabulary

COMMA_DECIMALS = ("es", "de", "fr", "it", "vi")
"""Languages that write 1.234,5."""

_TOP_LEVEL = "com|org|net|edu|gov|io|ai|dev|app|info|eu|uk|us|de|fr|es|it|vn|cn|ch|at|tv|me"
_SIGN = "(?:(?<![%°€$£])[-−])?"
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
    r"(?<![\d:.])(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d)?(?![\d:]|,\d{3})"
    r"(?:\s?Uhr\b|\s?h\b(?!\.)|\s?[aApP]\.?\s?[mM](?:\b\.?))?"
)
_GERMAN_CLOCK = r"(?<![\d:.])(?:[01]?\d|2[0-4])\.[0-5]\d\sUhr\b"
_PER_UNITS = "day|night|week|month|year|person|user|hour|minute|second|kg|lb|unit|token"
_PER = {
    "en": rf"(?<=[\w%])/(?:(?:{'|'.join(measures.PER)})\b|(?=(?:{_PER_UNITS})\b))",
    "de": r"(?<=[\w%€])/(?=(?:Tag|Nacht|Woche|Monat|Jahr|Person|Nutzer|Stunde|Minute|Sekunde|Stück|Kilo)\b)",
    "fr": r"(?<=[\w%€])/(?=(?:jour|nuit|semaine|mois|an|personne|heure|minute|seconde|kilo)\b)",
    "es": r"(?<=[\w%€])/(?=(?:día|noche|semana|mes|año|persona|hora|minuto|segundo|kilo)\b)",
}
_HOUR = r"(?<![\d:.,])(?:1[0-2]|[1-9])\s?(?:[ap]\.m\.|[AP]\.M\.|[aApP][mM]\b)"
_PHONE = "|".join(
    (
        r"\+\d(?:[ ().-]{0,2}\d){6,14}(?!\d)",
        r"(?<![\d.,-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-. ]\d{4}(?![\d-])",
        r"(?<![\d.,-])\d{3}-\d{4}(?![\d-])",
        r"(?<![\d.,])0\d{1,4}[ /-]\d{2,8}(?:[ -]\d{1,5}){0,4}(?!\d)",
        r"(?<![\w.,-])(?<!\d )\d{3}-\d{5,8}(?![\d-])",
        r"(?<![\w.,-])(?<!\d )\d{3} \d{4}(?![\d-]|,\d| \d)",  # the local part alone
        r"(?<![\w.,-])(?<!\d )1\d{2} \d{4} \d{4}(?![\d-])",  # a mobile telephone in China
        r"(?<![\w.,-])(?<!\d )\d{5} \d{5}(?![\d-])",  # and in India
        r"(?<![\w.,-])(?<!\d )[6-9]\d{2} \d{3} \d{3}(?![\d-]|,\d)",  # and in Spain
        r"(?<![\w.,])\(\d{2,5}\) ?\d{3,5}[- ]\d{4}(?![\d-])",
        r"(?<![\w.,-])(?<!\d )\d{4}(?: \d{4}){2,3}(?: \d{1,4})?(?![\d-])",  # a card, an account
        *codes.TELEPHONES,
    )
)
_HYPHENATED = (
    r"(?<![\w.,-])\d{1,7}(?:-\d{1,7}){2,6}(?:-[Xx])?(?![\w-])|(?<![\w.,-])\d-\d{3}(?=-[A-Z]{3})|"
    + codes.LEADING_ZERO
)
_HOUR_LETTER = r"(?<![\w:.])(?:[01]?\d|2[0-4])\s?h\s?[0-5]\d(?![\w:]|\s?m(?:in|n)?\b)"
_SECONDS = r"s(?:ec(?:s)?)?"
_MINUTES = r"m(?:ins?)?"
_DURATION = (
    rf"(?<![\w.,])(?:\d{{1,4}}\s?d\s?)?(?:\d{{1,4}}\s?h(?:rs?)?\s?\d{{1,3}}\s?{_MINUTES}(?:\s?\d{{1,3}}\s?{_SECONDS})?"
    rf"|\d{{1,4}}\s?{_MINUTES}\s?\d{{1,3}}\s?{_SECONDS}|(?<=d )\d{{1,4}}\s?h(?:rs?)?)(?![\w/²³])"
)
_FEET = r"(?<![\w.,])\d{1,3}(?:['’′]\s?\d{1,2}(?:[\"”″]|''|(?![\w'’]))|\s?ft\.?\s\d{1,2}\s?in\b)"
_SIDE = r"\d{1,3}(?:\.\d)?[\"”″'’′]"
_SIDES = rf"(?<![\w.,]){_SIDE}\s?[x×]\s?{_SIDE}"
_INCHES = r"(?<![\w.,])\d{1,3}(?:\.\d)?(?:[\"”](?=[\s-][A-Za-z])|″)"
_FEET_ALONE = r"(?<![\w.,])\d{1,3}(?:['’](?=\s(?:tall|wide|long|deep|high)\b)|′)"
_MULTIPLE = r"(?<![\w.,])\d{1,4}x(?=\s[a-zäöüáéíóú]{2,})"
_TIMES = r"(?<=\d)\s?[·⋅]\s?(?=\d)|(?<=[\d)])(?<![^\d.]0)\s?[xX]\s?(?=\d)"
_LETTERED = "|".join(sorted(filter(str.isalpha, measures.UNITS), key=len, reverse=True))
_MODIFIER = rf"(?<![\w.,-])\d{{1,4}}-(?:{_LETTERED})(?=\s[a-z])"
_RATIO = r"(?<![\d:.,])\d{1,4}:\d{1,4}(?:(?:,\d{3}){1,3})?(?![\d:]|[.,]\d)"
_SCALED = r"(?<![\w.,])\d{1,4}(?:\.\d{1,3})?(?:k|M|B|bn)(?![\w/.]|-(?!\d))"
_PLURAL = r"(?<![\w.,])(?:\d{1,3}(?:,000)+s\b|[1-9]0{2,6}s(?=\sof\b))"
_CENTS = r"(?<![\w.,])\d{1,3}\s?¢"
_DOTTED = r"(?<![\w.])[vV]?\d{1,9}(?:\.\d{1,9}){2,5}(?![\d.,]?\d)"
_NOT_GROUPED = r"(?!\d{1,3}(?:\.\d{3})+(?![\d.]))"
_BARE = r"(?<![\w.])\.\d{1,15}(?![\w.])"
_MIXED = r"(?<![\d/.,])(?:\d{1,4} )?\d{1,4}/\d{1,4}(?![\d/])"
_DECADE_MARKS = (
    "the ",
    "The ",
    "his ",
    "her ",
    "my ",
    "your ",
    "our ",
    "their ",
    "mid-",
    "mid ",
    "early ",
    "late ",
)
_DECADE = (
    r"(?<![\d.,])(?:1[1-9]\d0|20\d0)s\b|(?<!\w)['’]\d0s\b|(?:"
    + "|".join(f"(?<={mark})" for mark in _DECADE_MARKS)
    + r")\d0s\b|(?<=\d\d0s and )\d0s\b|\b[2-9]0s(?=\s(?:"
    r"music|song|songs|hit|hits|film|films|movie|movies|rock|pop|style|fashion|band|bands|show|shows)\b)"
)
_GERMAN_DECADE = r"(?<![\d.,])(?:1[1-9]\d0|20\d0|[1-9]\d?)er[ns]?\b"
_YEAR = r"(?:(?<![\w.,$-])|(?<=\d-))(?:1[1-9]\d\d|20\d\d)(?![\w%]|[.,]\d)"
_CHINESE_YEAR = r"(?<!\d)(?:1[1-9]\d\d|20\d\d)(?=\s?年)"
_NUMBERED = r"(?<![\w])(?:#|№|No\. ?|Nr\. ?|[Nn][°º] ?|[Nn]\. ?[°ºo] ?)(?=\d)"
_RANGE = (
    r"(?:(?<=[\d%€$£°])|(?<=\d[hsmgkKMB])|(?<=\d(?:km|cm|mm|kg|st|nd|rd|th|[apAP][mM]))|(?<=\d [apAP][mM]))"
    r"(?:[–—]| – |-)(?=[\d€$£])"
)
_DIFFERENCE = r"(?<=\d) [-−] (?=\d)"
_JOINED = r"(?<=[\w])[_/](?=[\w])"
_MARKED = r"(?<![\w])[#~](?=[\w])"

_MONTHS = "MONTHS"
"""Stands for the names of the months."""
_GERMAN_BEFORE = "|".join(
    rf"(?<=\b(?i:{word}) )"
    for word in (
        *("der", "die", "das", "dem", "den", "des", "am", "im", "zum", "zur", "vom", "beim"),
        *("jeder", "jede", "jedes", "jeden", "mein", "sein", "ihr", "unser"),
    )
)
"""Words behind which a number with a point is an ordinal in German."""
_ORDINALS = {
    "en": r"(?<![\w.,])\d{1,9}(?:st|nd|rd|th)\b",
    "de": (
        rf"(?<![\w.,])\d{{1,3}}\.(?=\s(?:{_MONTHS}|Jahrhundert))"
        rf"|(?<![\w.,])\d{{1,2}}\.(?=\s(?:und|oder|bis)\s\d{{1,2}}\.\s(?:{_MONTHS}))"
        rf"|(?:{_GERMAN_BEFORE})\d{{1,3}}\.(?=\s[A-ZÄÖÜ]|\s(?:und|oder|bis)\s\d{{1,3}}\.\s[A-ZÄÖÜ])"
        r"|(?<=\d\. und )\d{1,3}\.(?=\s[A-ZÄÖÜ])"
    ),
    "es": r"(?<![\w.,])(?:\d{1,9}\.?[ºª]|1°|\d{1,2}(?:er|[rdtmvn][oa]))(?![\w])",
    "fr": r"(?<![\w.,])\d{1,9}(?:ères?|ers?|res?|èmes?|ndes?|nds?|es?)\b",
}
_GERMAN_SHORT = (
    rf"(?:{_GERMAN_BEFORE}|(?<=\bab )|(?<=\bbis )|(?<=\bseit )|(?<=\bund ))"
    r"[0-3]?\d\.[01]?\d\.(?=\s|[,;:)!?–-]|$)"
)
"""Day and month behind a word that makes a date of them: am 24.12."""
_ORDINALS["it"] = _ORDINALS["es"]
_MONTH_DAY = rf"(?<![\d.,])(?P<month>{_MONTHS})\s(?P<day>[0-3]?\d)(?:st|nd|rd|th)?(?![\w/:]|[.,]\d)"
_DAY_MONTH = rf"(?<![\w.,])[0-3]?\d(?=\s(?:{_MONTHS})\b)"


def pattern(language: str, words: Vocabulary) -> re.Pattern[str]:
    """Return the pattern of all expressions of a language; a match names its kind in `lastgroup`.

    Groups of an amount: sign, amount, money, size (1: money before, 2: behind), unit.
    """
    kinds = [
        *_addresses_and_times(language, words),
        *_ordinals(language),
        *_amounts(language, words),
        *_numbers_and_signs(language, words),
    ]
    whole = "|".join(f"(?P<{name}>{one})" for name, one in kinds).replace(_MONTHS, dates.any_month(language))
    if language == "zh":  # its words are not set apart by spaces
        whole = whole.replace(r"\w", "A-Za-z0-9_")
    return re.compile(whole)


def number(language: str) -> str:
    """Return the pattern of a number without a sign, as it is written in a language."""
    foreign = r"\d{1,3}(?:\.\d{3})++,\d{2}(?!\d)|"
    if language not in COMMA_DECIMALS:
        indian = r"\d{1,2}(?:,\d{2}(?=,))++,\d{3}(?!\d)(?:\.\d++)?"
        return rf"(?:{foreign}\d{{1,3}}(?:,\d{{3}})++(?:\.\d++)?|{indian}|\d++(?:\.\d++)?)"
    group = "[. ]" if language == "fr" else r"\."
    foreign = r"\d{1,3}(?:,\d{3})++\.\d{1,2}(?!\d)|"
    return rf"(?:{foreign}\d{{1,3}}(?:{group}\d{{3}})++(?!\d)(?:,\d++)?|\d++(?:[.,]\d++)?)"


def _addresses_and_times(language: str, words: Vocabulary) -> list[tuple[str, str]]:
    dotted = _NOT_GROUPED + _DOTTED if language in COMMA_DECIMALS else _DOTTED
    return [
        ("email", _EMAIL),
        ("url", _URL),
        ("host", _HOST),
        ("iso_date", _ISO_DATE),
        ("date", _DATE),
        *([("short_date", short)] if (short := _short_date(language)) else []),
        ("clock", f"{_CLOCK}|{_GERMAN_CLOCK}" if language == "de" else _CLOCK),
        *([("hour_letter", _HOUR_LETTER)] if words.hour_letter else []),
        ("hour", _HOUR),
        ("ratio", _RATIO),
        ("duration", _DURATION),
        *(_english_lengths() if language == "en" else []),
        ("scientific", formulas.SCIENTIFIC),
        ("code", codes.MIXED),
        ("hyphenated", _HYPHENATED),
        ("phone", _phone(language)),
        ("dotted", dotted),
    ]


def _short_date(language: str) -> str:
    return _GERMAN_SHORT if language == "de" else dates.day_and_month(language)


def _phone(language: str) -> str:
    return "|".join(filter(None, (_PHONE, codes.ISBN, codes.EMERGENCY.get(language))))


def _english_lengths() -> list[tuple[str, str]]:
    return [
        ("sides", _SIDES),
        ("feet", _FEET),
        ("side", f"{_INCHES}|{_FEET_ALONE}"),
        ("cents", _CENTS),
        ("plural", _PLURAL),
        ("modifier", _MODIFIER),
    ]


def _amounts(language: str, words: Vocabulary) -> list[tuple[str, str]]:
    one, sizes = number(language), _any_of(words.magnitudes)
    money, units = _any_of(measures.CURRENCIES), _any_of(measures.UNITS | measures.RATES)
    between = (
        rf"(?<![\w])(?P<money0>{money})\s?(?P<low>{one})(?:[-–—]| – )(?P<amount0>{one})"
        rf"(?:\s?(?P<size0>{sizes}){_WORD_END})?(?![-–\d%])"
    )
    prefixed = (
        rf"(?<![\w])(?P<sign1>{_SIGN})(?P<money1>{money})\s?(?P<amount1>{one})"
        rf"(?:\s?(?P<size1>{sizes}){_WORD_END})?"
    )
    suffixed = (
        rf"{_NUMBER_BEGINS}(?P<sign2>{_SIGN})(?P<amount2>{one})(?:\s?(?P<size2>{sizes}))?"
        rf"\s?(?P<money2>{money}){_WORD_END}"
    )
    point = "" if language == "de" else r"(?:(?<=[a-z])\.(?=,|\s[a-z]))?"
    whole = rf"{_WORD_END}(?!/(?!(?:{_PER_UNITS})\b)[\w])"
    unit = rf"{_NUMBER_BEGINS}(?P<sign3>{_SIGN})(?P<amount3>{one})\s?(?P<unit>{units}){whole}{point}"
    return [("money_range", between), ("prefixed", prefixed), ("suffixed", suffixed), ("measure", unit)]


def _ordinals(language: str) -> list[tuple[str, str]]:
    """Return what comes before measures: 1° may be the first, and 1990s no seconds."""
    ordinal = [("ordinal", _ORDINALS[language])] if language in _ORDINALS else []
    ordinal += [("decade", _GERMAN_DECADE)] if language == "de" else []
    if language != "en":
        return ordinal
    return [("month_day", _MONTH_DAY), *ordinal, ("day_month", _DAY_MONTH), ("decade", _DECADE)]


def _numbers_and_signs(language: str, words: Vocabulary) -> list[tuple[str, str]]:
    short = rf"(?<![\w.])(?:{_any_of(words.abbreviations)}){_WORD_END}"
    counted = rf"(?<![\w.])(?:{_any_of(words.counted)})(?=\s?\d)"
    return [
        *([("roman", numeral)] if (numeral := roman.pattern(language)) else []),
        ("named", codes.named(language)),
        *([("counted", counted)] if words.counted else []),
        *([("month_name", dates.short_month(language))] if dates.months(language) else []),
        *([("bare", _BARE), ("scaled", _SCALED)] if language == "en" else []),
        ("power", formulas.POWER),
        *([("multiple", _MULTIPLE)] if words.multiple else []),
        ("times", _TIMES),
        ("mixed", _MIXED),
        ("year", _CHINESE_YEAR if language == "zh" else _YEAR),
        ("numbered", _NUMBERED),
        ("range", _RANGE),
        ("difference", _DIFFERENCE),
        ("number", rf"(?:(?<![\w.)])[-−](?=\d))?{number(language)}"),
        *([("abbreviation", short)] if words.abbreviations else []),
        ("sign", f"[{re.escape(''.join(words.signs))}]"),
        *([("per", _PER[language])] if language in _PER else []),
        ("joined", _JOINED),
        ("brace", r"\^(?=\{)|[{}]"),
        ("caret", r"\^"),
        ("marked", _MARKED),
        ("quote", "[“”„«»]"),
        ("apostrophe", "[‘’ʼ]"),
    ]


def _any_of(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
