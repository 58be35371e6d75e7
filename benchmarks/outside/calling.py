"""A caller in a process of its own: it makes one call by a plan and brings back what it heard.

    python -m benchmarks.outside.calling plan.json folder

It writes what it asks of the benchmark to its output, a line each, and waits for a line to be answered.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.caller import RATE, Caller, call
from benchmarks.outside.plan import Answer, Ask, Begun, Greeting, Pause, Plan, Record, Said, Say, Step, save
from benchmarks.outside.sound import AUDIBLE, Track
from benchmarks.speech import espeak
from nemotron_speech.audio import Clip, Samples

_POLL_S = 0.02
_AFTER_S = 0.3
"""The line stays open for what may still come."""


class Conversation:
    """One side of a call, step by step."""

    def __init__(self, caller: Caller, plan: Plan) -> None:
        self._caller = caller
        self._voice = plan.voice
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        """The last sample that was said, or the call's begin."""
        self.said: list[Said] = []
        self.asked: list[tuple[float, float, str]] = []

    async def take(self, step: Step) -> None:
        """Do one thing. An answer that does not come is no error: the record shows it."""
        match step:
            case Greeting():
                await self._quiet_after(await self._heard(step.timeout_s), 0.7)
            case Say():
                await self._say(step)
            case Answer():
                await self._quiet_after(await self._heard(step.timeout_s), step.quiet_s)
            case Begun():
                if await self._heard(step.timeout_s):
                    await asyncio.sleep(step.seconds)
            case Pause():
                await asyncio.sleep(step.seconds)
            case Ask():
                await self._ask(step.what)

    async def _say(self, step: Say) -> None:
        clips = [_clip(part, self._voice) for part in step.parts]
        ended = await self._caller.say(_joined(clips))
        self.said.append(Said(step.name, step.parts, _voiced(step.parts, clips, ended)))
        self._since = ended

    async def _ask(self, what: str) -> None:
        began = self._loop.time()
        print(what, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        self.asked.append((began, self._loop.time(), what))

    async def _heard(self, timeout_s: float) -> bool:
        """Wait for a first sound after what was said last; False if none comes."""
        deadline = self._loop.time() + timeout_s
        while not self._is_loud(self._since):
            if self._loop.time() > deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    async def _quiet_after(self, heard: bool, seconds: float) -> None:
        if heard:
            while self._is_loud(self._loop.time() - seconds):
                await asyncio.sleep(_POLL_S)

    def _is_loud(self, since: float) -> bool:
        for at, samples in reversed(self._caller.heard):
            if at < since:
                return False
            if np.abs(samples).max() > AUDIBLE:
                return True
        return False


def _clip(part: str | float, voice: str) -> Clip:
    """Return speech whose first and last sample are sound, or a pause of so many seconds."""
    if isinstance(part, str):
        return espeak(part, voice).at(RATE)
    return Clip(np.zeros(int(part * RATE), np.int16), RATE)


def _joined(clips: Sequence[Clip]) -> Clip:
    return Clip(np.concatenate([clip.samples for clip in clips]), RATE)


def _voiced(
    parts: Sequence[str | float], clips: Sequence[Clip], ended: float
) -> tuple[tuple[float, float], ...]:
    """Return when each spoken part began and ended, given when the last one did."""
    at = ended - sum(clip.seconds for clip in clips)
    times: list[tuple[float, float]] = []
    for part, clip in zip(parts, clips, strict=True):
        if isinstance(part, str):
            times.append((at, at + clip.seconds))
        at += clip.seconds
    return tuple(times)


async def make(plan: Plan, folder: Path) -> None:
    """Make the call and write down what came of it."""
    for step in plan.steps:
        for part in step.parts if isinstance(step, Say) else ():
            _clip(part, plan.voice)
    loop = asyncio.get_running_loop()
    async with call(plan.url) as caller:
        began = loop.time()
        conversation = Conversation(caller, plan)
        for step in plan.steps:
            await conversation.take(step)
        await asyncio.sleep(_AFTER_S)
    events = tuple((event.at, event.type, event.data) for event in caller.events)
    record = Record(began, loop.time(), tuple(conversation.said), events, tuple(conversation.asked))
    save(folder, record, _track(caller.heard))
    caller.save(folder / "call.wav")


def _track(heard: list[tuple[float, Samples]]) -> Track:
    samples = np.concatenate([samples for _, samples in heard]) if heard else np.zeros(0, np.int16)
    return Track([at for at, _ in heard], samples)


def main() -> None:
    """Make the call of a plan."""
    plan, folder = Path(sys.argv[1]), Path(sys.argv[2])
    asyncio.run(make(msgspec.json.decode(plan.read_bytes(), type=Plan), folder))


if __name__ == "__main__":
    main()
