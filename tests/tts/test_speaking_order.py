"""Who is spoken for next: who has the least audio left goes first, who has plenty lets others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nemotron_speech.engines.base import SynthesisMode, TtsResult
from nemotron_speech.errors import EngineError
from nemotron_speech.settings import TtsSettings
from nemotron_speech.tts.scheduler import AHEAD_S, BATCH_YIELDS_S, PlayoutScheduler, SpeechHandle
from nemotron_speech.tts_server import TtsService
from tests.serving.channel import MemoryChannel, talking, until
from tests.serving.engines import LetterTts
from tests.virtual_time import virtual_time

RATE = 16000
STREAM, BATCH = SynthesisMode.STREAM, SynthesisMode.BATCH


class Loop:
    """A step loop that only notes who is ready."""

    def __init__(self) -> None:
        self.ready: set[SpeechHandle] = set()
        self.floor = PlayoutScheduler(self.notify)

    def notify(self, speaking: SpeechHandle) -> None:
        (self.ready.add if speaking.ready() else self.ready.discard)(speaking)

    def speaking(
        self, mode: SynthesisMode = STREAM, plays_until: float = 0.0, room: bool = True
    ) -> SpeechHandle:
        seat = SpeechHandle(_Stream(), mode, RATE, lambda pcm: None, lambda: room, plays_until, self.floor)
        self.notify(seat)
        return seat

    def give(self, speaking: SpeechHandle, seconds: float, *, done: bool = False) -> None:
        speaking.apply(TtsResult(bytes(2 * round(seconds * RATE)), done))
        self.notify(speaking)


class _Stream:
    pass


@virtual_time
async def test_the_listener_with_the_least_audio_left_is_due_first() -> None:
    loop = Loop()
    one, two = loop.speaking(), loop.speaking()
    loop.give(one, 1.0)
    assert two.due() < one.due()
    loop.give(two, 2.0)
    assert one.due() < two.due()
    await asyncio.sleep(5)
    loop.give(one, 0.5)
    assert one.due() == pytest.approx(5.5), "what was played long ago counts no more"


@virtual_time
async def test_the_audio_of_the_segment_before_counts() -> None:
    loop = Loop()
    fresh, second = loop.speaking(), loop.speaking(plays_until=2.0)
    assert (fresh.due(), second.due()) == (0.0, 2.0)
    whole = loop.speaking(BATCH, plays_until=2.0)
    assert whole.due() == 2.0, "it has to be complete when its listener has played what came before"


@virtual_time
async def test_a_batch_segment_that_nothing_plays_before_lets_streams_go_first() -> None:
    loop = Loop()
    whole, stream = loop.speaking(BATCH), loop.speaking()
    assert whole.due() == BATCH_YIELDS_S
    assert stream.due() == 0.0
    assert loop.ready == {whole, stream}
    loop.notify(whole)
    assert loop.ready == {stream}, "with plenty of time it stays out of the steps of one that has none"


@virtual_time
async def test_who_is_far_ahead_waits_only_while_somebody_is_about_to_run_dry() -> None:
    loop = Loop()
    ahead = loop.speaking()
    loop.give(ahead, AHEAD_S + 1)
    assert ahead in loop.ready, "nobody else is here"
    hungry = loop.speaking()
    loop.notify(ahead)
    assert loop.ready == {hungry}
    loop.give(hungry, 1.0)
    await asyncio.sleep(0)
    assert loop.ready == {hungry, ahead}, "nobody is urgent any more"
    await asyncio.sleep(0.9)
    loop.notify(ahead)
    assert loop.ready == {hungry}
    await asyncio.sleep(AHEAD_S)
    loop.give(hungry, 0.01)
    await asyncio.sleep(0)
    assert loop.ready == {hungry, ahead}, "it has less than plenty itself"


@virtual_time
async def test_who_waited_goes_on_however_the_urgent_one_ends() -> None:
    for end in ("done", "failed", "stopped", "left"):
        loop = Loop()
        ahead = loop.speaking()
        loop.give(ahead, AHEAD_S + 5)
        urgent = loop.speaking()
        loop.notify(ahead)
        assert ahead not in loop.ready
        match end:
            case "done":
                loop.give(urgent, 0.01, done=True)
            case "failed":
                urgent.apply(EngineError("broken"))
                assert urgent.finished.exception()
            case "stopped":
                urgent.stop()
            case "left":
                loop.floor.leave(urgent)
        await asyncio.sleep(0)
        assert ahead in loop.ready, end


@virtual_time
async def test_a_listener_that_cannot_take_more_makes_nobody_wait() -> None:
    loop = Loop()
    ahead = loop.speaking()
    loop.give(ahead, AHEAD_S + 1)
    loop.speaking(room=False)
    loop.notify(ahead)
    assert loop.ready == {ahead}


# ------------------------------------------------------------------------------------- in the server


@asynccontextmanager
async def serving(engine: LetterTts) -> AsyncIterator[TtsService]:
    service = TtsService(engine, TtsSettings(engine="none", max_ahead_s=100))
    async with service.running():
        await until(lambda: service.health()[0] == 200)
        yield service


async def test_a_caller_far_ahead_of_real_time_yields_to_one_that_begins() -> None:
    engine = LetterTts(frame_samples=RATE)  # a second of audio a step
    async with serving(engine) as service, talking(service) as rich, talking(service) as poor:
        rich.say(type="text", text="a" * 20)
        await audio_of(rich, 5)
        engine.gate.shut()
        await until(engine.gate.waiting.is_set)
        poor.say(type="text", text="b")
        await until(lambda: poor.messages_taken == 1)
        engine.gate.open()
        await poor.read_until("segment_complete")
        assert ["b"] in engine.batches, "its first step was shared with one that has seconds left"
        await rich.read_until("segment_complete")


async def test_streams_go_ahead_of_batch_segments_that_have_time() -> None:
    engine = LetterTts(max_batch=1, frame_samples=RATE // 10)
    async with serving(engine) as service, talking(service) as whole, talking(service) as stream:
        engine.gate.shut()
        whole.say(type="text", text="a" * 8, mode="batch")
        await until(lambda: whole.messages_taken == 1 and engine.gate.waiting.is_set())
        stream.say(type="text", text="b" * 8, mode="stream")
        await until(lambda: stream.messages_taken == 1)
        engine.gate.open()
        await whole.read_until("segment_complete")
        order = "".join(text[0] for (text,) in engine.batches)
        assert order.rstrip("a").count("a") <= 1, f"{order}: the batch segment had its turn between"
        await stream.read_until("segment_complete")


async def audio_of(caller: MemoryChannel, pieces: int) -> None:
    while pieces:
        pieces -= isinstance(await caller.read(), bytes)
