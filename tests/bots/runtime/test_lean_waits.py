"""Waiting with a limit makes no task, and is else what it always was."""

from __future__ import annotations

import asyncio

import pytest

from pipecat_bots.runtime.lean_waits import wait_for, wait_in_place
from tests.virtual_time import virtual_time


@virtual_time
async def test_it_waits_in_the_callers_own_task() -> None:
    async def task() -> asyncio.Task[object] | None:
        return asyncio.current_task()

    assert await wait_for(task(), 1.0) is asyncio.current_task()
    assert await wait_for(task(), None) is asyncio.current_task()


@virtual_time
async def test_what_takes_too_long_is_cancelled() -> None:
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        await wait_for(never, 0.5)
    assert never.cancelled()
    assert asyncio.get_running_loop().time() == pytest.approx(0.5)


@virtual_time
async def test_without_time_only_what_is_done_has_a_result() -> None:
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    done.set_result(3)
    assert await wait_for(done, 0) == 3
    with pytest.raises(TimeoutError):
        await wait_for(asyncio.sleep(1), 0)


@virtual_time
async def test_whoever_waits_can_be_cancelled() -> None:
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(wait_for(never, 10))
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert never.cancelled()


@virtual_time
async def test_the_process_waits_like_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "wait_for", asyncio.wait_for)
    monkeypatch.setattr(asyncio.tasks, "wait_for", asyncio.tasks.wait_for)
    wait_in_place()

    async def task() -> asyncio.Task[object] | None:
        return asyncio.current_task()

    assert await asyncio.wait_for(task(), 1.0) is asyncio.current_task()
