"""Amounts with a unit or a currency in words, by the Unicode locale data."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

from nemotron_speech.text.number_words import cardinal, counting
from nemotron_speech.text.vocabulary import VOCABULARIES

CURRENCIES = {
    "$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₩": "KRW", "₫": "VND",
    "₽": "RUB", "₺": "TRY", "₴": "UAH", "₪": "ILS", "฿": "THB", "CHF": "CHF",
    "R$": "BRL", "A$": "AUD", "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "NZ$": "NZD", "HK$": "HKD",
    "S$": "SGD", "NT$": "TWD", "MX$": "MXN", "zł": "PLN", "Kč": "CZK",
    "NZD": "NZD", "SGD": "SGD", "HKD": "HKD", "CZK": "CZK",
    "USD": "USD", "EUR": "EUR", "GBP": "GBP", "JPY": "JPY", "INR": "INR", "CNY": "CNY", "VND": "VND",
    "AUD": "AUD", "CAD": "CAD", "SEK": "SEK", "NOK": "NOK", "DKK": "DKK", "PLN": "PLN", "BRL": "BRL",
    "MXN": "MXN", "Rs.": "INR", "Rs": "INR",
}  # fmt: skip
CENT_SIGNS = {"¢": "USD"}
_NAMED_DOLLARS = frozenset({"AUD", "CAD", "NZD", "HKD", "SGD", "TWD"})
"""Dollars whose country is said."""
_CENTS = {"USD": ("cent", "cents"), "EUR": ("cent", "cents"), "GBP": ("penny", "pence")}
_CENTS_OF_EURO = {
    "de": ("Cent", "Cent"), "fr": ("centime", "centimes"), "es": ("céntimo", "céntimos"),
    "it": ("centesimo", "centesimi"),
}  # fmt: skip
_LETTERS_OF_SIZE = {
    "k": "thousand", "K": "thousand", "m": "million", "M": "million", "B": "billion", "bn": "billion",
}  # fmt: skip

UNITS = {
    "km": "length-kilometer", "m": "length-meter", "cm": "length-centimeter", "mm": "length-millimeter",
    "µm": "length-micrometer", "μm": "length-micrometer", "nm": "length-nanometer", "mi": "length-mile",
    "ft": "length-foot", "yd": "length-yard", "kg": "mass-kilogram", "g": "mass-gram",
    "mg": "mass-milligram", "t": "mass-tonne", "lb": "mass-pound", "lbs": "mass-pound", "oz": "mass-ounce",
    "l": "volume-liter", "L": "volume-liter", "ml": "volume-milliliter", "mL": "volume-milliliter",
    "cl": "volume-centiliter", "dl": "volume-deciliter", "gal": "volume-gallon", "s": "duration-second",
    "sec": "duration-second", "ms": "duration-millisecond", "µs": "duration-microsecond",
    "ns": "duration-nanosecond", "min": "duration-minute", "h": "duration-hour", "hr": "duration-hour",
    "hrs": "duration-hour", "km/h": "speed-kilometer-per-hour", "kmh": "speed-kilometer-per-hour",
    "kph": "speed-kilometer-per-hour", "mph": "speed-mile-per-hour", "m/s": "speed-meter-per-second",
    "°C": "temperature-celsius", "°F": "temperature-fahrenheit", "°": "angle-degree",
    "kB": "digital-kilobyte", "KB": "digital-kilobyte", "MB": "digital-megabyte",
    "GB": "digital-gigabyte", "TB": "digital-terabyte", "PB": "digital-petabyte", "kbit": "digital-kilobit",
    "Mbit": "digital-megabit", "Gbit": "digital-gigabit", "Hz": "frequency-hertz",
    "kHz": "frequency-kilohertz", "MHz": "frequency-megahertz", "GHz": "frequency-gigahertz",
    "W": "power-watt", "kW": "power-kilowatt", "MW": "power-megawatt", "GW": "power-gigawatt",
    "kWh": "energy-kilowatt-hour", "V": "electric-volt", "mA": "electric-milliampere",
    "hPa": "pressure-hectopascal", "bar": "pressure-bar", "psi": "pressure-pound-force-per-square-inch",
    "m²": "area-square-meter", "m2": "area-square-meter", "km²": "area-square-kilometer",
    "km2": "area-square-kilometer", "cm²": "area-square-centimeter", "ha": "area-hectare",
    "m³": "volume-cubic-meter", "m3": "volume-cubic-meter", "cm³": "volume-cubic-centimeter",
    "kcal": "energy-kilocalorie", "cal": "energy-calorie", "kJ": "energy-kilojoule", "%": "concentr-percent",
    "sq ft": "area-square-foot", "sq. ft.": "area-square-foot", "ft²": "area-square-foot",
    "sq mi": "area-square-mile", "tbsp": "volume-tablespoon", "tsp": "volume-teaspoon",
    "fl oz": "volume-fluid-ounce", "hp": "power-horsepower", "‰": "concentr-permille",
    "secs": "duration-second", "mins": "duration-minute", "wk": "duration-week", "wks": "duration-week",
    "mos": "duration-month", "yr": "duration-year", "yrs": "duration-year",
    "Std.": "duration-hour", "Std": "duration-hour", "Min.": "duration-minute", "Min": "duration-minute",
    "Sek.": "duration-second", "Sek": "duration-second", "seg": "duration-second",
}  # fmt: skip
RATES = {
    "kbit/s": "digital-kilobit", "kbps": "digital-kilobit", "Mbit/s": "digital-megabit",
    "Mbps": "digital-megabit", "Gbit/s": "digital-gigabit", "Gbps": "digital-gigabit",
    "kB/s": "digital-kilobyte", "MB/s": "digital-megabyte", "GB/s": "digital-gigabyte",
}  # fmt: skip
"""Unit symbol of a rate to the unit that passes each second."""


PER = {
    "s": "second", "sec": "second", "min": "minute", "h": "hour", "hr": "hour", "d": "day", "wk": "week",
    "mo": "month", "yr": "year",
}  # fmt: skip
"""English units behind a stroke: tokens/s."""
DURATIONS = {
    "d": "duration-day", "h": "duration-hour", "hr": "duration-hour", "hrs": "duration-hour",
    "m": "duration-minute", "min": "duration-minute", "mins": "duration-minute", "s": "duration-second",
    "sec": "duration-second", "secs": "duration-second",
}  # fmt: skip
"""Units of a duration of several parts: there, m is minutes."""

_DIGITS = re.compile(r"\d(?:[\d.,\s]*\d)?")
_FEMININE = frozenset({"GBP", "INR", "TRY", "UAH", "SEK", "NOK", "DKK"})
_FRENCH_FEMININE = frozenset({"heure", "minute", "seconde", "tonne", "livre", "once", "calorie", "semaine"})
_OF_MILLIONS = {"es": "de", "fr": "de", "it": "di"}


def with_unit(language: str, number: Decimal, symbol: str) -> str:
    """Return five kilometers per hour; `symbol` is one of UNITS or RATES.

    Where the locale data lack a unit, the symbol stays as it is written.
    """
    vocabulary = VOCABULARIES[language]
    if symbol == "%" and language == "zh":
        return f"百分之{cardinal(language, number)}"
    written = next(
        filter(None, (_written(language, number, symbol, length) for length in ("long", "short"))), ""
    )
    if not written:
        name = vocabulary.signs.get(symbol, symbol)
        return f"{cardinal(language, number)}{vocabulary.joint}{name}"
    return _in_words(language, number, written)


def duration(language: str, written: str) -> str:
    """Return two minutes thirty seconds for 2m30s."""
    from babel.units import format_unit

    parts = []
    for amount, unit in re.findall(r"(\d+)\s?([a-z]+)", written):
        name = format_unit(Decimal(amount), DURATIONS[unit], length="long", locale=language)
        parts.append(_in_words(language, Decimal(amount), name))
    return (VOCABULARIES[language].joint or "").join(parts)


def modifier(written: str) -> str:
    """Return thirty-minute for 30-min, before what takes so long."""
    number, _, symbol = written.partition("-")
    name = with_unit("en", Decimal(1), symbol).removeprefix("one ")
    return f"{cardinal('en', Decimal(number))}-{name.replace(' ', '-')}"


def cents(language: str, number: Decimal, sign: str) -> str:
    """Return ninety-nine cents for 99¢."""
    one, many = _CENTS[CENT_SIGNS[sign]]
    return f"{cardinal(language, number)} {one if number == 1 else many}"


def feet_and_inches(language: str, feet: Decimal, inches: Decimal) -> str:
    """Return five feet ten inches."""
    return f"{with_unit(language, feet, 'ft')} {_inches(language, inches)}"


def side(written: str) -> str:
    """Return ten feet for 10', eight point five inches for 8.5\"."""
    number = Decimal(written[:-1].strip())
    return with_unit("en", number, "ft") if written[-1] in "'’′" else _inches("en", number)


