from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.errors import ConfigurationError, Full
from pipecat_bots.llm.cache.slots import AlternatingSlots, OwnSlot, SharedSlots, SlotLease, SlotPolicy


def test_a_conversation_keeps_its_slot() -> None:
    policy: SlotPolicy = OwnSlot()
    assert policy.acquire(0.0) == SlotLease(0, 0.0)
    policy.release(0, 1.0)
    assert policy.acquire(1.0) == SlotLease(0, 0.0)
    assert policy.keeps_one_cache


def test_conversations_have_a_slot_each_until_there_are_no_more() -> None:
    server = SharedSlots()
    first, second, third = OwnSlot(server), OwnSlot(server), OwnSlot(server)
    first.learn(2)
    assert [policy.acquire(0.0).slot for policy in (first, second, third)] == [0, 1, None]
    assert not third.keeps_one_cache
    first.leave()
    first.leave()
    assert [policy.acquire(1.0).slot for policy in (second, third, first)] == [1, 0, None]


def test_as_long_as_a_server_has_not_said_how_many_slots_it_has_one_is_known() -> None:
    server = SharedSlots()
    first, second = OwnSlot(server), OwnSlot(server)
    assert [policy.acquire(0.0).slot for policy in (first, second)] == [0, None]
    second.learn(4)
    assert second.acquire(0.0).slot == 1


def test_alternating_slots_take_turns_and_rest_two_seconds_after_use() -> None:
    policy: SlotPolicy = AlternatingSlots()
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


def test_a_server_with_one_slot_is_asked_for_that_one_at_once() -> None:
    policy = AlternatingSlots()
    policy.learn(1)
    for now in (0.0, 0.1):
        assert policy.acquire(now) == SlotLease(0)
        policy.release(0, now)


def test_releasing_twice_does_not_prolong_the_rest() -> None:
    policy = AlternatingSlots()
    policy.acquire(0.0)
    policy.release(0, 0.0)
    policy.release(0, 100.0)
    policy.acquire(0.5)
    assert policy.acquire(0.5) == SlotLease(0, 1.5)


def test_settings_that_cannot_work_are_refused() -> None:
    for make in (lambda: AlternatingSlots(1), lambda: AlternatingSlots(2, -0.1)):
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
            assert lease.slot is not None
            assert lease.slot not in held
            assert now + lease.wait_s >= rested_at.get(lease.slot, now) - 1e-9
            held.append(lease.slot)
        elif held:
            slot = held.pop(0)
            policy.release(slot, now)
            rested_at[slot] = now + guard_s
