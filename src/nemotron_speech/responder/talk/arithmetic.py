"""Sums as they are spoken: find one in a row of words, work it out exactly, say it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from nemotron_speech.responder.talk.spoken_numbers import is_rounded, read_number, say_number

Words: TypeAlias = Sequence[str]

MAX_POWER_BITS = 4096


@dataclass(frozen=True, slots=True)
class Calculation:
    """A sum in words and its value; None where there is none, with the reason in `problem`."""

    spoken: str
    value: Fraction | None
    problem: str = ""

    def sentence(self) -> str:
        """Say the sum and its result."""
        if self.value is None:
            return self.problem
        about = "about " if is_rounded(self.value) else ""
        sentence = f"{self.spoken} is {about}{say_number(self.value)}."
        return sentence[0].upper() + sentence[1:]


class _NoValue(Exception):
    """The sum has no value that can be said."""


INFIX: tuple[tuple[tuple[str, ...], str, int], ...] = (
    (("to", "the", "power", "of"), "to the power of", 3),
    (("to", "the", "power"), "to the power of", 3),
    (("power",), "to the power of", 3),
    (("multiplied", "by"), "times", 2),
    (("multiply", "by"), "times", 2),
    (("times",), "times", 2),
    (("time",), "times", 2),
    (("x",), "times", 2),
    (("divided", "by"), "divided by", 2),
    (("divide", "by"), "divided by", 2),
    (("divided",), "divided by", 2),
    (("over",), "divided by", 2),
    (("percent", "of"), "percent of", 2),
    (("per", "cent", "of"), "percent of", 2),
    (("percent", "off"), "percent of", 2),
    (("added", "to"), "plus", 1),
    (("plus",), "plus", 1),
    (("add",), "plus", 1),
    (("minus",), "minus", 1),
    (("take", "away"), "minus", 1),
    (("less",), "minus", 1),
    (("subtract",), "minus", 1),
)
"""Infix operators: the words between two numbers, the operator's name, its precedence."""

COMMANDS: tuple[tuple[tuple[str, ...], tuple[str, ...], str, bool], ...] = (
    (("add",), ("and", "to", "with", "plus"), "plus", False),
    (("sum", "of"), ("and",), "plus", False),
    (("subtract",), ("from",), "minus", True),
    (("subtract",), ("and",), "minus", False),
    (("take",), ("from",), "minus", True),
    (("difference", "between"), ("and",), "minus", False),
    (("difference", "of"), ("and",), "minus", False),
    (("multiply",), ("by", "and", "with", "times"), "times", False),
    (("product", "of"), ("and",), "times", False),
    (("divide",), ("by",), "divided by", False),
    (("what", "is"), ("and",), "plus", False),
)
"""Words before two numbers, the words that may join them, the operator, whether the numbers swap."""

ALSO_PLAIN_WORDS = frozenset({"time", "over", "less"})
"""Operators that ordinary sentences use too: after these a number must not be a homophone ("over to you")."""

FACTORS = {"half": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4)}
MULTIPLES = {"double": 2, "twice": 2, "triple": 3}
AFTER = {"squared": 2, "square": 2, "cubed": 3}


def find_calculation(words: Words) -> Calculation | None:
    """Find the first sum in the words, None when there is none."""
    for start in range(len(words)):
        for attempt in (_command, _expression, _multiple):
            if found := attempt(words[start:]):
                return found
    return None


def _command(words: Words) -> Calculation | None:
    """Read "add five to seven" and its like."""
    for opening, joints, operator, swapped in COMMANDS:
        if tuple(words[: len(opening)]) != opening:
            continue
        rest = words[len(opening) :]
        first = read_number(rest)
        if first is None:
            continue
        rest = rest[first.length :]
        rest = rest[1:] if rest[:1] == ["away"] else rest
        if not rest or rest[0] not in joints:
            continue
        second = read_number(rest[1:])
        if second is not None:
            left, right = (second, first) if swapped else (first, second)
            return _evaluated([left.value, operator, right.value])
    return None


