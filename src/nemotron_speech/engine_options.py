"""Options of engines from the environment: for whichever engine runs, or for one by its name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from loguru import logger

Value: TypeAlias = str | int | float | bool
Options: TypeAlias = dict[str, Value | dict[str, Value]]
"""Options, and under an engine's name those of that engine alone."""


def of_engine(
    engine: str,
    given: Mapping[str, Value | dict[str, Value]],
    takes: Callable[[str], Collection[str]],
    engines: Callable[[], Collection[str]],
) -> dict[str, Value]:
    """Return the options that are meant for `engine`.

    An option that it does not take and another engine does is left out, with a warning: it was set for that
    one. An option that none takes stays, for the engine to refuse it.

    Args:
        takes: Gives the names of the options of an engine.
        engines: Gives the names of all engines of the kind.
    """
    shared = {name: value for name, value in given.items() if not isinstance(value, dict)}
    foreign = _foreign(engine, shared, takes, engines)
    for name, other in foreign.items():
        logger.warning(
            'the option {} is left out: {} does not take it, {} does; set it as {{"{}": {{"{}": …}}}}',
            *(name, engine, other, other, name),
        )
    return own_options(engine, {name: value for name, value in given.items() if name not in foreign})


def own_options(engine: str, given: Mapping[str, Value | dict[str, Value]]) -> dict[str, Value]:
    """Return the options for any engine, and those under the engine's name, which go before them."""
    own = given.get(engine)
    shared = {name: value for name, value in given.items() if not isinstance(value, dict)}
    return {**shared, **own} if isinstance(own, dict) else shared


def _foreign(
    engine: str,
    shared: Mapping[str, Value],
    takes: Callable[[str], Collection[str]],
    engines: Callable[[], Collection[str]],
) -> dict[str, str]:
    """Return the options that `engine` does not take, each with an engine that does."""
    unknown = set(shared) - set(takes(engine)) if shared else set()
    others = {other: set(takes(other)) for other in engines() if other != engine} if unknown else {}
    return {
        name: other for name in sorted(unknown) for other in reversed(sorted(others)) if name in others[other]
    }
