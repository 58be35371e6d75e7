"""A batch in which one bad item costs no other, and which is no larger than memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from loguru import logger

from nemotron_speech.errors import EngineError, EngineLost

Item = TypeVar("Item")

_MEMORY = ("out of memory", "alloc_failed")
"""Texts of PyTorch's, cuBLAS's, cuDNN's and CTranslate2's errors when memory is full."""
_LOST = (
    "device-side assert triggered",
    "an illegal memory access was encountered",
    "an illegal instruction was encountered",
    "unspecified launch failure",
    "misaligned address",
    "hardware stack error",
    "invalid program counter",
    "operation not supported on global/shared address space",
    "the launch timed out and was terminated",
    "uncorrectable ecc error encountered",
)
"""Errors after which "the process must be terminated and relaunched" (CUDA runtime API, cudaError)."""


def is_memory(error: Exception) -> bool:
    """Return True if an error says that memory is full: less at once may fit."""
    return any(words in str(error).lower() for words in _MEMORY)


def is_lost(error: Exception) -> bool:
    """Return True if the GPU serves this process no more: every further call on it fails too."""
    return any(words in str(error).lower() for words in _LOST)


def all_or_each(act: Callable[[Sequence[Item]], None], items: Sequence[Item]) -> dict[Item, EngineError]:
    """Act on all items at once; when that fails, on each alone, so that only the cause of it fails.

    Returns the items that failed. An `act` that raises must have changed nothing.
    """
    if not items:
        return {}
    try:
        act(items)
    except Exception as error:  # noqa: BLE001  whatever a model raises
        if is_lost(error):
            return dict.fromkeys(items, _lost(error))
        if len(items) > 1:
            return {k: v for item in items for k, v in all_or_each(act, [item]).items()}
        logger.opt(exception=error).error("a segment failed")
        return {items[0]: EngineError(f"the model failed: {error}")}
    return {}


class BatchLimit(Generic[Item]):
    """Most items that a model takes at once: fewer, once its memory has not held as many.

    Args:
        most: To begin with.
        release: Gives memory back that nothing uses.
    """

    def __init__(self, most: int, release: Callable[[], None] = lambda: None) -> None:
        self.now = most
        self._release = release

    def run(self, act: Callable[[list[Item]], None], items: Sequence[Item]) -> list[tuple[Item, EngineError]]:
        """Act on all items; a batch that fails is done in halves, so that only the cause of it fails.

        Returns the items that failed: all that were left, with EngineLost, when the model is lost. An `act`
        that raises must have changed nothing.
        """
        failed: list[tuple[Item, EngineError]] = []
        rest = list(items)
        while rest:
            batch, rest = rest[: self.now], rest[self.now :]
            try:
                act(batch)
            except Exception as error:  # noqa: BLE001  whatever a model raises
                if is_lost(error):
                    lost = _lost(error)
                    return [*failed, *((item, lost) for item in (*batch, *rest))]
                if is_memory(error):
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


def _lost(error: Exception) -> EngineLost:
    logger.opt(exception=error).error("the GPU answers this process no more")
    return EngineLost(f"the model is lost: {str(error).strip().splitlines()[0]}")


def release_torch_memory() -> None:
    """Give back what PyTorch keeps of a GPU's memory and does not use."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
