"""A batch that fails costs only what made it fail."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.engines.shared.isolation import BatchLimit, all_or_each
from nemotron_speech.errors import EngineLost


@given(
    items=st.lists(st.integers(), unique=True, max_size=30),
    bad=st.sets(st.integers()),
    most=st.integers(1, 12),
    room=st.integers(1, 12),
)
def test_every_item_is_acted_on_once_or_fails_for_its_own_fault(
    items: list[int], bad: set[int], most: int, room: int
) -> None:
    """Some items are bad, and memory holds `room` of them at once."""
    done: list[int] = []
    released: list[int] = []
    tried: list[int] = []

    def act(batch: list[int]) -> None:
        tried.append(len(batch))
        if len(batch) > room:
            raise RuntimeError("CUDA out of memory")
        if bad.intersection(batch):
            raise ValueError("a bad one")
        done.extend(batch)

    limit: BatchLimit[int] = BatchLimit(most, lambda: released.append(limit.now))
    failed = [item for item, _ in limit.run(act, items)]
    assert sorted(failed) == sorted(bad.intersection(items))
    assert sorted(done + failed) == sorted(items)
    assert max(tried, default=0) <= most
    assert limit.now == min([most, *released])
    tried.clear()
    limit.run(act, items)
    if released:
        assert max(tried) <= room, "what memory did not hold once is tried again"
    assert len(released) <= 4, "each time the limit is halved"


@pytest.mark.parametrize(
    "error",
    [
        "CUDA out of memory. Tried to allocate 20.00 MiB",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA failed with error out of memory",
    ],
)
def test_full_memory_is_known_by_all_its_names(error: str) -> None:
    done: list[int] = []

    def act(batch: list[int]) -> None:
        if len(batch) > 2:
            raise RuntimeError(error)
        done.extend(batch)

    limit: BatchLimit[int] = BatchLimit(8)
    assert limit.run(act, range(8)) == []
    assert (sorted(done), limit.now) == (list(range(8)), 2)


@pytest.mark.parametrize(
    "error", ["CUDA error: device-side assert triggered", "an illegal memory access was encountered"]
)
def test_a_lost_gpu_fails_everything_at_once_and_is_not_asked_again(error: str) -> None:
    tried: list[int] = []

    def act(batch: Sequence[int]) -> None:
        tried.append(len(batch))
        raise RuntimeError(f"{error}\nCUDA kernel errors might be reported later")

    failed = BatchLimit[int](4).run(act, range(10))
    assert [item for item, _ in failed] == list(range(10))
    assert list(all_or_each(act, range(3))) == [0, 1, 2]
    assert tried == [4, 3]
    assert all(type(each) is EngineLost and str(each) == f"the model is lost: {error}" for _, each in failed)
