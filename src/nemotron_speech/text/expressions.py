"""Rewriting of signs and digits in a text into words.

One scan per text: the expressions of a language are alternatives of one pattern, the longest reading first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from functools import cache

from nemotron_speech.text import codes, dates, formulas, measures, patterns, roman
from nemotron_speech.text import number_words as numbers
from nemotron_speech.text.vocabulary import VOCABULARIES, Vocabulary

Match = re.Match[str]

_LONG_PATH = 30
"""Most characters of an address behind its host that are read out."""
_AFTER_LENGTHS = frozenset(
    ["wide", "long", "tall", "deep", "high", "thick", "of", "in", "by", "and", "or", "to", "is", "are"]
)
"""Words behind a length that is no part of a thing's name."""


class Expressions:
    """The expressions of one language.

    `pattern` finds them; `spoken` is what one is in words.
    """

    def __init__(self, language: str) -> None:
        self._language = language
        self._words: Vocabulary = VOCABULARIES[language]
        self.pattern = patterns.pattern(language, self._words)
        self._handlers: dict[str, Callable[[Match], str]] = {
            "email": lambda match: self._spelled_out(match.group()),
            "url": self._url,
            "host": self._url,
            "iso_date": self._iso_date,
            "date": self._date,
            "short_date": self._short_date,
            "clock": self._clock,
            "hour_letter": self._clock,
            "hour": self._hour,
            "ratio": lambda match: f" {self._words.to} ".join(map(self._integer, match.group().split(":"))),
            "duration": lambda match: measures.duration(language, match.group()),
            "sides": lambda match: " by ".join(map(measures.side, re.split(r"\s?[x×]\s?", match.group()))),
            "feet": self._feet,
            "side": self._side,
            "modifier": lambda match: measures.modifier(match.group()),
            "code": lambda match: codes.spelled_out(language, match.group()),
            "cents": lambda match: measures.cents(
                "en", Decimal(match.group()[:-1].strip()), match.group()[-1]
            ),
            "plural": self._plural,
            "scientific": lambda match: formulas.scientific(language, match.group()),
            "hyphenated": lambda match: (
                numbers.digits(language, match.group()) + codes.check_letter(match.group())
            ),
            "phone": self._phone,
            "dotted": self._dotted,
            "month_day": self._month_day,
            "day_month": lambda match: f"{self._ordinal(match)} of",
            "ordinal": self._german if language == "de" else self._ordinal,
            "decade": self._decade,
            "money_range": self._money_range,
            "prefixed": self._money,
            "suffixed": self._money,
            "measure": self._measure,
            "named": lambda match: numbers.digits(language, match.group()),
            "counted": lambda match: f"{self._words.counted[match.group()]} ",
            "month_name": self._month_name,
            "times": self._times,
            "bare": lambda match: f"{self._words.point} {numbers.digits(language, match.group())}",
            "scaled": self._scaled,
            "power": lambda match: formulas.power(language, match.group()),
            "mixed": self._fraction,
            "year": lambda match: numbers.year(language, Decimal(match.group())),
            "numbered": lambda match: f"{self._words.number} ",
            "range": lambda match: " " if codes.fall(match) else f" {self._words.to} ",
            "roman": lambda match: _with_last_point(match, roman.spoken(language, match)),
            "multiple": self._multiple,
            "brace": self._brace,
            "difference": lambda match: f" {self._words.minus} ",
            "number": self._plain_number,
            "abbreviation": self._abbreviation,
            "sign": self._sign,
            "per": lambda match: f" {self._words.per} {measures.PER.get(match.group()[1:], '')}",
            "joined": lambda match: " ",
            "marked": lambda match: "",
            "caret": lambda match: " ",
            "quote": lambda match: '"',
            "apostrophe": lambda match: "'",
        }

    def spoken(self, match: Match) -> str:
        """Return the words of one expression, apart from the word before and behind."""
        words = self._handlers[match.lastgroup or ""](match)
        if self._words.joint and words:
            words = " " * (_before(match).isalnum() and words[0].isalnum()) + words
            words += " " * (_behind(match).isalnum() and words[-1].isalnum())
        return words

    # ---------------------------------------------------------------------------------- numbers

    def value(self, written: str) -> Decimal:
        """Return the number written in the way of the language."""
        text = written.replace(" ", "").replace("\u202f", "").replace("−", "-")
        if re.fullmatch(r"-?[\d.]+,\d{2}", text) and "." in text:
            return Decimal(text.replace(".", "").replace(",", "."))
        if re.fullmatch(r"-?[\d,]+\.\d{1,2}", text) and "," in text:
            return Decimal(text.replace(",", ""))
        if self._language in patterns.COMMA_DECIMALS:
            text = text.replace(".", "") if re.fullmatch(r"-?\d{1,3}(?:\.\d{3})+(?:,\d+)?", text) else text
            return Decimal(text.replace(",", "."))
        return Decimal(text.replace(",", ""))

    def _plain_number(self, match: Match) -> str:
        value = self.value(match.group())
        noun = re.match(r"\s([^\W\d_]+)", match.string[match.end() : match.end() + 20])
        if counted := numbers.before_a_noun(self._language, value, noun[1] if noun else ""):
            return counted
        return numbers.spelled(
            self._language, format(value, "f") if "," in match.group() else match.group(), value
        )

    def _integer(self, written: str) -> str:
        return numbers.spelled(self._language, written.replace(",", ""), Decimal(written.replace(",", "")))

    def _scaled(self, match: Match) -> str:
        number, size = re.findall(r"[\d.]+|[A-Za-z]+", match.group())
        names = {"k": "thousand", "M": "million", "B": "billion", "bn": "billion"}
        return f"{self._cardinal(number)} {names[size]}"

    def _plural(self, match: Match) -> str:
        """Return thousands of 1,000s, five thousands of 5,000s."""
        words = self._cardinal(match.group()[:-1].replace(",", "")).removeprefix("one ")
        return f"{words}s"

    def _feet(self, match: Match) -> str:
        feet, inches = re.findall(r"\d+", match.group())
        return measures.feet_and_inches("en", Decimal(feet), Decimal(inches))

    def _side(self, match: Match) -> str:
        """Return twelve inches for 12\", a fifty-five inch screen for 55\"; a quotation's end stays."""
        written = match.group()
        if written[-1] == '"' and _quotes(match) % 2:
            return f'{self._cardinal(written[:-1])}"'
        spoken = measures.side(written)
        behind = re.match(r"[\s-]([A-Za-z]+)", match.string[match.end() : match.end() + 20])
        of_a_thing = written[-1] in '"”' and behind is not None and behind[1] not in _AFTER_LENGTHS
        return f"{self._cardinal(written[:-1])} inch" if of_a_thing else spoken

    def _times(self, match: Match) -> str:
        power = re.match(r"10[\^⁰¹²³⁴⁵⁶⁷⁸⁹⁻]", match.string[match.end() : match.end() + 3])
        sign = power or match.group().strip() in "·⋅" or _is_a_dose(match)
        return f" {self._words.signs['×'] if sign else self._words.by or self._words.signs['×']} "

    def _multiple(self, match: Match) -> str:
        count = numbers.counting(self._language, Decimal(match.group()[:-1]))
        return self._words.multiple.format(n=count)

    def _brace(self, match: Match) -> str:
        """Return the words before an exponent of several parts; a brace alone is silent."""
        power = self._words.power
        if match.group() == "^" and power.endswith("{n}"):
            return f" {power.removesuffix('{n}')}"
        return "" if _behind(match) in ",.;:!?)" else " "

    def _decade(self, match: Match) -> str:
        if self._language == "de":
            number, ending = re.findall(r"\d+|[a-z]+", match.group())
            return numbers.year("de", Decimal(number)) + ending
        words = numbers.year("en", Decimal(match.group().strip("'’s")))
        return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"

    def _ordinal(self, match: Match) -> str:
        digits = re.match(r"\d+", match.group())
        value = Decimal(digits.group() if digits else 0)
        return numbers.ordinal(self._language, value, numbers.ordinal_form(self._language, match.group()))

    def _german(self, match: Match) -> str:
        behind = match.string[max(0, match.start() - 30) : match.start()]
        before = re.sub(r"\d+\.\s(?:und|oder|bis)\s$", "", behind).split()[-1:]
        word = before[0].lower() if before else ""
        strong = not before or word in ("mein", "sein", "ihr", "unser", "jeder")
        ending = "" if word in ("der", "die", "das", "jede") else "r" if strong else "n"
        return numbers.ordinal("de", Decimal(match.group().split(".")[0]), ending)

    def _fraction(self, match: Match) -> str:
        whole, _, part = match.group().rpartition(" ")
        top, bottom = map(int, part.split("/"))
        names = self._words.fractions.get(bottom)
        if not bottom or top >= bottom or bottom > 100:
            if re.match(r"\s?=", match.string[match.end() : match.end() + 2]) and bottom:
                divided = f" {self._words.signs['÷']} "
                return divided.join(self._cardinal(str(part)) for part in (top, bottom))
            both = (numbers.cardinal(self._language, Decimal(n)) for n in (top, bottom))
            return " ".join([*map(self._cardinal, [whole] * bool(whole)), *both])
        below = names[top != 1] if names else self._part(bottom, plural=top != 1)
        count = (
            "a"
            if whole and top == 1 and self._language == "en"
            else numbers.counting(self._language, Decimal(top))
        )
        spoken = self._words.fraction.format(top=count, bottom=below)
        return self._words.mixed.format(whole=self._cardinal(whole), part=spoken) if whole else spoken

    def _part(self, bottom: int, *, plural: bool) -> str:
        """Return the name of one of `bottom` parts."""
        match self._language:
            case "zh" | "vi":
                return numbers.cardinal(self._language, Decimal(bottom))
            case "de":
                return numbers.ordinal("de", Decimal(bottom)) + "l"
        return numbers.ordinal(self._language, Decimal(bottom)) + "s" * (plural and self._language != "it")

    def _cardinal(self, written: str) -> str:
        return numbers.cardinal(self._language, Decimal(written))

    def _phone(self, match: Match) -> str:
        plus = f"{self._words.signs['+']} " if match.group()[0] == "+" else ""
        written = match.group().replace("(0)", " ") if plus else match.group()
        return plus + numbers.digits(self._language, written) + codes.check_letter(match.group())

    def _dotted(self, match: Match) -> str:
        parts = match.group().lstrip("vV").split(".")
        spoken = f" {self._words.point} ".join(numbers.spelled(self._language, p, Decimal(p)) for p in parts)
        return f"{match.group()[0]} {spoken}" if match.group()[0] in "vV" else spoken

    # --------------------------------------------------------------------------------- measures

    def _money(self, match: Match) -> str:
        side = "1" if match.lastgroup == "prefixed" else "2"
        sign, amount, symbol = (match.group(name + side) for name in ("sign", "amount", "money"))
        value = self.value(sign + amount)
        decimals = max(0, -int(value.as_tuple().exponent))
        return self._large(amount) or measures.money(
            self._language, value, symbol, decimals=decimals, magnitude=match.group("size" + side) or ""
        )

    def _money_range(self, match: Match) -> str:
        """Return ten to fifteen dollars; both amounts have their currency where they have cents."""
        symbol, size = match["money0"], match["size0"] or ""
        low, high = (self.value(match[name]) for name in ("low", "amount0"))
        cents = low != int(low) and not size
        first = (
            measures.money(self._language, low, symbol, decimals=2)
            if cents
            else numbers.cardinal(self._language, low)
        )
        decimals = 2 if high != int(high) else 0
        second = measures.money(self._language, high, symbol, decimals=decimals, magnitude=size)
        return f"{first} {self._words.to} {second}"

    def _measure(self, match: Match) -> str:
        value = self.value(match["sign3"] + match["amount3"])
        spoken = self._large(match["amount3"]) or measures.with_unit(self._language, value, match["unit"])
        return _with_last_point(match, spoken)

    def _large(self, amount: str) -> str:
        """Return the digits of an amount that is none: it has too many."""
        return (
            numbers.digits(self._language, amount)
            if sum(map(str.isdigit, amount)) > numbers.MAX_DIGITS
            else ""
        )

    # --------------------------------------------------------------------------- times and dates

    def _clock(self, match: Match) -> str:
        hour, minute, *second = (int(part) for part in re.findall(r"\d+", match.group()))
        half = re.search(r"[aApP](?=\.?\s?[mM])", match.group())
        if second:
            spoken = " ".join([self._cardinal(str(hour)), *map(self._minutes, (minute, *second))])
        elif not minute and (half or hour > 12) and self._language == "en":
            spoken = self._cardinal(str(hour)) if half else f"{self._cardinal(str(hour))} hundred"
        elif not minute:
            spoken = self._of_hour(hour, self._words.full_hour.format(hour=self._hours(hour)))
        else:
            form = self._words.clock.format(hour=self._hours(hour), minute=self._minutes(minute))
            spoken = self._of_hour(hour, form)
        return f"{spoken} {half.group().upper()} M" if half else spoken

    def _minutes(self, minute: int) -> str:
        oh = "oh " if self._language == "en" and 0 < minute < 10 else ""
        return oh + self._cardinal(str(minute))

    def _of_hour(self, hour: int, spoken: str) -> str:
        """Return the time with its hour in the singular, where that is written out: une heure trente."""
        return spoken.replace("heures", "heure") if self._language == "fr" and hour < 2 else spoken

    def _hours(self, hour: int) -> str:
        if self._language == "de":
            return numbers.counting("de", Decimal(hour))
        return numbers.counting(self._language, Decimal(hour), feminine=True)

    def _hour(self, match: Match) -> str:
        number, half = re.findall(r"\d+|[aApP]", match.group())[:2]
        return f"{self._cardinal(number)} {half.upper()} M"

    def _iso_date(self, match: Match) -> str:
        year, month, day = map(int, match.group().split("-"))
        return self._spoken_date(year, month, day)

    def _date(self, match: Match) -> str:
        first, second, year = map(int, re.split(r"[./]", match.group()))
        month_first = self._words.months_before_day and "/" in match.group() and first <= 12
        month, day = (first, second) if month_first or second > 12 else (second, first)
        return self._spoken_date(year if year > 99 else year + 2000, month, day)

    def _spoken_date(self, year: int, month: int, day: int) -> str:
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return " ".join(self._cardinal(str(part)) for part in (day, month, year))
        return dates.spoken(self._language, self._day(day), month, year)

    def _short_date(self, match: Match) -> str:
        """Return the words of 24/12 and of 24.12.; what is no date stays a fraction or two numbers."""
        written = match.group()
        if found := dates.of_a_short_date(written, month_first=self._words.months_before_day):
            day, month = found
            said = self._german(match) if self._language == "de" else self._day(day)
            return _with_last_point(match, dates.spoken(self._language, said, month))
        return (
            self._fraction(match)
            if "/" in written
            else " ".join(map(self._cardinal, written.rstrip(".").split(".")))
        )

    def _day(self, day: int) -> str:
        match self._language:
            case "en":
                return numbers.ordinal("en", Decimal(day))
            case "de":
                return numbers.ordinal("de", Decimal(day), "n")
            case "fr" | "it" if day == 1:
                return numbers.ordinal(self._language, Decimal(1))
        return self._cardinal(str(day))

    def _month_name(self, match: Match) -> str:
        return _with_last_point(match, dates.whole_name(self._language, match.group()))

    def _month_day(self, match: Match) -> str:
        return f"{dates.whole_name('en', match['month'])} {numbers.ordinal('en', Decimal(match['day']))}"

    # ------------------------------------------------------------------------ addresses and signs

    def _url(self, match: Match) -> str:
        address = re.sub(r"^(?:https?://)?(?:www\.)?", "", match.group())
        address = address.rstrip(".,;:!?\"')]}")
        ending = match.group()[match.group().rfind(address) + len(address) :] if address else ""
        host, slash, path = re.split(r"[?#]", address)[0].partition("/")
        told = host + slash + path if slash and 0 < len(path) <= _LONG_PATH else host
        return self._spelled_out(told) + "".join(c for c in ending if c in ".,;:!?")

    def _spelled_out(self, address: str) -> str:
        words = self._words
        names = {".": words.dot, "/": words.slash, "-": words.dash, "_": words.underscore, "@": words.at,
                 "+": words.signs["+"]}  # fmt: skip
        parts = re.findall(r"[0-9]+|[^\W\d_]+|.", address)
        spoken = (self._address_part(part, names) for part in parts)
        return " ".join(part for part in spoken if part)

    def _address_part(self, part: str, names: dict[str, str]) -> str:
        if part.isascii() and part.isdigit():
            return numbers.spelled(self._language, part, Decimal(part))
        return part if part[0].isalnum() else names.get(part, "")

    def _abbreviation(self, match: Match) -> str:
        written = match.group()
        words = self._words.abbreviations[written]
        following = match.string[match.end() : match.end() + 2]
        if written == "St." and self._language == "en" and not re.match(" [A-Z]", following):
            words = "Street"
        return _with_last_point(match, words)

    def _sign(self, match: Match) -> str:
        joint = self._words.joint
        behind = "" if _behind(match) in (*" .,;:!?)", "") else joint
        return f"{joint}{self._words.signs[match.group()]}{behind}"


