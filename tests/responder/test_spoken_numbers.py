from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.responder.talk.arithmetic import find_calculation
from nemotron_speech.responder.talk.spoken_numbers import read_number, say_number, say_ordinal
from nemotron_speech.responder.talk.words import listed, plain_words


@given(st.integers(-(10**15) + 1, 10**15 - 1))
def test_every_number_that_is_said_is_read_back(value: int) -> None:
    words = plain_words(say_number(value).replace("-", " "))
    number = read_number(words)
    assert number is not None
    assert (number.value, number.length) == (value, len(words))


@given(st.integers(-(10**6), 10**6))
def test_decimals_that_are_said_are_read_back(thousandths: int) -> None:
    value = Fraction(thousandths, 1000)
    number = read_number(plain_words(say_number(value).replace("-", " ")))
    assert number is not None
    assert number.value == value


@pytest.mark.parametrize(
    ("text", "value", "length"),
    [
        ("twenty five", 25, 2),
        ("five twenty", 5, 1),
        ("one hundred and five", 105, 4),
        ("two thousand twenty six", 2026, 4),
        ("a hundred", 100, 2),
        ("twenty five hundred", 2500, 3),
        ("3,500 people", 3500, 1),
        ("3.5", Fraction(7, 2), 1),
        ("2 million", 2 * 10**6, 2),
        ("minus four", -4, 2),
        ("point five", Fraction(1, 2), 2),
        ("too many", 2, 1),
    ],
)
def test_spoken_numbers_are_read(text: str, value: Fraction, length: int) -> None:
    number = read_number(text.split())
    assert number is not None
    assert (number.value, number.length) == (value, length)


@pytest.mark.parametrize("text", ["", "cat", "and", "point", "minus", "a cat", "and five"])
def test_other_words_are_no_numbers(text: str) -> None:
    assert read_number(text.split()) is None


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("what is twelve times seven", "Twelve times seven is eighty-four."),
        ("twenty five percent of eighty", "Twenty-five percent of eighty is twenty."),
        ("two plus three times four", "Two plus three times four is fourteen."),
        ("ten minus three minus two", "Ten minus three minus two is five."),
        ("what's to plus to", "Two plus two is four."),
        ("four times ate", "Four times eight is thirty-two."),
        ("ten divided by four", "Ten divided by four is two point five."),
        ("ten divided by zero", "Nothing can be divided by zero, so that one has no answer."),
        ("one divided by three", "One divided by three is about zero point three three three."),
        ("one point five times two", "One point five times two is three."),
        ("add five and seven", "Five plus seven is twelve."),
        ("subtract three from ten", "Ten minus three is seven."),
        ("the square root of eighty one", "The square root of eighty-one is nine."),
        ("square root of minus four", "A negative number has no real square root."),
        ("nine squared", "Nine to the power of two is eighty-one."),
        ("half of nine", "Half of nine is four point five."),
        ("twice six", "Twice six is twelve."),
        ("12*7", "Twelve times seven is eighty-four."),
        ("what is 10-4?", "Ten minus four is six."),
        ("zero to the power of minus one", "Nothing can be divided by zero, so that one has no answer."),
        ("nine to the power of nine hundred thousand", "That number is too large for me to say."),
    ],
)
def test_sums_are_worked_out_and_said(asked: str, answer: str) -> None:
    calculation = find_calculation(plain_words(asked))
    assert calculation is not None
    assert calculation.sentence() == answer


@pytest.mark.parametrize("text", ["over to you", "i have two", "what time is it", "is it for time to go"])
def test_sentences_with_words_that_sound_like_numbers_are_no_sums(text: str) -> None:
    assert find_calculation(text.split()) is None


ROW = listed("two, ten, plus, minus, times, over, percent, of, point, squared, zero, to, power, the, hundred")


@given(st.lists(st.sampled_from(ROW)))
def test_no_row_of_words_breaks_the_calculator(words: list[str]) -> None:
    calculation = find_calculation(words)
    assert calculation is None or calculation.sentence()


def test_days_of_the_month_have_their_names() -> None:
    names = [say_ordinal(day) for day in range(1, 32)]
    assert names[0] == "first"
    assert names[20:] == [
        "twenty-first", "twenty-second", "twenty-third", "twenty-fourth", "twenty-fifth", "twenty-sixth",
        "twenty-seventh", "twenty-eighth", "twenty-ninth", "thirtieth", "thirty-first",
    ]  # fmt: skip
    assert len(set(names)) == 31
