"""Tensors with one place per utterance, and the quickest way to the places of some of them.

Imports PyTorch; imported when a model is loaded, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch  # noqa: TID253  # pyright: ignore[reportMissingImports]
from torch import Tensor  # noqa: TID253  # pyright: ignore[reportMissingImports]


class SlotTensor:
    """A tensor [layers, slots, …] that grows along one axis, doubling, and never shrinks.

    Args:
        data: Its first contents.
        axis: Axis that may grow.
    """

    def __init__(self, data: Tensor, axis: int) -> None:
        self.data = data
        self._axis = axis

    def reach(self, length: int) -> None:
        """Make the axis at least `length` long; what is new is zero."""
        has = self.data.shape[self._axis]
        if has >= length:
            return
        shape = list(self.data.shape)
        shape[self._axis] = max(length, 2 * has)
        grown = self.data.new_zeros(shape)
        grown.narrow(self._axis, 0, has).copy_(self.data)
        self.data = grown


def pick(slots: Sequence[int], device: Any) -> slice | Tensor:
    """Return an index of these slots: a slice where they follow each other, for that copies nothing."""
    if list(slots) == list(range(slots[0], slots[0] + len(slots))):
        return slice(slots[0], slots[0] + len(slots))
    return torch.tensor(slots, device=device)
