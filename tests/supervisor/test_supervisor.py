"""The supervisor on virtual time, with scripted processes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from nemotron_speech.supervisor.supervisor import (
    RestartDelays,
    ServerSpec,
    ServerState,
    StartFailed,
    Supervisor,
    describe_exit,
)
from tests.supervisor.fakes import Notes, Script, World, spec
from tests.virtual_time import virtual_time


def supervise(world: World, specs: Sequence[ServerSpec], notes: Notes | None = None) -> Supervisor:
    return Supervisor(specs, world.start, world.probe, notes or Notes())


@virtual_time
async def test_servers_start_together_and_are_ready_when_they_say_so() -> None:
    world = World(asr=[Script(healthy_after=3)], tts=[Script(healthy_after=1)])
    notes = Notes()
    async with supervise(world, [spec("asr"), spec("tts")], notes).running() as supervisor:
        await supervisor.ready()
        assert [start for start, _ in world.starts] == [0, 0]
        ready = {name: at for at, name, state in notes.states if state is ServerState.READY}
    assert 3 <= ready["asr"] < 3.5
    assert 1 <= ready["tts"] < 1.5


@virtual_time
async def test_leaving_stops_everything_with_sigterm() -> None:
    world = World(asr=[Script()], tts=[Script()])
    async with supervise(world, [spec("asr"), spec("tts")]).running() as supervisor:
        await supervisor.ready()
    assert world.alive == []
    assert [p.signals for p in (world.runs["asr"] + world.runs["tts"])] == [["TERM"], ["TERM"]]
    assert {status.state for status in supervisor.statuses} == {ServerState.STOPPED}


@virtual_time
async def test_a_server_that_ignores_sigterm_is_killed_after_its_time() -> None:
    world = World(asr=[Script(stop_takes=None)])
    loop = asyncio.get_running_loop()
    async with supervise(world, [spec("asr", stop_timeout=7.0)]).running() as supervisor:
        await supervisor.ready()
        left = loop.time()
    assert loop.time() - left == pytest.approx(7.0)
    assert world.runs["asr"][0].signals == ["TERM", "KILL"]


@virtual_time
async def test_hurry_kills_what_is_still_stopping() -> None:
    world = World(asr=[Script(stop_takes=None)])
    loop = asyncio.get_running_loop()
    async with supervise(world, [spec("asr")]).running() as supervisor:
        await supervisor.ready()
        left = loop.time()
        loop.call_later(1, supervisor.hurry)
    assert loop.time() - left == pytest.approx(1.0)
    assert world.runs["asr"][0].signals == ["TERM", "KILL"]


@virtual_time
async def test_callers_of_a_server_stop_before_it() -> None:
    world = World(asr=[Script(stop_takes=1)], bot=[Script(stop_takes=2)])
    notes = Notes()
    async with supervise(world, [spec("asr"), spec("bot", stage=1)], notes).running() as supervisor:
        await supervisor.ready()
    stopping = [(name, state) for _, name, state in notes.states[-4:]]
    assert stopping == [
        ("bot", ServerState.STOPPING),
        ("bot", ServerState.STOPPED),
        ("asr", ServerState.STOPPING),
        ("asr", ServerState.STOPPED),
    ]


@virtual_time
async def test_a_crashed_server_is_started_again_with_a_growing_pause() -> None:
    world = World(asr=[Script(exits_after=2)])
    notes = Notes()
    async with supervise(world, [spec("asr")], notes).running() as supervisor:
        await supervisor.ready()
        await asyncio.sleep(60)
    starts = [at for at, _ in world.starts]
    pauses = [later - before - 2 for before, later in itertools.pairwise(starts)]
    assert pauses[:6] == pytest.approx([0.5, 1, 2, 4, 8, 10])


@virtual_time
async def test_a_healthy_minute_forgets_earlier_crashes() -> None:
    world = World(asr=[*[Script(exits_after=2)] * 3, Script(exits_after=100), Script()])
    async with supervise(world, [spec("asr")]).running() as supervisor:
        await asyncio.sleep(200)
        starts = [at for at, _ in world.starts]
    assert starts[4] - starts[3] == pytest.approx(100.5)
    assert supervisor.statuses[0].restarts == 4


@virtual_time
async def test_a_crash_loop_is_said_and_still_tried() -> None:
    world = World(
        asr=[Script(exits_after=0.2, says=("no such model",)), *[Script(exits_after=0.2)] * 3, Script()]
    )
    notes = Notes()
    async with supervise(world, [spec("asr")], notes).running() as supervisor:
        with pytest.raises(StartFailed, match="ended 3 times in a row") as failure:
            await supervisor.ready()
        await asyncio.sleep(30)
        assert supervisor.statuses[0].state is ServerState.READY
    assert failure.value.last_words == ("no such model",)
    assert ServerState.CRASH_LOOP in {state for _, _, state in notes.states}


@virtual_time
async def test_a_refused_configuration_is_not_tried_again() -> None:
    world = World(asr=[Script(exits_after=0.5, code=2, says=("error: no recogniser is called 'x'",))])
    async with supervise(world, [spec("asr")]).running() as supervisor:
        with pytest.raises(StartFailed, match="exit code 2") as failure:
            await supervisor.ready()
        await asyncio.sleep(100)
    assert len(world.starts) == 1
    assert "no recogniser" in failure.value.last_words[0]
    assert supervisor.statuses[0].state is ServerState.FAILED


@virtual_time
async def test_a_server_that_says_it_cannot_serve_is_ended_and_not_tried_again() -> None:
    world = World(asr=[Script(failed="the model file is broken")])
    async with supervise(world, [spec("asr")]).running() as supervisor:
        with pytest.raises(StartFailed, match="the model file is broken"):
            await supervisor.ready()
        await asyncio.sleep(1)
        assert world.alive == []
    assert len(world.starts) == 1


@virtual_time
async def test_exit_code_2_of_a_server_that_was_ready_is_a_crash_like_any_other() -> None:
    world = World(asr=[Script(exits_after=5, code=2), Script()])
    async with supervise(world, [spec("asr")]).running() as supervisor:
        await supervisor.ready()
        await asyncio.sleep(10)
        assert supervisor.statuses[0].state is ServerState.READY


@virtual_time
async def test_a_server_that_never_gets_ready_fails_the_start_after_its_time() -> None:
    world = World(asr=[Script(healthy_after=None)])
    async with supervise(world, [spec("asr", ready_timeout=20.0)]).running() as supervisor:
        with pytest.raises(StartFailed, match="not ready after 20 s"):
            await supervisor.ready()
        assert asyncio.get_running_loop().time() == pytest.approx(20, abs=0.1)


@virtual_time
async def test_a_hung_server_is_replaced() -> None:
    world = World(asr=[Script(silent_after=10, stop_takes=None), Script()])
    async with supervise(world, [spec("asr")]).running() as supervisor:
        await supervisor.ready()
        await asyncio.sleep(90)
        assert supervisor.statuses[0].state is ServerState.READY
        assert supervisor.statuses[0].restarts == 1
    assert world.runs["asr"][0].signals == ["TERM", "KILL"]


@virtual_time
async def test_a_server_that_says_it_can_serve_no_longer_is_replaced() -> None:
    world = World(asr=[Script(failed="the model is lost", failed_after=10), Script()])
    notes = Notes()
    async with supervise(world, [spec("asr")], notes).running() as supervisor:
        await supervisor.ready()
        await asyncio.sleep(30)
        assert supervisor.statuses[0].state is ServerState.READY
    assert len(world.starts) == 2
    assert "can serve no longer: the model is lost" in notes.reasons


@virtual_time
async def test_a_server_that_is_silent_for_a_moment_is_left_alone() -> None:
    world = World(asr=[Script()])
    real_probe = world.probe

    async def sometimes_deaf(url: str):
        now = asyncio.get_running_loop().time()
        return await (World(asr=[Script()]).probe(url) if 10 < now < 30 else real_probe(url))

    world.probe = sometimes_deaf  # type: ignore[method-assign]
    async with supervise(world, [spec("asr")]).running() as supervisor:
        await supervisor.ready()
        await asyncio.sleep(100)
    assert len(world.starts) == 1


@virtual_time
async def test_one_crashing_server_leaves_the_others_alone() -> None:
    world = World(asr=[Script(exits_after=1)], tts=[Script()])
    async with supervise(world, [spec("asr"), spec("tts")]).running():
        await asyncio.sleep(100)
    assert len(world.runs["tts"]) == 1
    assert len(world.runs["asr"]) > 5


@virtual_time
async def test_a_cancelled_caller_still_stops_everything() -> None:
    world = World(asr=[Script(stop_takes=3)])

    async def use() -> None:
        async with supervise(world, [spec("asr")]).running():
            await asyncio.sleep(1000)

    task = asyncio.create_task(use())
    await asyncio.sleep(5)
    task.cancel()
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert world.alive == []


@virtual_time
async def test_stopping_during_a_pause_does_not_start_the_server_again() -> None:
    world = World(asr=[Script(exits_after=0.1)])
    async with supervise(world, [spec("asr")]).running():
        await asyncio.sleep(0.3)
    await asyncio.sleep(60)
    assert len(world.starts) == 1


def test_back_off_doubles_up_to_its_ceiling() -> None:
    assert [RestartDelays().delay_s(n) for n in (1, 2, 3, 5, 6, 1000)] == [0.5, 1, 2, 8, 10, 10]


@pytest.mark.parametrize(
    ("code", "words"),
    [(1, "ended with exit code 1"), (-9, "was killed by signal SIGKILL"), (-99, "was killed by signal 99")],
)
def test_how_a_process_ended_is_said_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


@virtual_time
async def test_a_port_that_another_process_answers_on_is_not_ready() -> None:
    world = World(asr=[Script(healthy_after=0, answered_by=77)])
    async with supervise(world, [spec("asr")]).running() as supervisor:
        with pytest.raises(StartFailed, match="asr does not have port 1: pid 77 answers there"):
            await supervisor.ready()
        assert supervisor.statuses[0].state is ServerState.FAILED
    assert len(world.runs["asr"]) == 1


@virtual_time
async def test_a_server_whose_port_another_process_has_taken_over_is_started_again() -> None:
    world = World(asr=[Script(), Script()])
    notes = Notes()
    async with supervise(world, [spec("asr")], notes).running() as supervisor:
        await supervisor.ready()
        world.runs["asr"][0].script.answered_by = 77
        await asyncio.sleep(30)
        assert supervisor.statuses[0].state is ServerState.READY
    assert len(world.runs["asr"]) == 2
    assert "does not have port 1: pid 77 answers there" in notes.reasons