@cache
def expressions(language: str) -> Expressions | None:
    """Return the expressions of a language (en, en-us); None where they are left to the engine."""
    primary = re.split(r"[-_]", language.lower())[0]
    return Expressions(primary) if primary in VOCABULARIES else None


def in_usual_characters(match: Match) -> str:
    """Return a rare character as the one it stands for: ℃ as °C, ½ as 1/2, Ｆ as F, ٣ as 3."""
    character = match.group()
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    plain = unicodedata.normalize("NFKC", character).replace("\u2044", "/")
    return f" {plain}" if "/" in plain and _before(match).isdigit() else plain


def _is_a_dose(match: Match) -> bool:
    """Return True where a sign of multiplication stands apart, and no length follows: 2 x 500 mg."""
    lengths = (
        r"\d+(?:\.\d+)?\s?(?:ft|feet|foot|m|cm|mm|in|inch|inches|meters?|metres?|px|pixels?|room|grid)\b"
    )
    apart = match.group()[0] == match.group()[-1] == " "
    return apart and not re.match(lengths, match.string[match.end() : match.end() + 20])


def _with_last_point(match: Match, words: str) -> str:
    """Return the words of an abbreviation; its point at the end of a text ends a sentence too."""
    return f"{words}." if match.group()[-1] == "." and match.end() == len(match.string) else words


def _quotes(match: Match) -> int:
    """Return how many quotation marks stand before; those behind digits are inches."""
    return len(re.findall(r'(?<!\d)"', match.string[: match.start()]))


def _before(match: Match) -> str:
    return match.string[max(0, match.start() - 1) : match.start()]


def _behind(match: Match) -> str:
    return match.string[match.end() : match.end() + 1]
