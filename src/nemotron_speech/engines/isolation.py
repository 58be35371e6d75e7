"""A batch in which one bad item costs no other, and which is no larger than memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

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


class BatchLimit(Generic[Item]):
    """How many items a model takes at once: fewer, once its memory has not held as many.

    Args:
        most: To begin with.
        is_memory: Whether an error says that memory is full.
        release: Gives memory back that nothing uses.
    """

    def __init__(
        self, most: int, is_memory: Callable[[Exception], bool], release: Callable[[], None] = lambda: None
    ) -> None:
        self.now = most
        self._is_memory = is_memory
        self._release = release

    def run(self, act: Callable[[list[Item]], None], items: Sequence[Item]) -> list[tuple[Item, EngineError]]:
        """Act on all items; a batch that fails is done in halves, so that only the cause of it fails.

        Returns the items that failed. An `act` that raises must have changed nothing.
        """
        failed: list[tuple[Item, EngineError]] = []
        rest = list(items)
        while rest:
            batch, rest = rest[: self.now], rest[self.now :]
            try:
                act(batch)
            except Exception as error:  # noqa: BLE001  whatever a model raises
                if self._is_memory(error):
                    self._shrink(len(batch))
                failed += self._narrowed(act, batch, error)
        return failed

    def _narrowed(
        self, act: Callable[[list[Item]], None], batch: list[Item], error: Exception
    ) -> list[tuple[Item, EngineError]]:
        if len(batch) == 1:
            logger.opt(exception=error).error("one item failed")
            return [(batch[0], EngineError(f"the model failed: {error}"))]
        half = len(batch) // 2
        return [*self.run(act, batch[:half]), *self.run(act, batch[half:])]

    def _shrink(self, batch: int) -> None:
        self.now = max(min(self.now, batch) // 2, 1)
        logger.warning("out of memory with {} streams in a step; at most {} from now", batch, self.now)
        self._release()


def is_torch_memory(error: Exception) -> bool:
    """Whether PyTorch says that a GPU's memory is full."""
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def release_torch_memory() -> None:
    """Give back what PyTorch keeps of a GPU's memory and does not use."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
