"""State arena of all streams: one tensor per kind of state, one slot per stream.

A step copies the slots it needs out, and copies the new state of those that go on back in. Nothing is
allocated per stream and nothing is done for slots that do not step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

State = Mapping[str, "torch.Tensor"]


class Arena:
    """Preallocated state for `slots` streams.

    Args:
        slots: Streams it holds.
        fresh: The state of one stream that has heard nothing, by name, batch size 1.
        dims: Name of each state to its batch dimension.
    """

    def __init__(self, slots: int, fresh: State, dims: Mapping[str, int]) -> None:
        self._fresh = {name: value.clone() for name, value in fresh.items()}
        self._dims = dict(dims)
        self._tensors = {
            name: value.repeat_interleave(slots, dim=dims[name]).contiguous() for name, value in fresh.items()
        }
        self._free = list(range(slots - 1, -1, -1))

    @property
    def bytes_per_slot(self) -> int:
        """Bytes one stream occupies, in use or not."""
        return sum(value.nbytes for value in self._fresh.values())

    @property
    def free(self) -> int:
        return len(self._free)

    def acquire(self) -> int | None:
        """Return a fresh slot, or None when all are taken."""
        if not self._free:
            return None
        slot = self._free.pop()
        self.clear(slot)
        return slot

    def release(self, slot: int) -> None:
        self._free.append(slot)

    def clear(self, slot: int) -> None:
        """Make `slot` as if it had heard nothing."""
        for name, value in self._fresh.items():
            self._tensors[name].narrow(self._dims[name], slot, 1).copy_(value)

    def load(self, slots: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return copies of the state of `slots`, batched in that order."""
        index = self._index(slots)
        return {name: t.index_select(self._dims[name], index) for name, t in self._tensors.items()}

    def store(self, slots: Sequence[int], rows: Sequence[int], state: State) -> None:
        """Write row `rows[i]` of a batched `state` to `slots[i]`."""
        if not slots:
            return
        to, of = self._index(slots), self._index(rows)
        for name, value in state.items():
            dim = self._dims[name]
            chosen = value if _all_in_order(rows, value.shape[dim]) else value.index_select(dim, of)
            self._tensors[name].index_copy_(dim, to, chosen)

    def _index(self, slots: Sequence[int]) -> torch.Tensor:
        import torch

        device = next(iter(self._tensors.values())).device
        return torch.tensor(slots, dtype=torch.long, device=device)


def _all_in_order(rows: Sequence[int], batch: int) -> bool:
    return len(rows) == batch and all(i == row for i, row in enumerate(rows))
