"""Rules about words that cannot keep a turn open by failing: a fault is logged once, and says nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from loguru import logger

FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""Errors of a rule, or of a library of numbers, that a text was not written for."""

P = ParamSpec("P")
T = TypeVar("T")


def guarded(fallback: T) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator: a function that fails returns `fallback`, and logs the first fault of each type.

    A turn is asked every 20 ms whether it is over; silence and prosody go on deciding without the words.
    """

    def decorate(rule: Callable[P, T]) -> Callable[P, T]:
        logged: set[type[Exception]] = set()

        @wraps(rule)
        def careful(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return rule(*args, **kwargs)
            except FAULTS as fault:
                if type(fault) not in logged:
                    logged.add(type(fault))
                    logger.opt(exception=fault).warning(f"{rule.__name__} failed for {args}")
                return fallback

        return careful

    return decorate
