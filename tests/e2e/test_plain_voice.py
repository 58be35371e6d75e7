"""A bot whose voice is a plain server: every utterance is heard, and the conversation holds what was."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest

from benchmarks.caller import RATE, Caller, call, loudest_tone
from benchmarks.stack import Stack
from nemotron_speech.audio import Clip
from tests.bots.fakes import FakeLlm
from tests.e2e.conftest import ARTIFACTS, SCRIPT, TONES, reply

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

MS_PER_CHARACTER = 50.0
STEP_MS = 36
"""Time per 46 ms chunk, in ms: hardly faster than it plays, so an outage hits a segment in its middle."""
NAMES = ("alpha", "bravo", "charlie", "delta")
SENTENCES = [reply(name, 6) for name in NAMES]
ANSWER = " ".join(SENTENCES)
GREETING = "Zulu and zulu and zulu."
QUESTION = "what about the weather"


class Call:
    """A caller, and the bot with its plain voice."""

    def __init__(self, stack: Stack, caller: Caller, llm: FakeLlm) -> None:
        self.stack, self.caller, self.llm = stack, caller, llm
        self._power = 0.0
        """The mean square of a tone's samples as they arrive."""

    async def hears_the_greeting(self) -> None:
        await self.until_heard("zulu", 0.0)
        await self.caller.silence(1.5)
        self._power = self._energy(0.0) / (len(GREETING) * MS_PER_CHARACTER / 1000)

    async def ask(self, clip: Clip) -> float:
        """Speak; return when the answer began to be heard."""
        said = await self.caller.say(clip)
        return await self.caller.hears(after=said)

    async def until_heard(self, name: str, after: float, timeout_s: float = 40.0) -> None:
        async with asyncio.timeout(timeout_s):
            while name not in self.tones(after):
                await asyncio.sleep(0.1)

    def tones(self, after: float) -> list[str]:
        """Name what has been heard, in the order it was."""
        heard: list[str] = []
        samples = self.caller.between(after, float("inf"))
        for start in range(0, len(samples) - RATE // 10, RATE // 10):
            piece = samples[start : start + RATE // 10]
            tone = loudest_tone(piece) or 0.0
            near = [name for name in TONES if abs(TONES[name] - tone) < 25]
            if near and heard[-1:] != near:
                heard += near
        return heard

    def audible_s(self, after: float) -> float:
        """Return how many seconds of tone were heard, by energy: gaps of a busy machine do not count."""
        return self._energy(after) / self._power

    def _energy(self, after: float) -> float:
        samples = self.caller.between(after, float("inf")).astype(np.float64)
        return float(samples @ samples) / RATE

    async def written(self, clip: Clip) -> str:
        """Ask again; return what the model is sent of the first answer."""
        before = len(self.llm.requests)
        await self.caller.say(clip)
        async with asyncio.timeout(20):
            while not (asked := [r for r in self.llm.requests[before:] if self._is_second(r)]):
                await asyncio.sleep(0.05)
        messages = asked[-1]["messages"]
        return next(m["content"] for m in messages if m["role"] == "assistant" and "lpha" in m["content"])

    def _is_second(self, request: dict) -> bool:
        return sum(m["role"] == "user" for m in request["messages"]) == 2


@asynccontextmanager
async def plain_call(folder: Path) -> AsyncIterator[Call]:
    script = folder / "script.json"
    asr = {**SCRIPT["asr"], "transcripts": [QUESTION]}
    tts = {"first_audio_ms": 60, "step_ms": STEP_MS, "tones": TONES, "ms_per_character": MS_PER_CHARACTER}
    script.write_text(json.dumps({**SCRIPT, "asr": asr, "tts": tts}))
    async with FakeLlm(ANSWER) as llm:
        environment = {"BOT_GREETING": GREETING, "NVIDIA_LLAMA_CPP_URL": llm.url}
        stack = Stack(folder / "stack", script, environment=environment)
        stack.tts.arguments = [
            *("-m", "benchmarks.doubles.plain_tts", f"--port={stack.tts.port}", f"--script={script}")
        ]
        async with stack, call(stack.url) as caller:
            try:
                yield Call(stack, caller, llm)
            finally:
                caller.save(ARTIFACTS / "plain_voice.wav")


async def test_the_greeting_and_every_answer_are_heard_and_a_restart_costs_no_word(
    tmp_path: Path, speak: Callable[[str], Clip]
) -> None:
    clip = speak(QUESTION)
    async with plain_call(tmp_path) as talk:
        await talk.hears_the_greeting()
        began = await talk.ask(clip)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(talk.stack.tts.kill, signal.SIGKILL)
        await asyncio.sleep(2.0)
        talk.stack.tts.start()
        await talk.until_heard("delta", began)
        await talk.caller.silence(1.5)
        heard, audible_s = talk.tones(began), talk.audible_s(began)
        written = await talk.written(clip)
    whole_s = sum(map(len, SENTENCES)) * MS_PER_CHARACTER / 1000
    assert heard == list(NAMES)
    assert whole_s * 0.93 <= audible_s <= whole_s * 1.07 + 0.5, (
        "a word that was cut off is said again, and no more"
    )
    assert written == ANSWER


async def test_the_conversation_holds_what_a_lost_voice_was_heard_to_say(
    tmp_path: Path, speak: Callable[[str], Clip]
) -> None:
    clip = speak(QUESTION)
    async with plain_call(tmp_path) as talk:
        await talk.hears_the_greeting()
        began = await talk.ask(clip)
        await asyncio.sleep(2.0)
        await asyncio.to_thread(talk.stack.tts.kill, signal.SIGKILL)
        await asyncio.sleep(9.0)
        audible_s = talk.audible_s(began)
        talk.stack.tts.start()
        await asyncio.sleep(2.0)
        written = await talk.written(clip)
        again = talk.caller.heard[-1][0]
        await talk.until_heard("alpha", again)
    sizes = [len(word) + 1 for word in ANSWER.split()]
    over = sum(end * MS_PER_CHARACTER / 1000 <= audible_s + 0.05 for end in accumulate(sizes))
    assert ANSWER.startswith(written)
    assert abs(len(written.split()) - over) <= 1, (written, audible_s)