def _inches(language: str, inches: Decimal) -> str:
    from babel.units import format_unit

    return _in_words(language, inches, format_unit(inches, "length-inch", length="long", locale=language))


def _written(language: str, number: Decimal, symbol: str, length: Literal["long", "short"]) -> str:
    """Return 5 kilometers; nothing where the locale data know no name for the unit."""
    from babel.units import format_compound_unit, format_unit

    if symbol in RATES:
        per = "duration-second"
        unit = RATES[symbol]
        written = format_compound_unit(
            abs(number), unit, denominator_unit=per, length=length, locale=language
        )
    else:
        unit = UNITS[symbol]
        written = format_unit(abs(number), unit, length=length, locale=language)
    if language == "vi":
        written = (written or "").replace("duration-second", "giây").replace("/", " trên ")
    return "" if written is None or unit in written or written[-1] in "%‰" else written


def _in_words(language: str, number: Decimal, written: str) -> str:
    """Replace the digits that the locale data put before or behind a name."""
    vocabulary = VOCABULARIES[language]
    noun = written.split()[-1] if written.split()[-1:] else ""
    count = counting(language, abs(number), feminine=_is_feminine(language, noun.lower()))
    spoken = " ".join(_DIGITS.sub(count, written, count=1).split())
    return f"{vocabulary.minus}{vocabulary.joint}{spoken}" if number < 0 else spoken


