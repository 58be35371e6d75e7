from __future__ import annotations

import asyncio

import pytest

from nemotron_speech.errors import Full
from nemotron_speech.responder.slots import MAX_WAITING, Slot, SlotPool


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Holder:
    """A task that holds a slot until it is told to let go."""

    def __init__(self, pool: SlotPool, wanted: int | None = None, prompt: tuple[str, ...] = ()) -> None:
        self.slot: int | None = None
        self.let_go = asyncio.Event()
        self.task = asyncio.create_task(self._hold(pool, wanted, prompt))

    async def _hold(self, pool: SlotPool, wanted: int | None, prompt: tuple[str, ...]) -> None:
        async with pool.use(wanted, prompt) as slot:
            self.slot = slot.id
            await self.let_go.wait()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def test_requests_for_one_slot_are_served_in_order() -> None:
    pool = SlotPool(2)
    holders = [Holder(pool, 0) for _ in range(3)]
    for number, holder in enumerate(holders):
        await settled()
        assert [other.slot for other in holders] == [0] * (number + 1) + [None] * (2 - number)
        holder.let_go.set()
    await settled()
    assert (pool.busy, pool.waiting) == (0, 0)


async def test_a_free_slot_serves_while_another_is_waited_for() -> None:
    pool = SlotPool(2)
    first, waiting = Holder(pool, 0), Holder(pool, 0)
    await settled()
    other = Holder(pool, None)
    await settled()
    assert (first.slot, waiting.slot, other.slot) == (0, None, 1)
    for holder in (first, waiting, other):
        await holder.stop()
    assert (pool.busy, pool.waiting) == (0, 0)


async def test_cancelling_a_holder_frees_its_slot_at_once() -> None:
    pool = SlotPool(1)
    holder, waiting = Holder(pool), Holder(pool)
    await settled()
    await holder.stop()
    await settled()
    assert waiting.slot == 0
    await waiting.stop()
    assert pool.busy == 0


async def test_a_waiter_that_left_when_its_slot_came_does_not_keep_it() -> None:
    for steps in range(4):
        pool = SlotPool(1)
        holder, leaving = Holder(pool), Holder(pool)
        await settled()
        holder.let_go.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        leaving.task.cancel()
        await settled()
        assert (pool.busy, pool.waiting) == (0, 0), steps


async def test_a_slot_given_back_just_after_a_waiter_was_cancelled_goes_to_the_next() -> None:
    pool = SlotPool(1)
    holder, leaving, patient = Holder(pool), Holder(pool), Holder(pool)
    await settled()
    holder.task.cancel()
    leaving.task.cancel()
    await settled()
    assert patient.slot == 0
    await patient.stop()
    holder, leaving, patient = Holder(pool), Holder(pool), Holder(pool)
    await settled()
    leaving.task.cancel()
    holder.task.cancel()
    await settled()
    assert patient.slot == 0
    await patient.stop()
    assert (pool.busy, pool.waiting) == (0, 0)


async def test_too_many_waiters_are_refused() -> None:
    pool = SlotPool(1)
    holders = [Holder(pool) for _ in range(MAX_WAITING + 1)]
    await settled()
    with pytest.raises(Full):
        async with pool.use(None, ()):
            pass
    for holder in holders:
        holder.task.cancel()
    await asyncio.wait([holder.task for holder in holders])
    assert (pool.busy, pool.waiting) == (0, 0)


async def test_a_conversation_returns_to_the_slot_that_holds_it() -> None:
    pool = SlotPool(2)
    pool.slots[1].cache = ["a", "b", "c"]
    async with pool.use(None, ["a", "b", "c", "d"]) as slot:
        assert slot.id == 1
    async with pool.use(None, ["x", "y"]) as slot:
        assert slot.id == 0


def test_a_continuation_evaluates_one_token() -> None:
    slot = Slot(0)
    assert slot.begin(1, ["a", "b"], True) == 0
    slot.decode("c")
    slot.decode("d")
    slot.end()
    assert slot.begin(2, ["a", "b", "c", "d"], True) == 3


def test_a_prompt_that_is_all_in_the_cache_evaluates_its_last_token() -> None:
    slot = Slot(0)
    slot.begin(1, ["a", "b", "c"], True)
    slot.end()
    assert slot.begin(2, ["a", "b", "c"], True) == 2
    slot.end()
    assert slot.begin(3, ["a", "b", "c"], False) == 0
