"""Whatever a caller says, in whatever order and at any pace of the engine, it hears what it asked for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nemotron_speech.engines.scripted import ScriptedTts, TtsScript
from nemotron_speech.settings import TtsSettings
from nemotron_speech.tts_server import TtsService
from tests.serving.channel import MemoryChannel, talking, until
from tests.serving.engines import LetterTts
from tests.tts.test_speech_formats import RATE, TONE_HZ, off_tone, steps

LETTERS = "abcdefghijklmnopqrstuvwxyz"

texts = st.tuples(
    st.just("text"),
    st.integers(0, 12),
    st.sampled_from(["u", "v", None]),
    st.sampled_from(["stream", "batch"]),
)
actions = st.lists(
    st.one_of(
        texts,
        st.sampled_from(
            [("close",), ("cancel",), ("ping",), ("init", "john"), ("init", "nobody"), ("garbage",)]
        ),
        st.sampled_from([("shut",), ("open",), ("wait",)]),
    ),
    max_size=25,
)


@dataclass
class Expected:
    """What the caller may hear, by what it said."""

    wanted: list[str] = field(default_factory=list)
    """Texts asked for since the last cancel."""
    before: list[str] = field(default_factory=list)
    """Texts that a cancel took back: their beginnings may have been heard."""
    cancels: int = 0
    pings: int = 0
    refused: int = 0
    streams: int = 0
    """Number of streams that the texts since the last cancel form."""
    open: str = ""
    """Utterance whose stream the next text may join; `none` is the nameless one's."""

    def text(self, text: str, utterance: str | None) -> None:
        self.wanted.append(text)
        name = utterance or "none"
        self.streams += self.open != name
        self.open = name

    def cancel(self) -> None:
        self.before += self.wanted
        self.wanted, self.streams, self.open = [], 0, ""
        self.cancels += 1


async def act(caller: MemoryChannel, engine: LetterTts, todo: list[tuple[Any, ...]]) -> Expected:
    expected = Expected()
    for number, action in enumerate(todo):
        match action:
            case ("text", length, utterance, mode):
                text = LETTERS[number % 26] * length
                expected.text(text, utterance)
                caller.say(
                    type="text", text=text, mode=mode, **({"utterance": utterance} if utterance else {})
                )
            case ("cancel",):
                expected.cancel()
                caller.say(type="cancel")
            case ("close",):
                expected.open = ""
                caller.say(type="close")
            case ("ping",):
                expected.pings += 1
                caller.say(type="ping")
            case ("init", voice):
                expected.refused += voice == "nobody"
                expected.open = expected.open if voice == "nobody" else ""
                caller.say(type="init", voice=voice)
            case ("garbage",):
                expected.refused += 1
                caller.say('{"type":"sing"}')
            case ("shut",):
                engine.gate.shut()
            case ("open",):
                engine.gate.open()
            case _:
                await asyncio.sleep(0.002)
    engine.gate.open()
    return expected


@given(actions)
@example(
    [("text", 5, None, "stream"), ("shut",), ("cancel",), ("text", 3, None, "batch"), ("close",), ("open",)]
)
@example(
    [("text", 5, "u", "stream"), ("text", 5, "v", "batch"), ("init", "john"), ("text", 2, None, "stream")]
)
@settings(max_examples=40)
def test_a_caller_hears_all_that_it_asked_for_and_nothing_after_a_cancel(todo: list[tuple[Any, ...]]) -> None:
    async def scenario() -> None:
        engine = LetterTts()
        service = TtsService(engine, TtsSettings(engine="none"))
        async with service.running():
            await until(lambda: service.health()[0] == 200)
            async with talking(service) as caller:
                expected = await act(caller, engine, todo)
                heard = await all_spoken(caller, expected)
            await until(lambda: engine.open_streams == 0)
        check(heard, expected, engine)

    asyncio.run(scenario())


async def all_spoken(caller: MemoryChannel, expected: Expected) -> list[Any]:
    """Close what is open, and read until everything said is answered and every segment wanted is complete."""
    caller.say(type="close")
    caller.say(type="close", utterance="the end")  # nothing is named so: answered at once, after all before
    heard: list[Any] = []
    complete = streams = 0
    cancels, answered = expected.cancels, False
    while cancels or complete < len(expected.wanted) or streams < expected.streams or not answered:
        heard.append(message := await caller.read())
        if _is([message], "cancelled"):
            cancels -= 1
            complete = streams = 0
        complete += _is([message], "segment_complete")
        streams += _is([message], "done") and bool(message.get("segments_generated"))
        answered |= isinstance(message, dict) and message.get("utterance") == "the end"
    return heard


def _is(messages: list[Any], kind: str) -> bool:
    return bool(messages) and isinstance(messages[0], dict) and messages[0]["type"] == kind