def _is_feminine(language: str, noun: str) -> bool:
    """Tell the gender of a unit by its ending: eine Stunde, una hora, une heure."""
    match language:
        case "de":
            return noun.endswith("e")
        case "es" | "it":
            return noun.endswith(("a", "as")) and noun not in ("día", "días")
        case "fr":
            return noun.rstrip("s") in _FRENCH_FEMININE
    return False


def money(language: str, number: Decimal, symbol: str, *, decimals: int = 0, magnitude: str = "") -> str:
    """Return three dollars fifty, five million euros; `symbol` is one of CURRENCIES.

    Args:
        decimals: How many were written: two are hundredths.
        magnitude: The word behind the number, one of the language's magnitudes.
    """
    vocabulary = VOCABULARIES[language]
    code = "CNY" if (language, symbol) == ("zh", "¥") else CURRENCIES[symbol]
    if magnitude.startswith(("lakh", "crore")):
        return f"{cardinal(language, number)} {magnitude} {_currency(language, code, Decimal(10**5))}"
    if magnitude and language == "en" and number != int(number):
        name = _LETTERS_OF_SIZE.get(magnitude, magnitude)
        return f"{cardinal(language, number)} {name} {_currency(language, code, Decimal(10**6))}"
    if magnitude:
        return _spoken_money(language, number * vocabulary.magnitudes[magnitude], code)
    units, cents = int(abs(number)), int(abs(number) * 100) % 100
    if decimals != 2 or not cents:
        return _spoken_money(language, number, code)
    if not units and language == "en" and code in _CENTS and number > 0:
        return f"{cardinal(language, Decimal(cents))} {_CENTS[code][cents != 1]}"
    if not units and code == "EUR" and language in _CENTS_OF_EURO and number > 0:
        amount = counting(language, Decimal(cents))
        return f"{amount} {_CENTS_OF_EURO[language][cents != 1]}"
    if not units or language in ("vi", "zh"):
        return _spoken_money(language, number, code)
    whole = _spoken_money(language, Decimal(units) * (-1 if number < 0 else 1), code)
    return vocabulary.cents.format(units=whole, cents=cardinal(language, Decimal(cents)))


def _spoken_money(language: str, number: Decimal, code: str) -> str:
    number = number.normalize() if number != int(number) else Decimal(int(number))
    parts = [counting(language, number, feminine=code in _FEMININE), _currency(language, code, number)]
    if language in _OF_MILLIONS and number and not number % 10**6:
        parts.insert(1, _OF_MILLIONS[language])
    return (
        VOCABULARIES[language]
        .joint.join(parts)
        .replace(" de euros", " d'euros" if language == "fr" else " de euros")
    )


def _currency(language: str, code: str, number: Decimal) -> str:
    """Return what one says for a currency: dollars, where the locale data say US dollars."""
    if (language, code) == ("zh", "CNY"):
        return "元"
    from babel.numbers import get_currency_name

    name = get_currency_name(code, count=abs(number), locale=language)
    match language:
        case "en":
            return name if code in _NAMED_DOLLARS else name.split()[-1]
        case "de":
            return name.replace("-", " ").split()[-1]
        case "es" | "fr" | "it":
            return name.split()[0]
    return name
