"""A caller talks to the bot over WebRTC; what it hears is analysed, not only what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.caller import RATE, Caller, call, loudest_tone
from benchmarks.stack import Stack
from nemotron_speech.audio import Clip
from tests.e2e.conftest import ARTIFACTS, TONES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

Speak = Callable[[str], Clip]
WINDOW_S = 0.1
IN_FLIGHT_S = 0.25
"""Audio the transport has sent when it is told to stop: what it holds, and what is on the way."""


def tones(caller: Caller, start: float, end: float) -> set[str]:
    """Name the replies heard in an interval by their tones."""
    heard = caller.between(start, end)
    window = int(RATE * WINDOW_S)
    found = set()
    for at in range(0, len(heard) - window, window):
        piece = heard[at : at + window]
        if np.abs(piece[: window // 4]).max() < 500 or np.abs(piece[-window // 4 :]).max() < 500:
            continue  # a beginning, an end or silence: its spectrum is smeared
        tone = loudest_tone(piece)
        if tone is not None:
            name, frequency = min(TONES.items(), key=lambda item: abs(item[1] - tone))
            found.add(name if abs(frequency - tone) < 30 else f"{tone:.0f} Hz")
    return found


async def turn(caller: Caller, clip: Clip, timeout_s: float = 20.0) -> tuple[float, float]:
    """Speak and hear the answer to its end; return when it began and ended."""
    said = await caller.say(clip)
    started = await caller.until(
        lambda e: e.type == "bot-started-speaking" and e.at > said, timeout_s=timeout_s
    )
    began = started.at
    await caller.until(lambda e: e.type == "bot-stopped-speaking" and e.at > began, timeout_s=60)
    await asyncio.sleep(0.3)
    return began, asyncio.get_running_loop().time()


def user_texts(caller: Caller) -> list[str]:
    return [e.data["text"] for e in caller.events if e.type == "user-transcription" and e.data["final"]]


async def test_a_greeting_and_three_turns_are_heard_as_written(scripted_stack: Stack, speak: Speak) -> None:
    async with call(scripted_stack.url) as caller:
        try:
            await caller.until("bot-stopped-speaking")
            await asyncio.sleep(0.3)
            loop = asyncio.get_running_loop()
            assert tones(caller, 0, loop.time()) == {"zulu"}
            for name in ("alpha", "bravo", "charlie"):
                began, ended = await turn(caller, speak("tell me a story please"))
                assert tones(caller, began, ended) == {name}
            assert user_texts(caller) == ["tell me the first thing", "and the second thing", "and the third"]
        finally:
            caller.save(ARTIFACTS / "three_turns.wav")


async def test_an_interrupted_reply_is_never_heard_again(scripted_stack: Stack, speak: Speak) -> None:
    async with call(scripted_stack.url) as caller:
        try:
            await caller.until("bot-stopped-speaking")
            await turn(caller, speak("tell me a story please"))
            since = len(caller.events)
            caller.say(speak("tell me a story please"))
            await caller.until("bot-started-speaking", since=since)
            await asyncio.sleep(1.5)
            since = len(caller.events)
            caller.say(speak("tell me another story please"))
            interrupted = (await caller.until("bot-interrupted", since=since)).at
            since = len(caller.events)
            began = (await caller.until("bot-started-speaking", since=since)).at
            await caller.until("bot-stopped-speaking", since=since)
            await asyncio.sleep(1.0)
            loop = asyncio.get_running_loop()
            assert tones(caller, interrupted + IN_FLIGHT_S, began) == set()
            assert tones(caller, began, loop.time()) == {"charlie"}
        finally:
            caller.save(ARTIFACTS / "barge_in.wav")


async def test_an_interruption_before_the_first_audio_leaves_one_answer(
    scripted_stack: Stack, speak: Speak
) -> None:
    async with call(scripted_stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        since = len(caller.events)
        await caller.say(speak("tell me a story please"))
        await caller.until("bot-llm-started", since=since)
        spoke_again = asyncio.get_running_loop().time()
        since = len(caller.events)
        caller.say(speak("tell me another story please"))
        await caller.until("user-stopped-speaking", since=since)
        began = (await caller.until("bot-started-speaking", since=since)).at
        await caller.until("bot-stopped-speaking", since=since)
        await asyncio.sleep(0.5)
        heard = tones(caller, spoke_again + IN_FLIGHT_S, asyncio.get_running_loop().time())
        assert len(heard) == 1, heard
        assert began > spoke_again


async def test_silence_and_a_cough_get_no_answer(scripted_stack: Stack) -> None:
    async with call(scripted_stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        since = len(caller.events)
        await caller.say(Clip(np.zeros(RATE * 2, np.int16), RATE))
        await caller.say(_cough())
        await asyncio.sleep(4)
        assert "bot-started-speaking" not in [event.type for event in caller.events[since:]]


async def test_a_typed_message_is_answered_aloud(scripted_stack: Stack) -> None:
    async with call(scripted_stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        since = len(caller.events)
        caller.write("tell me the first thing")
        began = (await caller.until("bot-started-speaking", since=since)).at
        await caller.until("bot-stopped-speaking", since=since)
        assert tones(caller, began, asyncio.get_running_loop().time()) == {"alpha"}


@pytest.mark.timeout(400)
async def test_twenty_turns_without_a_restart(scripted_stack: Stack, speak: Speak) -> None:
    clip = speak("go on please")
    async with call(scripted_stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        for number in range(20):
            name = ("alpha", "bravo", "charlie", "delta")[number % 4]
            began, ended = await turn(caller, clip)
            assert tones(caller, began, ended) == {name}, f"turn {number + 1}"


def _cough() -> Clip:
    """A burst of noise, 120 ms."""
    noise = np.random.default_rng(1).normal(0, 4000, int(RATE * 0.12))
    return Clip((noise * np.hanning(len(noise))).astype(np.int16), RATE)
