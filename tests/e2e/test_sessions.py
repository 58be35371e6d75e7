"""What a session does by its settings: a greeting that is spoken to its end, a silent user."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.caller import Caller, call
from benchmarks.stack import Stack
from nemotron_speech.audio import Clip
from tests.e2e.conftest import SCRIPT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

Speak = Callable[[str], Clip]
GREETING = "Zulu speaking, hello, this is a long greeting, and nobody is to interrupt it."


@asynccontextmanager
async def called(folder: Path, **environment: str) -> AsyncIterator[tuple[Caller, Stack]]:
    script = folder / "script.json"
    script.write_text(json.dumps(SCRIPT))
    stack = Stack(folder / "stack", script, environment={"BOT_GREETING": GREETING, **environment})
    async with stack, call(stack.url) as caller:
        yield caller, stack


def spoken(caller: Caller) -> str:
    return "".join(event.data["text"] for event in caller.events if event.type == "bot-tts-text")


async def test_a_greeting_can_be_kept_from_interruption_and_the_next_words_are_answered(
    tmp_path: Path, speak: Speak
) -> None:
    async with called(tmp_path, BOT_MUTE_GREETING="true") as (caller, _):
        await caller.until("bot-started-speaking")
        caller.say(speak("what about the weather"))
        await caller.until("bot-stopped-speaking")
        assert spoken(caller).strip() == GREETING
        assert not any(event.type in ("bot-interrupted", "bot-llm-started") for event in caller.events)
        said = await caller.say(speak("tell me a story please"))
        await caller.until(lambda e: e.type == "bot-started-speaking" and e.at > said)


async def test_a_silent_user_is_asked_and_bidden_farewell(tmp_path: Path) -> None:
    quickly = {"BOT_USER_IDLE_SECS": "1", "BOT_USER_LEAVE_SECS": "1"}
    async with called(tmp_path, **quickly) as (caller, stack):
        for _ in range(3):
            since = len(caller.events)
            await caller.until("bot-stopped-speaking", since=since)
        assert spoken(caller).endswith("Are you still there?Goodbye, then.")
        async with asyncio.timeout(10):
            while " ends" not in stack.agent.log.read_text():
                await asyncio.sleep(0.1)
