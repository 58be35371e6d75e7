"""Sixty-four listeners of one engine hear no gap, on a clock that knows only what the engine's steps take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from nemotron_speech.bench.tts_load import SimulatedPlayout
from nemotron_speech.engines.base import TtsResult, TtsStream
from nemotron_speech.engines.scripted import ScriptedTts, TtsScript
from nemotron_speech.errors import EngineError
from nemotron_speech.settings import TtsSettings
from nemotron_speech.tts_server import TtsService
from tests.serving.channel import talking, until
from tests.virtual_time import virtual_time

RATE = 16000
LISTENERS = 64
SENTENCES = ("The weather is fine today.", "It will rain in the evening.", "Tomorrow it is fine again.")
SCRIPT = TtsScript(
    sample_rate=RATE, capacity=LISTENERS, max_batch=LISTENERS // 2, ms_per_character=65, fail_on="evening!"
)


class CostlyTts(ScriptedTts):
    """Every step costs 5 ms and a quarter for each segment: two steps for everybody make 46 ms in 26 ms."""

    def __init__(self) -> None:
        super().__init__(SCRIPT)
        self.worked_s = 0.0

    def step(self, streams: Sequence[TtsStream]) -> list[TtsResult | EngineError]:
        self.worked_s += 0.005 + 0.00025 * len(streams)
        return super().step(streams)


class VirtualThread(Executor):
    """The engine's thread: work is done at once, and known to be done when it has taken its time."""

    def __init__(self, engine: CostlyTts) -> None:
        self._engine = engine
        self._free_at = 0.0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        loop, done = asyncio.get_running_loop(), Future[Any]()
        before = self._engine.worked_s
        try:
            tell, outcome = done.set_result, fn(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  as an executor does
            tell, outcome = done.set_exception, error
        self._free_at = max(self._free_at, loop.time()) + self._engine.worked_s - before
        loop.call_at(self._free_at, tell, outcome)
        return done


@dataclass
class Listener:
    """What one caller heard."""

    first_audio_s: float = 0.0
    gaps: list[float] = field(default_factory=list)
    errors: int = 0
    complete: int = 0
    audio_s: float = 0.0


async def listen(service: TtsService, start_s: float, mode: str, texts: Sequence[str]) -> Listener:
    """Speak with the server from `start_s` on, playing everything as soon as it can be played."""
    loop, heard, playout = asyncio.get_running_loop(), Listener(), SimulatedPlayout(buffer_s=0.0)
    await asyncio.sleep(start_s)
    asked = loop.time()
    async with talking(service) as caller:
        for text in texts:
            caller.say(type="text", text=text, mode=mode)
        caller.say(type="close")
        while True:
            match await caller.read():
                case bytes() as pcm:
                    heard.first_audio_s = heard.first_audio_s or loop.time() - asked
                    heard.audio_s += len(pcm) / 2 / RATE
                    if (silent := playout.hear(loop.time(), len(pcm) / 2 / RATE)) > 1e-6:
                        heard.gaps.append(silent)
                case {"type": kind}:
                    heard.errors += kind == "error"
                    heard.complete += kind == "segment_complete"
                    if kind == "done":
                        return heard


async def all_listen(*callers: tuple[float, str, Sequence[str]]) -> list[Listener]:
    engine = CostlyTts()
    service = TtsService(engine, TtsSettings(engine="none"))
    service.runner.batcher._thread = VirtualThread(engine)  # type: ignore[assignment]
    async with service.running():
        await until(lambda: service.health()[0] == 200)
        heard = await asyncio.gather(*(listen(service, *caller) for caller in callers))
    assert engine.open_streams == 0
    return list(heard)


@virtual_time
async def test_sixty_four_listeners_who_come_one_after_the_other_hear_no_gap() -> None:
    heard = await all_listen(*((0.01 * n, "stream", SENTENCES) for n in range(LISTENERS)))
    assert [listener.gaps for listener in heard] == [[]] * LISTENERS
    assert {listener.complete for listener in heard} == {len(SENTENCES)}
    assert {round(listener.audio_s, 3) for listener in heard} == {0.065 * sum(map(len, SENTENCES))}
    assert max(listener.first_audio_s for listener in heard) < 0.05


@virtual_time
async def test_sixty_four_listeners_who_come_at_once_hear_no_gap() -> None:
    heard = await all_listen(*((0.0, "stream", SENTENCES) for _ in range(LISTENERS)))
    assert [listener.gaps for listener in heard] == [[]] * LISTENERS
    assert max(listener.first_audio_s for listener in heard) < 0.05


@virtual_time
async def test_segments_that_fail_half_way_and_those_that_come_whole_cost_the_others_no_gap() -> None:
    failing = (SENTENCES[0], "It will rain in the evening!", SENTENCES[2])
    kinds = [*["stream"] * 6, *["batch"] * 2]
    callers = [(0.01 * n, kinds[n % 8], failing if n % 8 in (5, 7) else SENTENCES) for n in range(LISTENERS)]
    heard = await all_listen(*callers)
    for (_, mode, texts), listener in zip(callers, heard, strict=True):
        assert listener.errors == (texts is failing)
        assert listener.complete == len(SENTENCES)
        if mode == "stream" and texts is not failing:
            assert listener.gaps == []
