from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.errors import ConfigurationError, Full
from nemotron_speech.protocol.slots import AlternatingSlots, SingleSlot, SlotLease, SlotPolicy


def test_a_single_slot_is_always_ready() -> None:
    policy: SlotPolicy = SingleSlot(3)
    assert policy.slots_needed == 4
    assert policy.acquire(0.0) == SlotLease(3, 0.0)
    policy.release(3, 1.0)
    assert policy.acquire(1.0) == SlotLease(3, 0.0)


def test_alternating_slots_take_turns_and_rest_two_seconds_after_use() -> None:
    policy: SlotPolicy = AlternatingSlots()
    assert policy.slots_needed == 2
    assert policy.acquire(10.0) == SlotLease(0, 0.0)
    policy.release(0, 11.0)
    assert policy.acquire(11.0) == SlotLease(1, 0.0)
    policy.release(1, 11.5)
    assert policy.acquire(11.5) == SlotLease(0, 1.5)
    policy.release(0, 20.0)
    assert policy.acquire(20.0) == SlotLease(1, 0.0)


def test_a_slot_in_use_is_passed_over_and_none_left_is_an_answer() -> None:
    policy = AlternatingSlots(count=2, guard_s=0.0)
    assert {policy.acquire(0.0).slot, policy.acquire(0.0).slot} == {0, 1}
    with pytest.raises(Full):
        policy.acquire(0.0)
    policy.release(1, 5.0)
    assert policy.acquire(5.0) == SlotLease(1, 0.0)


def test_releasing_twice_does_not_prolong_the_rest() -> None:
    policy = AlternatingSlots()
    policy.acquire(0.0)
    policy.release(0, 0.0)
    policy.release(0, 100.0)
    policy.acquire(0.5)
    assert policy.acquire(0.5) == SlotLease(0, 1.5)


def test_settings_that_cannot_work_are_refused() -> None:
    for make in (lambda: SingleSlot(-1), lambda: AlternatingSlots(1), lambda: AlternatingSlots(2, -0.1)):
        with pytest.raises(ConfigurationError):
            make()


@given(st.integers(2, 4), st.floats(0, 5), st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=40))
def test_a_slot_is_never_lent_twice_nor_used_within_its_guard(
    count: int, guard_s: float, steps: list[tuple[float, bool]]
) -> None:
    policy = AlternatingSlots(count, guard_s)
    now, held, rested_at = 0.0, [], {}
    for passed, acquires in steps:
        now += passed
        if acquires and len(held) < count:
            lease = policy.acquire(now)
            assert lease.slot not in held
            assert now + lease.wait_s >= rested_at.get(lease.slot, now) - 1e-9
            held.append(lease.slot)
        elif held:
            slot = held.pop(0)
            policy.release(slot, now)
            rested_at[slot] = now + guard_s
