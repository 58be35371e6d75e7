"""A batch in which one bad item costs no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from loguru import logger

from nemotron_speech.errors import EngineError

Item = TypeVar("Item")


def all_or_each(act: Callable[[Sequence[Item]], None], items: Sequence[Item]) -> dict[Item, EngineError]:
    """Act on all items at once; when that fails, on each alone, so that only the cause of it fails.

    Returns the items that failed. An `act` that raises must have changed nothing.
    """
    if not items:
        return {}
    try:
        act(items)
    except Exception as error:  # noqa: BLE001  whatever a model raises
        if len(items) > 1:
            return {k: v for item in items for k, v in all_or_each(act, [item]).items()}
        logger.opt(exception=error).error("a segment failed")
        return {items[0]: EngineError(f"the model failed: {error}")}
    return {}
