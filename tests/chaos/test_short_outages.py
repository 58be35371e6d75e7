"""A server that is back within seconds costs no turn; after a longer outage the question is answered too."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.caller import Caller, RtviEvent, call
from benchmarks.stack import Process, Stack
from nemotron_speech.audio import Clip
from pipecat_bots.connections.overdue import SILENT_S
from pipecat_bots.llm.restarts import RESTART_S
from pipecat_bots.nvidia_stt import PATIENCE_S
from tests.e2e.conftest import SCRIPT, reply

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(220)]

Speak = Callable[[str], Clip]
QUESTION = "tell me a story please"
ANSWER = reply("charlie", 3)
PLAIN_ASR = ("-m", "benchmarks.doubles.plain_asr", "--host=127.0.0.1")


@pytest.fixture
async def stack(tmp_path: Path, request: pytest.FixtureRequest) -> object:
    """Servers that know one question and one answer; the recogniser is a plain one where a test says so."""
    script = tmp_path / "script.json"
    asr = {**SCRIPT["asr"], "transcripts": [QUESTION]}
    script.write_text(json.dumps({**SCRIPT, "asr": asr, "llm": {**SCRIPT["llm"], "replies": [ANSWER]}}))
    stack = Stack(tmp_path / "stack", script, environment={"BOT_GREETING": "Zulu speaking, hello."})
    if request.param == "plain":
        stack.asr.arguments = [*PLAIN_ASR, f"--port={stack.asr.port}", f"--script={script}"]
    async with stack:
        yield stack


async def away(server: Process, for_s: float) -> float:
    """Kill a server and bring it back; return how long it was away."""
    began = time.monotonic()
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(for_s)
    server.start()
    await asyncio.to_thread(server.wait_ready)
    return time.monotonic() - began


def spoken(caller: Caller, after: float) -> str:
    return "".join(e.data["text"] for e in caller.events if e.type == "bot-tts-text" and e.at > after)


async def until_answered(caller: Caller, after: float) -> str:
    """Wait for the last word of the answer; return all that the bot said."""
    async with asyncio.timeout(60):
        while not spoken(caller, after).rstrip().endswith(ANSWER):
            await asyncio.sleep(0.1)
    return spoken(caller, after).strip()


@pytest.mark.parametrize("stack", ["ours", "plain"], indirect=True)
@pytest.mark.parametrize("for_s", [0.5, 8.0])
async def test_a_recogniser_killed_during_an_utterance(stack: Stack, speak: Speak, for_s: float) -> None:
    async with call(stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        since = len(caller.events)
        saying = caller.say(speak(QUESTION))
        began = await caller.until("user-started-speaking", since=since)
        outage = asyncio.create_task(away(stack.asr, for_s))
        await saying
        said = await until_answered(caller, began.at)
        away_s = await outage
    assert said.count(ANSWER) == 1, "one answer"
    if away_s < PATIENCE_S:
        assert said == ANSWER, "and no apology"
    if for_s > PATIENCE_S + 2:
        assert "recogniser" in said


def is_notice(event: RtviEvent) -> bool:
    return event.type == "server-message" and event.data["type"] == "notice"


@pytest.mark.parametrize("stack", ["ours"], indirect=True)
async def test_a_recogniser_that_hangs_with_its_connections_open(stack: Stack, speak: Speak) -> None:
    async with call(stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        since = len(caller.events)
        saying = caller.say(speak(QUESTION))
        began = await caller.until("user-started-speaking", since=since)
        stack.asr.send_signal(signal.SIGSTOP)
        await saying
        try:
            notice = await caller.until(is_notice, since=since, timeout_s=SILENT_S + 4)
        finally:
            stack.asr.send_signal(signal.SIGCONT)
        said = await until_answered(caller, began.at)
    assert "says nothing" in str(notice.data)
    assert said.count(ANSWER) == 1, "one answer"


@pytest.mark.parametrize("stack", ["ours"], indirect=True)
@pytest.mark.parametrize("for_s", [0.5, 8.0])
async def test_a_language_model_killed_as_it_is_asked(stack: Stack, speak: Speak, for_s: float) -> None:
    async with call(stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        since = len(caller.events)
        saying = caller.say(speak(QUESTION))
        began = await caller.until("user-started-speaking", since=since)
        outage = asyncio.create_task(away(stack.llm_server, for_s))
        await saying
        said = await until_answered(caller, began.at)
        away_s = await outage
    assert said.count(ANSWER) == 1, "one answer"
    if away_s < RESTART_S:
        assert said == ANSWER, "and no apology"
    if for_s > RESTART_S + 3:
        assert "language model" in said
