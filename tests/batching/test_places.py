"""The places of an engine: taken, full, left, and found again by whoever calls back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nemotron_speech.batching.places import GIVE_BACK_S, Places
from nemotron_speech.errors import Full
from tests.virtual_time import virtual_time


class Holder:
    """Somebody with a place, who can say that it goes before it gives the place back."""

    def __init__(self) -> None:
        self.leaving = False
        self.may_end = asyncio.Event()

    @asynccontextmanager
    async def in_(self, places: Places) -> AsyncIterator[None]:
        async with places.one(lambda: self.leaving):
            yield

    async def stay(self, places: Places) -> None:
        async with self.in_(places):
            await self.may_end.wait()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@virtual_time
async def test_a_place_is_refused_at_once_while_everybody_stays() -> None:
    places = Places(lambda: 1)
    began = asyncio.get_running_loop().time()
    async with Holder().in_(places):
        with pytest.raises(Full, match="all 1 places"):
            async with Holder().in_(places):
                pass
    assert asyncio.get_running_loop().time() == began
    assert len(places) == 0


@virtual_time
async def test_who_calls_back_waits_for_the_place_that_is_being_given_back() -> None:
    places, first, second = Places(lambda: 1), Holder(), Holder()
    one = asyncio.create_task(first.stay(places))
    await settled()
    first.leaving = True
    two = asyncio.create_task(second.stay(places))
    await settled()
    assert not two.done()
    assert len(places) == 1
    first.may_end.set()
    await one
    assert len(places) == 1, "the place went from hand to hand"
    with pytest.raises(Full):
        await Holder().stay(places)
    second.may_end.set()
    await two
    assert len(places) == 0


@virtual_time
async def test_no_more_wait_than_places_are_being_given_back() -> None:
    places, first = Places(lambda: 2), Holder()
    one = asyncio.create_task(first.stay(places))
    async with Holder().in_(places):
        await settled()
        first.leaving = True
        waiting = asyncio.create_task(Holder().stay(places))
        await settled()
        with pytest.raises(Full):
            await Holder().stay(places)
        waiting.cancel()
        first.may_end.set()
        await one
        assert len(places) == 1


@virtual_time
async def test_a_place_that_is_not_given_back_in_time_is_refused_after_all() -> None:
    places, first = Places(lambda: 1), Holder()
    first.leaving = True
    one = asyncio.create_task(first.stay(places))
    await settled()
    began = asyncio.get_running_loop().time()
    with pytest.raises(Full):
        await Holder().stay(places)
    assert asyncio.get_running_loop().time() - began == pytest.approx(GIVE_BACK_S)
    first.may_end.set()
    await one
    assert len(places) == 0


@virtual_time
async def test_who_stops_waiting_the_moment_it_gets_the_place_gives_it_on() -> None:
    places, first, third = Places(lambda: 1), Holder(), Holder()
    first.leaving = True
    one = asyncio.create_task(first.stay(places))
    await settled()
    two = asyncio.create_task(Holder().stay(places))
    await settled()
    first.may_end.set()
    one.add_done_callback(lambda _: two.cancel())
    await asyncio.wait([one, two])
    assert len(places) == 0
    third.may_end.set()
    await third.stay(places)
