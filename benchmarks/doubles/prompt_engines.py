"""Engines of plain language model servers: prompts evaluated and answers made, on time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from benchmarks.doubles.prompt_cache import BlockCache, Rewind, SlotCache, common

BATCH_TOKENS = 512
"""Prompt tokens that are evaluated in one go; only between two goes is a dropped request noticed."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Pace of an engine: times in seconds, and prompt tokens per second (0: evaluation takes no time)."""

    request_s: float
    prompt_tokens_per_second: float
    token_s: float
    first_s: float

    def prompt_s(self, tokens: int) -> float:
        return tokens / self.prompt_tokens_per_second if self.prompt_tokens_per_second else 0.0


@dataclass(slots=True)
class Record:
    """One request and what it cost."""

    at: float
    """Arrival time, seconds since the epoch."""
    kind: Literal["answer", "warm-up"]
    """Kind of request: one that wants at most one token is a warm-up."""
    prompt_tokens: int
    evaluated: int = 0
    generated: int = 0
    cancelled: bool = False
    continues: bool = False
    """True if the request goes on with an answer that was begun by another."""
    slot: int | None = None


@dataclass(frozen=True, slots=True)
class ProgressPart:
    """Progress of the prompt's evaluation, in tokens."""

    total: int
    cached: int
    processed: int
    ms: float


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """The text of a token."""

    text: str
    is_call: bool = False


Part: TypeAlias = ProgressPart | AnswerPart


@dataclass(slots=True)
class Job:
    """A request in work. Its tokens wait in memory until they are fetched."""

    prompt: Sequence[str]
    answer: Sequence[str]
    spoken: int
    """Tokens of the answer before its tool call."""
    call: Any
    limit: int
    """Tokens of the answer at most."""
    slot: int | None
    stops_in_prompt: bool
    """True if a drop is noticed while the prompt is evaluated: llama.cpp looks when it sends progress."""
    record: Record
    is_dropped: bool = False
    _parts: asyncio.Queue[Part | None] = field(default_factory=asyncio.Queue)

    @property
    def is_cut(self) -> bool:
        """True if the answer is longer than its limit."""
        return len(self.answer) >= self.limit

    def drop(self) -> None:
        """Note that nobody waits for it any more."""
        self.is_dropped = True

    def give(self, part: Part) -> None:
        self._parts.put_nowait(part)

    def end(self) -> None:
        self.record.cancelled = self.is_dropped
        self._parts.put_nowait(None)

    async def parts(self) -> AsyncIterator[Part]:
        """Give what is made, until its end."""
        while (part := await self._parts.get()) is not None:
            yield part


class Engine(Protocol):
    """Works on jobs."""

    def start(self, job: Job) -> None:
        """Begin with a job; its parts come by themselves."""
        ...

    def states(self) -> list[dict[str, Any]]:
        """Return the state of each slot."""
        ...

    async def close(self) -> None: ...


class Tasks:
    """The work of one engine."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


# ------------------------------------------------------------------------------------------ llama.cpp


@dataclass(slots=True)
class Slot:
    """A place for one job at a time; others wait in order."""

    id: int
    cache: SlotCache
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    last_used: float = 0.0
    waiting: int = 0

    @property
    def is_busy(self) -> bool:
        return self.waiting > 0


class SlotEngine:
    """llama.cpp: jobs on slots."""

    def __init__(self, pace: Pace, rewind: Rewind, slots: int) -> None:
        self._pace = pace
        self.slots = [Slot(number, SlotCache(rewind)) for number in range(slots)]
        self._tasks = Tasks()

    def start(self, job: Job) -> None:
        slot = self._slot(job)
        job.record.slot = slot.id
        self._tasks.add(asyncio.get_running_loop().create_task(self._work(job, slot)))

    async def close(self) -> None:
        await self._tasks.close()

    def states(self) -> list[dict[str, Any]]:
        return [
            {"id": slot.id, "is_processing": slot.is_busy, "n_prompt_tokens": len(slot.cache.held)}
            for slot in self.slots
        ]

    def _slot(self, job: Job) -> Slot:
        """Return the slot asked for, else a free one: the one with half of the prompt, or the oldest."""
        if job.slot is not None and 0 <= job.slot < len(self.slots):
            return self.slots[job.slot]
        free = [slot for slot in self.slots if not slot.is_busy] or self.slots
        similar = max(free, key=lambda slot: common(slot.cache.held, job.prompt))
        if common(similar.cache.held, job.prompt) * 2 > len(job.prompt):
            return similar
        return min(free, key=lambda slot: slot.last_used)

    async def _work(self, job: Job, slot: Slot) -> None:
        slot.waiting += 1
        try:
            async with slot.turn:
                slot.last_used = asyncio.get_running_loop().time()
                if not job.is_dropped:
                    await self._evaluate(job, slot.cache)
        finally:
            slot.waiting -= 1
            job.end()

    async def _evaluate(self, job: Job, cache: SlotCache) -> None:
        cached = cache.begin(job.prompt)
        await asyncio.sleep(self._pace.request_s)
        began = asyncio.get_running_loop().time()
        for start in range(cached, len(job.prompt), BATCH_TOKENS):
            batch = job.prompt[start : start + BATCH_TOKENS]
            await asyncio.sleep(self._pace.prompt_s(len(batch)))
            cache.take(batch)
            job.record.evaluated += len(batch)
            if job.stops_in_prompt:
                ms = (asyncio.get_running_loop().time() - began) * 1000
                job.give(ProgressPart(len(job.prompt), cached, start + len(batch), ms))
                if job.is_dropped:
                    return
        async for token in generate(job, self._pace):
            cache.take([token])


# ------------------------------------------------------------------------------------------------ vLLM


class BlockEngine:
    """vLLM: all jobs at once, over one prefix cache; a dropped one ends with the step in hand."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._cache = BlockCache()
        self._tasks = Tasks()

    def start(self, job: Job) -> None:
        self._tasks.add(asyncio.get_running_loop().create_task(self._work(job)))

    async def close(self) -> None:
        await self._tasks.close()

    def states(self) -> list[dict[str, Any]]:
        return []

    async def _work(self, job: Job) -> None:
        try:
            await self._evaluate(job)
        finally:
            job.end()

    async def _evaluate(self, job: Job) -> None:
        cached = self._cache.find(job.prompt)
        job.record.evaluated = len(job.prompt) - cached
        await asyncio.sleep(self._pace.request_s + self._pace.prompt_s(job.record.evaluated))
        held = list(job.prompt)
        self._cache.take(held)
        async for token in generate(job, self._pace):
            held.append(token)
            self._cache.take(held)


async def generate(job: Job, pace: Pace) -> AsyncIterator[str]:
    """Make the answer; give each token that was evaluated, which the last one of a cut answer is not.

    A dropped job ends when the token in hand is made.
    """
    if job.record.kind == "answer" and not job.record.continues:
        await asyncio.sleep(pace.first_s)
    tokens = job.answer[: job.limit]
    for index, token in enumerate(tokens):
        job.give(AnswerPart(token, is_call=index >= job.spoken))
        job.record.generated += 1
        if job.is_dropped or (job.is_cut and index + 1 == len(tokens)):
            return
        await asyncio.sleep(pace.token_s)
        yield token
