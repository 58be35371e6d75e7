"""Callers for whom a server has no place stand in line: each knows its place, and only the head asks."""

from __future__ import annotations

import asyncio

from pipecat.tests.utils import SleepFrame

from pipecat_bots.connections.outage import Notice, all_busy
from pipecat_bots.connections.waiting_line import WaitingLine, line_to
from pipecat_bots.nvidia_stt import NVidiaWebSocketSTTService
from tests.bots.fakes import FakeAsr, through
from tests.virtual_time import virtual_time


async def test_places_are_given_in_order_and_kept() -> None:
    line = WaitingLine()
    assert [line.join(name) for name in ("a", "b", "c", "b")] == [1, 2, 3, 2]
    line.leave("a")
    line.leave("nobody")
    assert [line.place_of(name) for name in ("a", "b", "c")] == [0, 1, 2]


async def test_who_waits_is_told_when_the_line_moves() -> None:
    line = WaitingLine()
    line.join("a")
    line.join("b")
    moving = asyncio.create_task(line.move())
    await asyncio.sleep(0)
    line.leave("nobody")
    await asyncio.sleep(0)
    assert not moving.done()
    line.leave("a")
    await asyncio.wait_for(moving, 1)
    assert line.place_of("b") == 1


def caller(asr: FakeAsr, places: list[int]) -> NVidiaWebSocketSTTService:
    service = NVidiaWebSocketSTTService(url=asr.url)

    @service.event_handler("on_outage")
    async def outage(_: object, notice: Notice) -> None:
        places.append(notice.place)

    @service.event_handler("on_recovered")
    async def recovered(_: object) -> None:
        places.append(0)

    return service


@virtual_time
async def test_callers_are_served_in_the_order_in_which_they_came_and_learn_their_place() -> None:
    first: list[int] = []
    second: list[int] = []
    third: list[int] = []
    async with FakeAsr() as asr:
        asr.full = True
        async with asyncio.TaskGroup() as calls:
            calls.create_task(through([caller(asr, first)], [SleepFrame(20)]))
            await asyncio.sleep(1)
            calls.create_task(through([caller(asr, second)], [SleepFrame(5)]))
            await asyncio.sleep(1)
            calls.create_task(through([caller(asr, third)], [SleepFrame(18)]))
            await asyncio.sleep(2)
            asked = asr.connections
            await asyncio.sleep(10)
            asr.full = False
        assert asr.connections - asked < 10, "who is not the head asks as well"
    assert first == [1, 0]
    assert second == [2], "it hung up"
    assert third == [3, 2, 1, 0]
    assert not line_to(asr.url)._waiting


def test_a_place_is_said_in_words() -> None:
    assert all_busy(1) == (
        "All lines are busy at the moment. You are next in line. I am with you as soon as one is free."
    )
    assert "You are number 3 in line." in all_busy(3)
