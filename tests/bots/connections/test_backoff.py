"""Waits between attempts on a server that is away."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_bots.connections.backoff import AWAITED_WAIT_S, JITTER, LONGEST_WAIT_S, Backoff, OutagePatience
from tests.virtual_time import virtual_time


def test_waits_grow_to_a_limit_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(lambda: 0.5)
    assert [backoff.wait_s(False) for _ in range(6)] == [0.25, 0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.succeeded()
    assert backoff.wait_s(False) == 0.25


@given(st.lists(st.booleans(), max_size=40))
def test_whoever_is_waited_for_is_tried_every_300_ms_and_nobody_is_forgotten(awaited: list[bool]) -> None:
    backoff = Backoff()
    for is_awaited in awaited:
        wait_s = backoff.wait_s(is_awaited)
        assert 0.1 < wait_s <= (0.3 if is_awaited else LONGEST_WAIT_S * (1 + JITTER))


def test_bots_that_lost_a_server_together_do_not_call_it_together() -> None:
    waits = set()
    for _ in range(20):
        backoff = Backoff()
        waits.add(round(sum(backoff.wait_s(False) for _ in range(4)), 6))
    assert len(waits) == 20


@virtual_time
async def test_patience_is_counted_from_the_first_failure() -> None:
    patience, loop = OutagePatience(3.0), asyncio.get_running_loop()
    began = loop.time()
    attempts = 1
    while await patience.again():
        attempts += 1
    assert loop.time() - began == pytest.approx(3.0)
    assert attempts == pytest.approx(3.0 / AWAITED_WAIT_S + 1)
    assert not await patience.again()