def check(heard: list[Any], expected: Expected, engine: LetterTts) -> None:
    last_cancel = max((i for i, m in enumerate(heard) if _is([m], "cancelled")), default=-1)
    before, after = heard[: last_cancel + 1], heard[last_cancel + 1 :]
    assert audio(after) == engine.audio_of("".join(expected.wanted))
    spoken = "".join(expected.before)
    assert set(audio(before)) <= set(engine.audio_of(spoken))
    assert sum(_is([m], "segment_complete") for m in after) == len(expected.wanted)
    assert sum(_is([m], "pong") for m in heard) == expected.pings
    assert sum(_is([m], "error") for m in heard) == expected.refused
    for number, message in enumerate(heard):
        if isinstance(message, bytes):
            kinds = [m["type"] for m in heard[:number] if isinstance(m, dict)]
            assert "stream_created" in kinds, "audio that belongs to no stream"
    done = [m for m in after if _is([m], "done") and m.get("segments_generated")]
    assert len(done) == expected.streams


def audio(messages: list[Any]) -> bytes:
    return b"".join(m for m in messages if isinstance(m, bytes))


# ------------------------------------------------------------------------------------- whole texts


@pytest.mark.parametrize("text", ["a", "I", "Yes", "A b c", "a" * 41, "word " * 20])
@pytest.mark.parametrize("chunk_ms", [1, 7, 46])
async def test_short_and_odd_texts_are_whole_to_the_sample_streamed_and_at_once(
    text: str, chunk_ms: int
) -> None:
    script = TtsScript(chunk_ms=chunk_ms)
    service = TtsService(ScriptedTts(script), TtsSettings(engine="none"))
    spoken = text.strip()
    async with service.running():
        await until(lambda: service.health()[0] == 200)
        async with talking(service) as caller:
            parts = {}
            for mode in ("stream", "batch"):
                caller.say(type="text", text=text, mode=mode)
                messages = await caller.read_until("segment_complete")
                parts[mode] = audio(messages)
                samples = int(len(spoken) * script.ms_per_character * script.sample_rate / 1000)
                assert len(parts[mode]) == 2 * samples
                assert messages[-1]["audio_ms"] == pytest.approx(
                    samples * 1000 / script.sample_rate, abs=0.06
                )
    assert parts["stream"] == parts["batch"]


@pytest.mark.parametrize("mode", ["stream", "batch"])
async def test_joints_of_pieces_and_of_segments_are_not_heard(mode: str) -> None:
    """Two segments of whole periods of the tone: any sample lost, doubled or faded would show."""
    script = TtsScript(sample_rate=RATE, tones={"weather": TONE_HZ}, ms_per_character=50)
    service = TtsService(ScriptedTts(script), TtsSettings(engine="none"))
    text = "The weather."
    assert len(text) * 0.05 * TONE_HZ % 1 == pytest.approx(0)
    async with service.running():
        await until(lambda: service.health()[0] == 200)
        async with talking(service) as caller:
            for _ in range(3):
                caller.say(type="text", text=text, mode=mode)
            caller.say(type="close")
            samples = np.frombuffer(audio(await caller.read_until("done")), "<i2") / 32768
    assert len(samples) == 3 * len(text) * RATE // 20
    assert steps(samples, RATE) < 1.01
    assert off_tone(samples, RATE) < 1e-4


async def test_a_stream_whose_text_never_closes_stays_open_and_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A caller that is silent but there may think as long as it likes: no timer ends its stream."""
    loop = asyncio.get_running_loop()
    real, ahead = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: real() + ahead)
    engine = LetterTts()
    service = TtsService(engine, TtsSettings(engine="none"))
    async with service.running():
        await until(lambda: service.health()[0] == 200)
        async with talking(service) as caller:
            caller.say(type="text", text="ab")
            await caller.read_until("segment_complete")
            await until(lambda: engine.open_streams == 0)  # an open stream holds nothing at the engine
            ahead = 24 * 3600.0
            caller.say(type="text", text="cd")
            caller.say(type="close")
            messages = await caller.read_until("done")
    assert not any(_is([m], "stream_created") for m in messages), "it is still the same stream"
    assert messages[-1]["segments_generated"] == 2
    assert audio(messages) == engine.audio_of("cd")


async def test_a_caller_may_ask_for_another_rate() -> None:
    script = TtsScript(sample_rate=RATE, tones={"weather": TONE_HZ})
    service = TtsService(ScriptedTts(script), TtsSettings(engine="none"))
    async with service.running():
        await until(lambda: service.health()[0] == 200)
        async with talking(service) as caller:
            caller.say(type="init", sample_rate=100)
            assert "allowed: 8000 to 48000" in (await caller.read())["message"]
            caller.say(type="init", sample_rate=8000)
            caller.say(type="text", text="The weather is fine.")
            caller.say(type="close")
            messages = await caller.read_until("done")
    assert messages[0]["sample_rate"] == 8000
    samples = np.frombuffer(audio(messages), "<i2") / 32768
    assert len(samples) == pytest.approx(20 * 0.055 * 8000, abs=2)
    assert messages[-1]["total_audio_ms"] == pytest.approx(20 * 55, abs=1)
    assert off_tone(samples, 8000) < 1e-3
