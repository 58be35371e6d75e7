"""What is written in signs, digits and markup is said in words."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nemotron_speech.text import say, speakable
from nemotron_speech.text.vocabulary import VOCABULARIES

SAID = {
    "en": {
        "It costs $5.": "It costs five dollars.",
        "$3.50, £0.99 or 20 EUR": "three dollars fifty, ninety-nine pence or twenty euros",
        "$5 million, £1.2bn": "five million dollars, one point two billion pounds",
        "10:30 am, 5pm, 10:05, 9:00": "ten thirty A M, five P M, ten oh five, nine o'clock",
        "March 5, 2024": "March fifth, twenty twenty-four",
        "2024-03-05 and 3/4/2024": "March fifth, twenty twenty-four and March fourth, twenty twenty-four",
        "In 1995, the 1990s and the '90s.": "In nineteen ninety-five, the nineteen nineties and "
        "the nineties.",
        "1995–2000, 5-10, 7 - 3": "nineteen ninety-five to two thousand, five to ten, seven minus three",
        "the 1st, 22nd and 103rd": "the first, twenty-second and one hundred third",
        "1/2, 3/4, 1 1/2, 2½, 24/7": "one half, three quarters, one and a half, two and a half, "
        "twenty-four seven",
        "0.05, .5, 1,234.5": "zero point zero five, point five, one thousand two hundred thirty-four "
        "point five",
        "007 or 12345678901234567890": "zero zero seven or one two three four five six seven eight nine zero "
        "one two three four five six seven eight nine zero",
        "+1 (555) 123-4567": "plus one, five five five, one two three, four five six seven",
        "555-123-4567": "five five five, one two three, four five six seven",
        "5 km/h, 20 °C, -5 °F": "five kilometers per hour, twenty degrees Celsius, "
        "minus five degrees Fahrenheit",
        "3GB at 100 Mbps, 5%": "three gigabytes at one hundred megabits per second, five percent",
        "2 + 2 = 4 and 2 * 3 < 7": "two plus two equals four and two times three less than seven",
        "See https://www.example.org/docs?x=1.": "See example dot org slash docs.",
        "mail jane.doe@example.org": "mail jane dot doe at example dot org",
        "Dr. Smith, e.g. on Main St., etc.": "Doctor Smith, for example on Main Street, et cetera.",
        "No. 5 and #3": "number five and number three",
        "GPT-4, H100, v2.1.3": "GPT-four, H one hundred, v two point one point three",
        "snake_case and/or C++.": "snake case and or C plus plus.",
        "“Don’t” «say»": '"Don\'t" "say"',
        "x² ℃ ① ３": "x squared degrees C one three",
        "Привет, 今天!": "Privet, JinTian!",
        "5 μm, 0.0001 L": "five micrometers, zero point zero zero zero one liters",
        "# Title\n\n- **one**\n- `two`": "Title. one. two",
        "| a | b |\n|---|---|\n| 1 | 2 |\n\nEnd": "a, b. one, two. End",
    },
    "es": {
        "3,50 € el 1º de mayo": "tres euros con cincuenta el primero de mayo",
        "21 km, 1.234,5 y 20 %": "veintiún kilómetros, mil doscientos treinta y cuatro coma cinco y "
        "veinte por ciento",
        "a las 14:30": "a las catorce y treinta",
    },
    "de": {
        "Am 5. März um 14:30 Uhr": "Am fünften März um vierzehn Uhr dreißig",
        "z. B. 2 Mio. € oder 3,5 km/h": "zum Beispiel zwei Millionen Euro oder drei Komma fünf Kilometer pro "
        "Stunde",
        "1.234.567": "eine Million zweihundertvierunddreißigtausendfünfhundertsiebenundsechzig",
    },
    "fr": {
        "5 000 € le 1er mai": "cinq mille euros le premier mai",
        "C’est 20 %, M. Dupont": "C'est vingt pour cent, Monsieur Dupont",
    },
    "it": {"3,50 € il 1° maggio": "tre euro e cinquanta il primo maggio", "21 km": "ventuno chilometri"},
    "vi": {
        "5.000 và 20 °C": "năm nghìn và hai mươi độ C",
        "14:30, 5%": "mười bốn giờ ba mươi, năm phần trăm",
    },
    "zh": {
        "今天是2024年3月5日，20°C。": "今天是二零二四年三月五日，二十摄氏度。",
        "¥5.50，5%，走了5km。": "五点五元，百分之五，走了五公里。",
    },
}
READINGS = [(language, text, said) for language, texts in SAID.items() for text, said in texts.items()]
LANGUAGES = st.sampled_from([*VOCABULARIES, "en-us", "zh-cn", "ru", "tlh"])
PIECES = st.sampled_from(
    ["$", "€", "5", "1,000", "2.5", "3,5", "10:30", "1/2", "°C", "km/h", "%", "Dr.", "e.g.", "@", "a@b.co",
     "www.x.org", "+1", "(555)", "-", "–", "1st", "№", "½", "²", "2024-02-30", "31.12.99", "99/99/9999",
     "1995", "0", "00", "999999999999999999999", "'90s", "٣", "５", "Ⅷ", "привет", "你好", "🙂", "**",
     "[a](b)", "|", "#", "a_b", "/", ".", ",", "word", "é", "\u0301", "M", "m", "k", "Uhr", "1er", "2ª",
     "\n", "# ", "March 5", "5. März", " ", " ", " "]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=14).map("".join))


@pytest.mark.parametrize(("language", "text", "said"), READINGS)
def test_signs_and_digits_are_said_in_words(language: str, text: str, said: str) -> None:
    assert say(text, language).text == said


@given(TEXTS, LANGUAGES)
@example("0@0.٠", "en")
@example("𔐀", "de")
@settings(max_examples=400)
def test_every_text_can_be_said_and_no_digit_is_left_to_the_engine(text: str, language: str) -> None:
    said = say(text, language).text
    assert said == said.strip()
    assert "  " not in said
    if language.split("-")[0] in VOCABULARIES:
        assert not re.search(r"\d", said)


@given(TEXTS)
def test_what_bots_clean_before_sending_is_said_all_the_same(text: str) -> None:
    assert say(speakable(text), "en").text.replace(".", "").replace(",", "").split() == say(
        text, "en"
    ).text.replace(".", "").replace(",", "").split() or not _flat(text)


def _flat(text: str) -> bool:
    """Whether a text has one line of plain characters: blocks get pauses, which may join what they part."""
    return re.fullmatch(r"[A-Za-z0-9 .,$%:]*", text) is not None


@pytest.mark.parametrize(
    ("text", "unspoken"),
    [
        ("Good 🙂 morning 👍🏽!", ("🙂", "👍🏽")),
        ("```\nx = 1\n```\nThat was code.", ("x = 1",)),
        ("Nothing is lost.", ()),
        ("\ue000 \x07", ()),
    ],
)
def test_what_cannot_be_said_is_reported(text: str, unspoken: tuple[str, ...]) -> None:
    assert say(text, "en").unspoken == unspoken


def test_a_language_without_rules_keeps_what_is_written() -> None:
    assert say("Это **5** км, 20 °C.", "ru").text == "Это 5 км, 20 °C."


@given(
    st.sampled_from(
        ["1", "1,", "a.", "a@", "1/", "+1", "www.", "(555) ", "a.b-c_d@e.f ", "[a](", "**a ", "_a ", "½"]
    )
)
@example("1.2.")
@settings(max_examples=14)
def test_long_repetitions_take_no_longer_than_their_length(piece: str) -> None:
    """Counts the work instead of the time: twice the text makes about twice the edits, and it ends."""
    assert len(say(piece * 2000, "en").text) <= 2 * len(say(piece * 1000, "en").text) + 1000
