"""Operator's and client's view of a bot: a quiet log, busy lines, requests that are answered."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from benchmarks.caller import RtviEvent, call
from benchmarks.stack import Process, Stack
from nemotron_speech.audio import Clip
from pipecat_bots.connections.outage import all_busy
from tests.e2e.conftest import SCRIPT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

Speak = Callable[[str], Clip]
TROUBLE = re.compile(r"\| (WARNING|ERROR|CRITICAL) ")


def troubles(process: Process) -> list[str]:
    """Return the lines of a log that ask for attention, tracebacks included."""
    lines = process.log.read_text(errors="replace").splitlines()
    return [line for line in lines if TROUBLE.search(line) or "Traceback" in line]


def logged(process: Process, text: str) -> int:
    return process.log.read_text(errors="replace").count(text)


async def until_logged(process: Process, text: str, times: int = 1) -> None:
    async with asyncio.timeout(15):
        while logged(process, text) < times:
            await asyncio.sleep(0.1)


async def test_an_ordinary_session_logs_no_warning_and_nothing_before_the_log_is_set_up(
    scripted_stack: Stack, speak: Speak
) -> None:
    async with call(scripted_stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        said = await caller.say(speak("tell me a story please"))
        await caller.until(lambda e: e.type == "bot-started-speaking" and e.at > said)
        await caller.silence(1.0)
        since = len(caller.events)
        caller.write("and the second thing")
        await caller.until("bot-started-speaking", since=since)
        said = await caller.say(speak("what about the weather"))
        await caller.until(lambda e: e.type == "bot-interrupted")
    await until_logged(scripted_stack.agent, " ends")
    assert troubles(scripted_stack.agent) == []
    assert logged(scripted_stack.agent, "| DEBUG ") == 0


async def test_an_outage_is_one_line_when_it_begins_and_one_when_it_is_over(scripted_stack: Stack) -> None:
    for server, name in ((scripted_stack.asr, "speech recogniser"), (scripted_stack.tts, "voice")):
        before = len(troubles(scripted_stack.agent))
        async with call(scripted_stack.url) as caller:
            await caller.until("bot-stopped-speaking")
            await asyncio.to_thread(server.kill)
            await until_logged(scripted_stack.agent, f"The {name} at")
            await asyncio.sleep(2)
            server.start()
            await asyncio.to_thread(server.wait_ready)
            await caller.until(lambda e: e.type == "server-message" and e.data["type"] == "notice-cleared")
            notices = [
                e.data for e in caller.events if e.type == "server-message" and "notice" in e.data["type"]
            ]
        lines = troubles(scripted_stack.agent)[before:]
        assert len(lines) == 1, lines
        (line,) = lines
        assert f"The {name} at" in line
        assert not re.search(r"\w+(Error|Exception)\b", line)
        assert [notice["type"] for notice in notices] == ["notice", "notice-cleared"]
        assert logged(scripted_stack.agent, f"The {name} at") == 2


@pytest.fixture
async def one_line(tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack whose recogniser has one place."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps({**SCRIPT, "asr": {**SCRIPT["asr"], "capacity": 1}}))
    stack = Stack(tmp_path / "stack", script, environment={"BOT_GREETING": "Zulu speaking, hello."})
    try:
        async with stack:
            yield stack
    finally:
        stack.stop()


async def test_a_caller_for_whom_there_is_no_line_is_told_so_and_greeted_when_there_is_one(
    one_line: Stack,
) -> None:
    def spoken(events: list[RtviEvent]) -> str:
        return "".join(event.data["text"] for event in events if event.type == "bot-tts-text")

    async with call(one_line.url) as first:
        await first.until("bot-stopped-speaking")
        async with call(one_line.url) as second:
            await second.until("bot-stopped-speaking", timeout_s=40)
            assert spoken(second.events).strip() == all_busy(1)
            notices = [e.data for e in second.events if e.type == "server-message"]
            assert {(n["message"], n["place"]) for n in notices} == {
                ("All lines are busy. You are next in line.", 1)
            }
            await first.hang_up()
            await second.until(lambda e: e.type == "server-message" and e.data["type"] == "notice-cleared")
            since = len(second.events)
            await second.until("bot-stopped-speaking", since=since, timeout_s=40)
            assert spoken(second.events).strip().endswith("Zulu speaking, hello.")


async def test_odd_requests_are_answered_with_4xx_and_a_request_of_an_unknown_type_with_an_error(
    scripted_stack: Stack,
) -> None:
    odd = ([], "x", {"transport": 3}, {"transport": "pigeon"})
    async with aiohttp.ClientSession() as session:
        for body in odd:
            async with session.post(f"{scripted_stack.url}/start", json=body) as response:
                assert 400 <= response.status < 500, body
                assert (await response.json())["detail"]
        for body in ([], {"sdp": "", "type": "offer"}, {"sdp": "v=0", "type": "answer"}):
            async with session.post(f"{scripted_stack.url}/api/offer", json=body) as response:
                assert 400 <= response.status < 500, body
    async with call(scripted_stack.url) as caller:
        caller.send("client-message", {"t": "make-coffee", "d": {}})
        answer = await caller.until("error-response")
        assert "make-coffee" in answer.data["error"]
    assert troubles(scripted_stack.agent) == []
