"""Each server is killed in the middle of a turn and comes back: the caller is told, and the talk goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from benchmarks.caller import Caller, RtviEvent, call
from benchmarks.stack import Process, Stack
from nemotron_speech.audio import Clip

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

Speak = Callable[[str], Clip]
CAUSES = ("asr", "llm", "tts")


def victim(stack: Stack, service: str) -> Process:
    return {"asr": stack.asr, "llm": stack.llm_server, "tts": stack.tts}[service]


def notice(service: str, kind: str = "notice") -> Callable[[RtviEvent], bool]:
    def about(event: RtviEvent) -> bool:
        data = event.data
        return event.type == "server-message" and (data.get("type"), data.get("service")) == (kind, service)

    return about


async def until_mid_turn(caller: Caller, service: str, clip: Clip) -> None:
    """Bring a turn to where `service` is at work."""
    since = len(caller.events)
    saying = caller.say(clip)
    match service:
        case "asr":
            await caller.until("user-started-speaking", since=since)
            await asyncio.sleep(0.3)
        case "llm":
            await saying
            await caller.until("bot-llm-started", since=since)
        case "tts":
            await caller.until("bot-started-speaking", since=since)
            await asyncio.sleep(0.3)


async def turn_works(caller: Caller, clip: Clip) -> None:
    """Speak, and hear an answer that began after the last word."""
    said = await caller.say(clip)
    began = await caller.until(lambda e: e.type == "bot-started-speaking" and e.at > said)
    await caller.hears(after=began.at - 0.1)
    await caller.until(lambda e: e.type == "bot-stopped-speaking" and e.at > began.at, timeout_s=60)


@pytest.mark.parametrize("away_s", [3, 60])
@pytest.mark.parametrize("service", CAUSES)
async def test_a_server_killed_in_a_turn_is_missed_and_the_next_turn_works(
    scripted_stack: Stack, speak: Speak, service: str, away_s: float
) -> None:
    clip = speak("tell me a story please")
    server = victim(scripted_stack, service)
    async with call(scripted_stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        await turn_works(caller, clip)
        await until_mid_turn(caller, service, clip)

        since = len(caller.events)
        await asyncio.to_thread(server.kill)
        told = await caller.until(notice(service), since=since, timeout_s=15)
        assert f":{server.port}" in told.data["message"], "the notice names the address"
        assert "nemotron up" in told.data["hint"], "the notice says what to type"

        await asyncio.sleep(away_s)
        server.start()
        await caller.until(notice(service, "notice-cleared"), since=since, timeout_s=60)
        await caller.silence(1.0)
        await turn_works(caller, clip)
        assert scripted_stack.agent.alive, "the bot was never restarted"


async def test_a_bot_started_before_its_servers_begins_to_work_when_they_come(
    scripted_stack: Stack, speak: Speak
) -> None:
    for server in scripted_stack.servers:
        await asyncio.to_thread(server.kill)
    async with call(scripted_stack.url) as caller:
        for service in CAUSES:
            told = await caller.until(notice(service), timeout_s=30)
            assert f":{victim(scripted_stack, service).port}" in told.data["message"]
        for server in scripted_stack.servers:
            server.start()
        for service in CAUSES:
            await caller.until(notice(service, "notice-cleared"), timeout_s=60)
        await caller.silence(1.0)
        await turn_works(caller, speak("tell me a story please"))


async def test_a_full_recogniser_is_a_notice_and_a_free_place_is_taken(
    scripted_stack: Stack, speak: Speak
) -> None:
    script = '{"capacity": 1}'
    asr = scripted_stack.asr
    await asyncio.to_thread(asr.kill)
    (asr.log.parent / "full.json").write_text(f'{{"asr": {script}}}')
    asr.arguments = [*asr.arguments, f"--option=script={asr.log.parent / 'full.json'}"]
    asr.start()
    await asyncio.to_thread(asr.wait_ready)
    async with call(scripted_stack.url) as first:
        await first.until("bot-stopped-speaking")
        async with call(scripted_stack.url) as second:
            told = await second.until(notice("asr"), timeout_s=20)
            assert told.data["message"] == "All lines are busy. You are next in line."
            await turn_works(first, speak("tell me a story please"))
            await first.hang_up()
            await second.until(notice("asr", "notice-cleared"), timeout_s=30)
            await second.silence(1.0)
            await turn_works(second, speak("tell me a story please"))
