"""One turn with services that exist only here."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from nemotron_speech.audio import Clip
from nemotron_speech.client.turn import ASR_RATE, NoSpeech, answer
from nemotron_speech.errors import EngineError, PeerError
from nemotron_speech.protocol.llama.answer_words import NOTHING_TO_SAY

SECOND = Clip(np.zeros(48000, dtype=np.int16), 48000)


@dataclass
class Heard:
    text: str


@dataclass
class FakeAsr:
    text: str = "what is the time"
    sent: bytearray = field(default_factory=bytearray)

    async def send(self, pcm: bytes) -> None:
        self.sent += pcm

    async def finish(self) -> Heard:
        return Heard(self.text)


@dataclass
class FakeLlm:
    tokens: Sequence[str] = ("It is ", "noon. ", "Time for lunch!")
    messages: list[Mapping[str, str]] = field(default_factory=list)
    closed: bool = False
    wait: asyncio.Event | None = None
    error: Exception | None = None

    async def chat(self, messages: Sequence[Mapping[str, str]]) -> AsyncIterator[str]:
        self.messages = list(messages)
        try:
            for token in self.tokens:
                yield token
            if self.wait is not None:
                await self.wait.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


class FakeSpeech:
    """Two bytes of audio for each character said."""

    def __init__(self, tts: FakeTts) -> None:
        self._tts = tts
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()

    async def say(self, text: str) -> None:
        self._tts.said.append(text)
        await self._queue.put(text)

    async def finish(self) -> None:
        await self._queue.put(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (text := await self._queue.get()) is not None:
            if self._tts.error is not None:
                raise self._tts.error
            yield b"\1\0" * len(text)
            self._tts.first_audio.set()


@dataclass
class FakeTts:
    sample_rate: int | None = 22050
    said: list[str] = field(default_factory=list)
    error: Exception | None = None
    first_audio: asyncio.Event = field(default_factory=asyncio.Event)

    cancels: int = 0

    def utterance(self) -> FakeSpeech:
        return FakeSpeech(self)

    async def cancel(self) -> None:
        self.cancels += 1


async def test_a_question_becomes_a_spoken_answer() -> None:
    asr, llm, tts = FakeAsr(), FakeLlm(), FakeTts()
    reply = await answer(SECOND, asr, llm, tts)
    assert reply.transcript == "what is the time"
    assert reply.text == "It is noon. Time for lunch!"
    assert " ".join(tts.said) == reply.text
    assert len(reply.audio.samples) == sum(map(len, tts.said))
    assert reply.audio.sample_rate == 22050


async def test_the_recogniser_gets_all_audio_at_its_own_rate() -> None:
    asr = FakeAsr()
    await answer(SECOND, asr, FakeLlm(), FakeTts())
    assert len(asr.sent) == ASR_RATE * 2


async def test_the_model_gets_the_system_prompt_the_history_and_the_question() -> None:
    llm = FakeLlm()
    history = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    await answer(SECOND, FakeAsr(), llm, FakeTts(), history=history, system="Be kind.")
    assert [m["content"] for m in llm.messages] == ["Be kind.", "hi", "hello", "what is the time"]


async def test_speaking_begins_before_the_answer_is_complete() -> None:
    tts = FakeTts()
    llm = FakeLlm([*(f"word{n} " for n in range(40))], wait=tts.first_audio)
    reply = await asyncio.wait_for(answer(SECOND, FakeAsr(), llm, tts), 20)
    assert len(tts.said) > 1
    assert reply.text.endswith("word39")


async def test_who_listens_is_told_as_it_happens() -> None:
    told: list[str] = []
    await answer(SECOND, FakeAsr(), FakeLlm(), FakeTts(), on_transcript=told.append, on_token=told.append)
    assert told == ["what is the time", "It is ", "noon. ", "Time for lunch!"]


@pytest.mark.parametrize("text", ["", "  "])
async def test_silence_is_no_question(text: str) -> None:
    llm = FakeLlm()
    with pytest.raises(NoSpeech, match=r"1\.0 s"):
        await answer(SECOND, FakeAsr(text), llm, FakeTts())
    assert llm.messages == []


WORDLESS = [(), ("🙂",), ("  ",), ("...",), ("```python\nprint(1)\n```",), ("<think>Hm.</think>",)]


@pytest.mark.parametrize("tokens", WORDLESS)
async def test_an_answer_without_words_is_said_to_be_one(tokens: Sequence[str]) -> None:
    tts, shown = FakeTts(), list[str]()
    llm = FakeLlm(tokens)
    reply = await asyncio.wait_for(answer(SECOND, FakeAsr(), llm, tts, on_token=shown.append), 20)
    assert " ".join(tts.said).endswith(NOTHING_TO_SAY)
    assert NOTHING_TO_SAY in reply.text
    assert NOTHING_TO_SAY in shown
    assert llm.closed


async def test_an_answer_that_cannot_be_spoken_may_be_silent() -> None:
    tts = FakeTts(sample_rate=None)
    reply = await answer(SECOND, FakeAsr(), FakeLlm(("🙂",)), tts, nothing_to_say="")
    assert len(reply.audio.samples) == 0
    assert tts.said == []


async def test_words_that_turn_out_to_be_thoughts_are_taken_back() -> None:
    words = "A plan of lamps is what they want to have. It is a secret. " * 4
    llm, tts = FakeLlm((*words.split(" "), "</think>", "It is ", "noon.")), FakeTts()
    reply = await answer(SECOND, FakeAsr(), llm, tts)
    assert reply.text == "It is noon."
    assert tts.cancels == 1
    assert len(reply.audio.samples) == len("It is noon.")


@pytest.mark.parametrize(
    "text",
    [
        "Okay, the secret plan is to greet the user.\n</think>\n\nIt is noon.",
        "<|channel|>analysis<|message|>The secret plan.<|end|><|channel|>final<|message|>It is noon.",
        "Reasoning: the secret plan is to greet.\n\nAnswer: It is noon.",
        "It is noon.<|im_end|><|endoftext|></s>",
        'It is noon. <tool_call>{"name": "secret", "arguments": {}}</tool_call>',
    ],
)
async def test_nothing_but_the_answer_is_shown_or_spoken(text: str) -> None:
    shown: list[str] = []
    llm, tts = FakeLlm(re.findall(r"\s*\S+|\s+", text)), FakeTts()
    reply = await answer(SECOND, FakeAsr(), llm, tts, on_token=shown.append)
    assert reply.text == "".join(shown).strip() == "It is noon."
    assert tts.said == ["It is noon."]


async def test_thoughts_are_neither_shown_nor_spoken() -> None:
    shown: list[str] = []
    llm, tts = FakeLlm(("<thi", "nking>The secret ", "plan.</thinking>\n", "It is ", "noon.")), FakeTts()
    reply = await answer(SECOND, FakeAsr(), llm, tts, on_token=shown.append)
    assert reply.text == "".join(shown) == "It is noon."
    assert "secret" not in " ".join(tts.said)


async def test_a_voice_that_fails_stops_the_model() -> None:
    llm = FakeLlm([*(f"word{n} " for n in range(40))], wait=asyncio.Event())
    with pytest.raises(EngineError, match="no voice"):
        await asyncio.wait_for(answer(SECOND, FakeAsr(), llm, FakeTts(error=EngineError("no voice"))), 20)
    assert llm.closed


async def test_a_model_that_fails_ends_the_turn() -> None:
    llm = FakeLlm(error=PeerError("gone"))
    with pytest.raises(PeerError, match="gone"):
        await asyncio.wait_for(answer(SECOND, FakeAsr(), llm, FakeTts()), 20)


async def test_stages_are_timed() -> None:
    ticks = itertools.count(0, 0.010)
    reply = await answer(SECOND, FakeAsr(), FakeLlm(), FakeTts(), clock=lambda: next(ticks))
    timings = reply.timings
    assert timings.transcribed_ms == 10
    assert timings.first_token_ms == 10
    assert 0 < timings.first_audio_ms <= timings.spoken_ms <= timings.total_ms
    assert timings.first_token_ms <= timings.answered_ms <= timings.total_ms
    assert "ASR 10 ms" in str(timings)
