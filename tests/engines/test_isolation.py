"""A batch that fails costs only what made it fail."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.engines.isolation import BatchLimit


class TooMuch(Exception):
    """Memory is full."""


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
            raise TooMuch
        if bad.intersection(batch):
            raise ValueError("a bad one")
        done.extend(batch)

    limit: BatchLimit[int] = BatchLimit(
        most, lambda error: isinstance(error, TooMuch), lambda: released.append(limit.now)
    )
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
