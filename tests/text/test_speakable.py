"""What reaches a voice can be said."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.text import ends_sentence, speakable


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello.", "Hello."),
        ("**Bold** and *it* and `code`.", "Bold and it and code."),
        ("See [the page](https://example.org/a).", "See the page."),
        ("- one\n- two", "one two"),
        ("1. first\n2. second", "1. first 2. second"),
        ("3. Oktober", "3. Oktober"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a b 1 2"),
        ("```py\nx = 1\n```\nAfter it.", "After it."),
        ("**cut off here", "cut off here"),
        ("ends** here.", "ends here."),
        ("<b>Good</b> &amp; well", "Good & well"),
        ("It is 20 °C, -5 °C at night.", "It is 20 °C, -5 °C at night."),
        ("zero\u200bwidth", "zerowidth"),
        ("# Title\nText", "Title Text"),
        ("I am happy 🙂!", "I am happy !"),
        ("🙂👍🏽🇫🇷👨‍👩‍👧", ""),
        ("...", ""),
        ("", ""),
        (" \n", ""),
        ("a\x00b\x07c", "a b c"),
        ("Dr. Smith paid $3.50.", "Dr. Smith paid $3.50."),
        ("2 * 3 = 6", "2 × 3 = 6"),
        ("snake_case_name", "snake_case_name"),
        ("今天天气很好。", "今天天气很好。"),
        ("naïve café", "naïve café"),
    ],
)
def test_markup_and_pictures_are_left_out(text: str, said: str) -> None:
    assert speakable(text) == said


MARKUP = st.sampled_from(
    [
        *"ab1 *_`~[]()<>|\\&;#-+=>!.\n🙂",
        "](",
        "&amp;",
        "&#42;",
        "```",
        "~~",
        "<b>",
        "- ",
        "1. ",
        "> ",
        "| - |",
        "\u200b",
    ]
)
TEXTS = st.one_of(st.text(), st.lists(MARKUP, max_size=25).map("".join))
SPOKEN_SYMBOLS = "°©®™№℃℉"


@given(TEXTS)
def test_nothing_unspeakable_is_left(text: str) -> None:
    said = speakable(text)
    unspeakable = (c for c in said if unicodedata.category(c) in ("So", "Cc", "Cs", "Co", "Cn"))
    assert all(c in SPOKEN_SYMBOLS for c in unspeakable)
    assert said == said.strip()
    assert "  " not in said
    assert said == "" or any(c.isalnum() for c in said)


@given(TEXTS)
def test_what_is_speakable_stays_as_it_is(text: str) -> None:
    assert speakable(speakable(text)) == speakable(text)


@pytest.mark.parametrize("text", ["Yes.", "Really?!", 'He said "no."', "Well… ", "好。", "(Done.)", "؟"])
def test_a_sentence_end_is_seen(text: str) -> None:
    assert ends_sentence(text)


@pytest.mark.parametrize("text", ["Yes", "Well,", "$3.50", "", "a. b"])
def test_what_ends_no_sentence_is_seen(text: str) -> None:
    assert not ends_sentence(text)