def _multiple(words: Words) -> Calculation | None:
    """Read "half of nine", "twice six" and "the square root of two"."""
    if tuple(words[:3]) == ("square", "root", "of") and (number := read_number(words[3:])):
        return _square_root(number.value)
    if words[0] in FACTORS and words[1:2] == ["of"] and (number := read_number(words[2:])):
        name = words[0] if words[0] == "half" else f"a {words[0]}"
        return Calculation(f"{name} of {say_number(number.value)}", number.value * FACTORS[words[0]])
    if words[0] in MULTIPLES and (number := read_number(words[1:])):
        return Calculation(f"{words[0]} {say_number(number.value)}", number.value * MULTIPLES[words[0]])
    return None


def _square_root(value: Fraction) -> Calculation:
    spoken = f"the square root of {say_number(value)}"
    if value < 0:
        return Calculation(spoken, None, "A negative number has no real square root.")
    scale = 10**12
    root = Fraction(_integer_root(value.numerator * scale**2 // value.denominator), scale)
    return Calculation(spoken, root)


def _integer_root(value: int) -> int:
    guess = 1 << (value.bit_length() + 1) // 2
    while guess * guess > value:
        guess = (guess + value // guess) // 2
    return guess


def _expression(words: Words) -> Calculation | None:
    """Read a chain of numbers with operators between them; at least one operator."""
    first = read_number(words)
    if first is None:
        return None
    items: list[Fraction | str] = [first.value]
    position = first.length
    while True:
        if words[position : position + 1] and words[position] in AFTER:
            items += ["to the power of", Fraction(AFTER[words[position]])]
            position += 1
            continue
        operator, length = _read_operator(words[position:])
        if not length:
            break
        homophones = words[position] not in ALSO_PLAIN_WORDS
        following = read_number(words[position + length :], homophones=homophones)
        if following is None:
            break
        items += [operator, following.value]
        position += length + following.length
    return _evaluated(items) if len(items) > 1 else None


def _read_operator(words: Words) -> tuple[str, int]:
    for spelling, operator, _ in INFIX:
        if tuple(words[: len(spelling)]) == spelling:
            return operator, len(spelling)
    return "", 0


_BINDING = {operator: binding for _, operator, binding in INFIX}


def _evaluated(items: Sequence[Fraction | str]) -> Calculation:
    spoken = " ".join(item if isinstance(item, str) else say_number(item) for item in items)
    try:
        return Calculation(spoken, _value(items))
    except _NoValue as problem:
        return Calculation(spoken, None, str(problem))


def _value(items: Sequence[Fraction | str]) -> Fraction:
    """Evaluate with the usual precedence: the last of the loosest operators splits the chain."""
    if len(items) == 1:
        return Fraction(items[0])
    operators = [(index, item) for index, item in enumerate(items) if isinstance(item, str)]
    loosest = min(_BINDING[operator] for _, operator in operators)
    index, operator = next(entry for entry in reversed(operators) if _BINDING[entry[1]] == loosest)
    return _apply(operator, _value(items[:index]), _value(items[index + 1 :]))


def _apply(operator: str, left: Fraction, right: Fraction) -> Fraction:
    match operator:
        case "plus":
            return left + right
        case "minus":
            return left - right
        case "times":
            return left * right
        case "percent of":
            return left * right / 100
        case "divided by":
            if right == 0:
                raise _NoValue("Nothing can be divided by zero, so that one has no answer.")
            return left / right
        case _:
            return _power(left, right)


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise _NoValue("I only know powers that are whole numbers.")
    if base == 0 and exponent < 0:
        raise _NoValue("Nothing can be divided by zero, so that one has no answer.")
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits * abs(exponent.numerator) > MAX_POWER_BITS:
        raise _NoValue("That number is too large for me to say.")
    return base**exponent.numerator
