"""Any order of callers coming, talking, asking, leaving and of an engine being slow or failing.

Every request is answered once, to who asked, with exactly the audio before it; whoever is not served was in a
step that failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nemotron_speech.asr.service import AsrService
from nemotron_speech.engines.base import AsrResult, AsrStream, AsrWork
from nemotron_speech.errors import EngineError, Full, SpeechError
from nemotron_speech.serving.edge import hold
from nemotron_speech.settings import AsrSettings
from tests.serving.channel import MemoryChannel, until
from tests.serving.engines import EchoAsr

CAPACITY, MAX_BATCH, CHUNK = 5, 2, 4
POISON = 32000


class Breakable(EchoAsr):
    """Fails a whole step when told to, or one item on the poisonous sample."""

    def __init__(self) -> None:
        super().__init__(CAPACITY, MAX_BATCH, wanted_samples=CHUNK)
        self.fail_on = POISON
        self.break_next = False
        self.broken: list[AsrStream] = []

    def step(self, work: Sequence[AsrWork]) -> list[AsrResult | EngineError]:
        self.gate.pass_through()
        if self.break_next:
            self.break_next = False
            self.batches.append(list(work))
            self.broken += [item.stream for item in work]
            raise RuntimeError("the model broke")
        outcomes = super().step(work)
        failed = (item.stream for item, o in zip(work, outcomes, strict=True) if isinstance(o, EngineError))
        self.broken += failed
        return outcomes


class Caller:
    """What one caller did, and what it must hear."""

    def __init__(self, number: int, channel: MemoryChannel, conversation: asyncio.Task[None]) -> None:
        self.channel = channel
        self.conversation = conversation
        self.stream: AsrStream | None = None
        self._next = number * 1000
        self.utterance: list[int] = []
        self.expected: list[tuple[str, str]] = []
        self.finals: list[tuple[str, str]] = []
        self.gone = False

    def say(self, samples: Sequence[int]) -> None:
        self.utterance += samples
        self.channel.say(np.array(samples, "<i2").tobytes())

    def fresh(self, count: int) -> list[int]:
        self._next += count
        return list(range(self._next - count, self._next))

    def ask(self, finalize: bool) -> None:
        id = f"r{len(self.expected)}"
        self.expected.append((id, " ".join(map(str, self.utterance))))
        self.channel.say(type="reset", finalize=finalize, id=id)
        if finalize:
            self.utterance = []

    def read(self) -> None:
        """Take in what has arrived; interims hold nothing but this caller's own samples, in order."""
        while not self.channel.to_caller.empty():
            message = json.loads(self.channel.to_caller.get_nowait())
            if message["type"] != "transcript":
                continue
            heard = [int(word) for word in message["text"].split()]
            assert heard == sorted(set(heard))
            assert all(sample // 1000 == (self._next - 1) // 1000 for sample in heard if sample != POISON)
            if message["is_final"]:
                self.finals.append((message["id"], message["text"]))
        assert self.finals == self.expected[: len(self.finals)]


def _error(error: SpeechError) -> str:
    return json.dumps({"type": "error", "message": str(error)})


class BatcherMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.engine = Breakable()
        self.service = AsrService(self.engine, AsrSettings(engine="none"))
        self.stack = contextlib.AsyncExitStack()
        self.callers: list[Caller] = []
        self.shut = False
        self._do(self.stack.enter_async_context(self.service.runner.running()))
        self._until(lambda: self.service.health()[0] == 200)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def _until(self, condition: Callable[[], object]) -> None:
        self._do(until(condition))

    def _present(self) -> list[Caller]:
        return [caller for caller in self.callers if not caller.gone and not caller.conversation.done()]

    def _pick(self, who: int) -> list[Caller]:
        """Return one that is still here, if any is: who depends on time, so Hypothesis must not draw it."""
        present = self._present()
        return [present[who % len(present)]] if present else []

    # -------------------------------------------------------------------------------- callers

    @precondition(lambda self: not self.shut)
    @rule()
    def somebody_comes(self) -> None:
        streams = len(self.engine.streams)

        async def call() -> Caller:
            channel = MemoryChannel()
            task = asyncio.create_task(hold(channel, self.service.converse, _error))
            return Caller(len(self.callers) + 1, channel, task)

        caller = self._do(call())
        self._until(lambda: len(self.engine.streams) > streams or caller.conversation.done())
        if caller.conversation.done():
            assert caller.channel.closed.result()[0] == Full.close_code
            return
        caller.stream = self.engine.streams[-1]
        self.callers.append(caller)

    @rule(who=st.integers(0, CAPACITY - 1), count=st.integers(1, 11))
    def somebody_talks(self, who: int, count: int) -> None:
        for caller in self._pick(who):
            caller.say(caller.fresh(count))

    @rule(who=st.integers(0, CAPACITY - 1), finalize=st.booleans())
    def somebody_asks(self, who: int, finalize: bool) -> None:
        for caller in self._pick(who):
            caller.ask(finalize)

    @rule(who=st.integers(0, CAPACITY - 1))
    def somebody_leaves(self, who: int) -> None:
        for caller in self._pick(who):
            caller.channel.hang_up()
            caller.gone = True

    @rule(who=st.integers(0, CAPACITY - 1))
    def a_conversation_is_cancelled(self, who: int) -> None:
        for caller in self._pick(who):
            caller.conversation.cancel()
            caller.gone = True

    # --------------------------------------------------------------------------------- engine

    @precondition(lambda self: not self.shut)
    @rule()
    def the_engine_gets_slow(self) -> None:
        self.shut = True
        self.engine.gate.shut()

    @precondition(lambda self: self.shut)
    @rule()
    def the_engine_goes_on(self) -> None:
        self.shut = False
        self.engine.gate.open()

    @rule()
    def the_next_step_will_fail(self) -> None:
        self.engine.break_next = True

    @rule(who=st.integers(0, CAPACITY - 1))
    def somebody_says_what_the_engine_cannot_bear(self, who: int) -> None:
        for caller in self._pick(who):
            caller.say([POISON])

    @rule(turns=st.integers(1, 20))
    def time_passes(self, turns: int) -> None:
        async def pass_() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self._do(pass_())

    # ---------------------------------------------------------------------------- always true

    @invariant()
    def no_step_is_larger_than_the_limit(self) -> None:
        if hasattr(self, "engine"):
            assert self.service.runner.active <= CAPACITY
            assert all(0 < len(batch) <= MAX_BATCH for batch in self.engine.batches)
            for batch in self.engine.batches:
                assert len({id(item.stream) for item in batch}) == len(batch), "twice in one step"

    @invariant()
    def finals_come_in_order_to_who_asked(self) -> None:
        for caller in getattr(self, "callers", []):
            caller.read()

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        self.engine.gate.open()
        for caller in self.callers:
            if not caller.gone and not caller.conversation.done():
                caller.ask(finalize=True)
        try:
            self._until(lambda: all(map(self._settled, self.callers)))
            for caller in self.callers:
                self._check(caller)
                caller.conversation.cancel()
            tasks = [caller.conversation for caller in self.callers]
            self._do(asyncio.wait(tasks, timeout=10)) if tasks else None
            self._until(lambda: self.service.runner.active == 0 and self.engine.open_streams == 0)
        finally:
            self._do(self.stack.aclose())
            self.loop.close()

    def _settled(self, caller: Caller) -> bool:
        caller.read()
        return caller.gone or caller.conversation.done() or len(caller.finals) == len(caller.expected)

    def _check(self, caller: Caller) -> None:
        failed = any(stream is caller.stream for stream in self.engine.broken)
        if caller.gone:
            return
        if failed:
            assert caller.channel.closed.result()[0] == EngineError.close_code
        else:
            assert caller.finals == caller.expected


BatcherMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=40)
TestBatcherMachine = BatcherMachine.TestCase
