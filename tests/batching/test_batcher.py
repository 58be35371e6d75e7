"""The step loop: every work item taken is applied once, to the seat it came from, whatever else happens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemotron_speech.batching.batcher import Batcher
from nemotron_speech.errors import EngineError
from tests.virtual_time import virtual_time

Work = tuple[str, int]
P = ParamSpec("P")
R = TypeVar("R")
PATIENCE_S = 10.0


class Seat:
    """A caller with numbered work; it remembers what was applied to it."""

    def __init__(self, name: str, amount: int = 0, due: float = 0.0) -> None:
        self.name = name
        self.left = list(range(amount))
        self.taken: list[int] = []
        self.applied: list[object] = []
        self.urgency = due
        self.on_apply: Callable[[], None] = lambda: None

    def ready(self) -> bool:
        return bool(self.left)

    def due(self) -> float:
        return self.urgency

    def take(self) -> Work:
        self.taken.append(self.left.pop(0))
        return self.name, self.taken[-1]

    def apply(self, outcome: object) -> None:
        self.applied.append(outcome)
        self.on_apply()


class Model:
    """A step that answers each item with itself, and stands before a gate while the test wants it to."""

    def __init__(self) -> None:
        self.batches: list[list[Work]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.inside = threading.Event()
        self.fail: Callable[[Sequence[Work]], bool] = lambda work: False
        self.limit: int | None = None

    def step(self, work: Sequence[Work]) -> list[Work | EngineError]:
        self.batches.append(list(work))
        self.inside.set()
        assert self.gate.wait(PATIENCE_S)
        self.inside.clear()
        if self.fail(work):
            raise RuntimeError("the model broke")
        return list(work)


@asynccontextmanager
async def running(model: Model, max_batch: int = 4) -> AsyncIterator[Batcher[Work, Work]]:
    batcher: Batcher[Work, Work] = Batcher(model.step, lambda: model.limit or max_batch)
    loop = asyncio.create_task(batcher.run())
    try:
        yield batcher
    finally:
        model.gate.set()
        loop.cancel()
        await asyncio.wait([loop])
        batcher.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


@given(
    amounts=st.lists(st.integers(0, 6), min_size=1, max_size=8),
    max_batch=st.integers(1, 5),
    leaving=st.sets(st.integers(0, 7)),
    failing=st.sets(st.integers(0, 20), max_size=3),
)
@settings(max_examples=60)
def test_every_work_item_taken_is_applied_once_to_its_owner(
    amounts: list[int], max_batch: int, leaving: set[int], failing: set[int]
) -> None:
    async def scenario() -> None:
        model = Model()
        model.fail = lambda work: len(model.batches) in failing
        seats = [Seat(str(i), amount) for i, amount in enumerate(amounts)]
        stay = [seat for i, seat in enumerate(seats) if i not in leaving]
        async with running(model, max_batch) as batcher:
            for seat in seats:
                batcher.notify(seat)
            for seat in seats:
                if seat not in stay:
                    await asyncio.sleep(0)
                    batcher.leave(seat)
            await until(lambda: all(not s.left and len(s.applied) == len(s.taken) for s in stay))
        assert all(len(batch) <= max_batch for batch in model.batches)
        for seat in seats:
            for number, outcome in zip(seat.taken, seat.applied, strict=seat in stay):
                assert isinstance(outcome, EngineError) or outcome == (seat.name, number)
        given = [item for batch in model.batches for item in batch]
        assert len(given) == len(set(given))

    asyncio.run(scenario())


async def test_a_seat_that_leaves_while_its_step_runs_is_not_told() -> None:
    model = Model()
    model.gate.clear()
    leaver, stayer = Seat("leaver", 3), Seat("stayer", 3)
    async with running(model) as batcher:
        batcher.notify(leaver)
        batcher.notify(stayer)
        await until(model.inside.is_set)
        batcher.leave(leaver)
        model.gate.set()
        await until(lambda: len(stayer.applied) == 3)
    assert leaver.applied == []
    assert sum(name == "leaver" for batch in model.batches for name, _ in batch) == 1


async def test_a_seat_made_to_leave_by_another_is_not_told_either() -> None:
    model = Model()
    one, two = Seat("one", 1), Seat("two", 5)
    async with running(model) as batcher:
        one.on_apply = lambda: batcher.leave(two)
        batcher.notify(one)
        batcher.notify(two)
        await until(lambda: one.applied)
        await asyncio.sleep(0.02)
    assert two.applied == []


async def test_a_seat_that_is_ready_no_longer_is_not_stepped() -> None:
    model = Model()
    model.gate.clear()
    seat = Seat("seat", 2)
    seat.on_apply = seat.left.clear
    async with running(model) as batcher:
        batcher.notify(seat)
        await until(model.inside.is_set)
        batcher.notify(seat)
        model.gate.set()
        await until(lambda: seat.applied)
        await asyncio.sleep(0.02)
    assert len(model.batches) == 1


async def test_a_failing_step_costs_only_its_batch_and_the_loop_goes_on() -> None:
    model = Model()
    model.fail = lambda work: ("bad", 0) in work
    bad, good = Seat("bad", 1), Seat("good", 3, due=1.0)
    async with running(model, max_batch=1) as batcher:
        batcher.notify(bad)
        batcher.notify(good)
        await until(lambda: len(good.applied) == 3)
    assert [str(outcome) for outcome in bad.applied] == ["the model failed: the model broke"]
    assert isinstance(bad.applied[0], EngineError)
    assert good.applied == [("good", 0), ("good", 1), ("good", 2)]


async def test_a_step_with_the_wrong_number_of_answers_is_an_engine_error() -> None:
    batcher: Batcher[Work, Work] = Batcher(lambda work: [], lambda: 4)
    loop = asyncio.create_task(batcher.run())
    seat = Seat("seat", 1)
    batcher.notify(seat)
    await until(lambda: seat.applied)
    assert "0 of 1" in str(seat.applied[0])
    loop.cancel()
    batcher.stop()


async def test_the_most_urgent_go_first_and_equals_take_turns() -> None:
    model = Model()
    model.gate.clear()
    first = Seat("first", 1)
    turns = [Seat(name, 3) for name in "abc"]
    urgent = Seat("urgent", 1, due=-1.0)
    async with running(model, max_batch=1) as batcher:
        batcher.notify(first)
        await until(model.inside.is_set)
        for seat in (*turns, urgent):
            batcher.notify(seat)
        model.gate.set()
        await until(lambda: all(len(seat.applied) == 3 for seat in turns))
    order = [name for batch in model.batches for name, _ in batch]
    assert order == ["first", "urgent", *"abcabcabc"]


async def test_a_model_that_takes_fewer_is_given_fewer_from_the_next_step_on() -> None:
    model = Model()
    model.gate.clear()
    seats = [Seat(name, 2) for name in "abcd"]
    async with running(model) as batcher:
        for seat in seats:
            batcher.notify(seat)
        await until(model.inside.is_set)
        model.limit = 2
        model.gate.set()
        await until(lambda: all(len(seat.applied) == 2 for seat in seats))
    assert [len(batch) for batch in model.batches] == [4, 2, 2]


async def test_work_arriving_during_a_step_joins_the_next_one() -> None:
    model = Model()
    model.gate.clear()
    one, two, three = (Seat(name, 1) for name in ("one", "two", "three"))
    async with running(model) as batcher:
        batcher.notify(one)
        await until(model.inside.is_set)
        batcher.notify(two)
        batcher.notify(three)
        model.gate.set()
        await until(lambda: three.applied)
    assert model.batches == [[("one", 0)], [("two", 0), ("three", 0)]]


async def test_what_is_opened_for_a_caller_that_has_gone_is_discarded() -> None:
    model, discarded = Model(), []
    started, go_on = threading.Event(), threading.Event()

    def make() -> str:
        started.set()
        assert go_on.wait(PATIENCE_S)
        return "stream"

    async with running(model) as batcher:
        opening = asyncio.create_task(batcher.open(make, discarded.append))
        await until(started.is_set)
        never = asyncio.create_task(batcher.open(make, discarded.append))
        await asyncio.sleep(0)
        opening.cancel()
        never.cancel()
        await asyncio.wait([opening, never])
        go_on.set()
        await batcher.call(lambda: None)
    assert discarded == ["stream"]


async def test_calls_never_run_during_a_step() -> None:
    model = Model()
    seat = Seat("seat", 50)
    overlaps: list[bool] = []
    async with running(model) as batcher:
        batcher.notify(seat)
        while seat.left:
            await batcher.call(lambda: overlaps.append(model.inside.is_set()))
    assert overlaps
    assert not any(overlaps)


async def test_an_error_of_a_call_reaches_its_caller() -> None:
    async with running(Model()) as batcher:
        with pytest.raises(ZeroDivisionError):
            await batcher.call(lambda: 1 // 0)
        batcher.post(lambda: 1 // 0)
        assert await batcher.call(lambda: "still here") == "still here"


class Inline(Batcher[Work, Work]):
    """Steps on the loop's own thread, so that a virtual clock may drive it."""

    async def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)


@virtual_time
async def test_only_steps_that_are_not_full_and_that_nobody_wants_at_once_begin_a_tick_apart() -> None:
    loop, begun = asyncio.get_running_loop(), []

    def step(work: Sequence[Work]) -> list[Work | EngineError]:
        begun.append((round(loop.time(), 3), "".join(sorted(name for name, _ in work))))
        return list(work)

    batcher = Inline(step, lambda: 2, tick_s=0.02)
    running = asyncio.create_task(batcher.run())
    batcher.notify(Seat("a", 3))
    await asyncio.sleep(1)
    for name in "bcdef":
        batcher.notify(Seat(name, 1))
    await asyncio.sleep(0.01)
    batcher.notify(Seat("g", 1))
    await asyncio.sleep(0.005)
    batcher.notify(Seat("h", 2), at_once=True)
    await asyncio.sleep(1)
    running.cancel()
    batcher.stop()
    assert begun == [
        (0, "a"),
        (0.02, "a"),
        (0.04, "a"),
        (1, "bc"),
        (1, "de"),
        (1.01, "fg"),
        (1.015, "h"),
        (1.035, "h"),
    ]
