"""Somebody is heard while the bot speaks, over WebRTC: what that was decides whether the bot goes on."""

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
from tests.e2e.conftest import SCRIPT, reply

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

Speak = Callable[[str], Clip]
STORY = " ".join(reply("bravo", 5) for _ in range(6))


@asynccontextmanager
async def telling_a_story(folder: Path, speak: Speak, interjection: str) -> AsyncIterator[Caller]:
    """A bot in the middle of a long answer; what is said next is understood as `interjection`."""
    asr = {**SCRIPT["asr"], "transcripts": ["tell me a story please", interjection, "and now"]}
    script = folder / "script.json"
    script.write_text(
        json.dumps({**SCRIPT, "asr": asr, "llm": {**SCRIPT["llm"], "replies": [STORY, "Delta."]}})
    )
    stack = Stack(folder / "stack", script, environment={"BOT_GREETING": "Zulu speaking, hello."})
    async with stack, call(stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        said = await caller.say(speak("tell me a story please"))
        await caller.until(lambda e: e.type == "bot-started-speaking" and e.at > said)
        await asyncio.sleep(1.5)
        yield caller


def happened(caller: Caller, kind: str, since: int) -> bool:
    return any(event.type == kind for event in caller.events[since:])


@pytest.mark.parametrize("assent", ["yeah", "okay"])
async def test_assent_leaves_the_answer_going_on_to_its_end(
    tmp_path: Path, speak: Speak, assent: str
) -> None:
    async with telling_a_story(tmp_path, speak, assent) as caller:
        since = len(caller.events)
        ended = await caller.say(speak(assent))
        resumed = await caller.hears(after=ended + 0.2)
        finished = await caller.until(
            lambda e: e.type == "bot-stopped-speaking" and e.at > resumed, timeout_s=60
        )
        assert not happened(caller, "bot-interrupted", since)
        assert not happened(caller, "user-started-speaking", since), "assent is no turn"
        spoken = "".join(
            e.data["text"] for e in caller.events if e.type == "bot-tts-text" and e.at <= finished.at
        )
        assert spoken.endswith(STORY), "not a word is left out or said twice"


@pytest.mark.parametrize("word", ["stop", "be quiet"])
async def test_a_stop_word_silences_the_bot_for_good(tmp_path: Path, speak: Speak, word: str) -> None:
    async with telling_a_story(tmp_path, speak, word) as caller:
        since = len(caller.events)
        await caller.say(speak(word))
        await caller.until("bot-interrupted", since=since)
        await caller.silence(2.0, timeout_s=10)
        assert not happened(caller, "bot-started-speaking", since)


async def test_words_interrupt_and_are_answered(tmp_path: Path, speak: Speak) -> None:
    async with telling_a_story(tmp_path, speak, "what about the weather") as caller:
        since = len(caller.events)
        said = await caller.say(speak("what about the weather"))
        await caller.until("bot-interrupted", since=since)
        began = await caller.until(lambda e: e.type == "bot-started-speaking" and e.at > said)
        await caller.until(lambda e: e.type == "bot-stopped-speaking" and e.at > began.at)
        spoken = "".join(
            e.data["text"] for e in caller.events if e.type == "bot-tts-text" and e.at > began.at - 1
        )
        assert spoken.endswith("Delta.")
