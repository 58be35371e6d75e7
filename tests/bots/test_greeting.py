"""Every caller is greeted once: pages when they are ready, others soon, and nobody without a voice."""

from __future__ import annotations

import asyncio

from pipecat_bots.greeting import CLIENT_READY_S, Greeting, Stage
from tests.virtual_time import virtual_time


class Bot:
    """Counts its greetings, and when they were."""

    def __init__(self) -> None:
        self.voice = True
        self.greeted_at: list[float] = []
        self.arrived_at: list[float] = []
        self.greeting = Greeting(self._say, lambda: self.voice, self._arrive)

    async def _arrive(self) -> None:
        self.arrived_at.append(asyncio.get_running_loop().time())

    async def _say(self) -> None:
        self.greeted_at.append(asyncio.get_running_loop().time())


@virtual_time
async def test_a_telephone_is_greeted_at_once() -> None:
    bot = Bot()
    await bot.greeting.connected(is_page=False)
    assert bot.greeted_at == [0]


@virtual_time
async def test_a_page_is_greeted_when_it_is_ready_and_not_again() -> None:
    bot = Bot()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bot.greeting.connected(is_page=True))
        await asyncio.sleep(0.2)
        assert not bot.greeting.heard
        await bot.greeting.ready()
    await bot.greeting.ready()
    assert bot.greeted_at == bot.arrived_at == [0.2]


@virtual_time
async def test_who_never_gets_ready_is_greeted_all_the_same() -> None:
    bot = Bot()
    await bot.greeting.connected(is_page=True)
    assert bot.greeted_at == [CLIENT_READY_S]
    await bot.greeting.ready()
    await bot.greeting.connected(is_page=True)
    assert len(bot.greeted_at) == 1


@virtual_time
async def test_a_page_that_was_ready_before_it_counts_as_connected_is_greeted_once() -> None:
    bot = Bot()
    await bot.greeting.ready()
    await bot.greeting.connected(is_page=True)
    assert bot.greeted_at == [0]


@virtual_time
async def test_without_a_voice_the_greeting_waits_for_one_and_for_a_caller() -> None:
    bot = Bot()
    bot.voice = False
    await bot.greeting.services_changed()
    assert bot.greeting.stage is Stage.NOBODY
    await bot.greeting.connected(is_page=False)
    assert bot.greeting.heard
    assert bot.greeted_at == []
    bot.voice = True
    await bot.greeting.services_changed()
    await bot.greeting.services_changed()
    assert len(bot.greeted_at) == 1
