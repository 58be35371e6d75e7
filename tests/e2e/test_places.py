"""Places of the recogniser are held by callers who are there, not by offers and not by the dead."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.request import urlopen

import aiohttp
import pytest
from aiortc import RTCPeerConnection

from benchmarks.caller import call
from benchmarks.stack import ROOT, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

GIVEN_BACK_S = 5.0
CALLER = """
import asyncio, sys
from benchmarks.caller import call
async def main():
    async with call(sys.argv[1]) as caller:
        await caller.until("bot-stopped-speaking")
        print("connected", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


def places_taken(stack: Stack) -> int:
    with urlopen(stack.asr.url + "/health", timeout=5) as response:
        return json.load(response)["active_streams"]


async def until_taken(stack: Stack, number: int, within_s: float = GIVEN_BACK_S) -> float:
    """Wait until so many places are taken; return how long it took."""
    began = time.monotonic()
    while (taken := await asyncio.to_thread(places_taken, stack)) != number:
        assert time.monotonic() - began < within_s, f"{taken} places taken, not {number}"
        await asyncio.sleep(0.1)
    return time.monotonic() - began


@asynccontextmanager
async def other_process(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A caller that can be killed or stopped: a process of its own, greeted on entry."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CALLER, url, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 40) == b"connected\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def offer_of_nobody(url: str, *, candidates: bool) -> None:
    """Offer a call that will never connect: no address to be found at, or one that nobody has."""
    connection = RTCPeerConnection()
    connection.createDataChannel("chat")
    connection.addTransceiver("audio")
    await connection.setLocalDescription(await connection.createOffer())
    lines = connection.localDescription.sdp.split("\r\n")
    nowhere = "a=candidate:1 1 udp 2113937151 203.0.113.9 50000 typ host"
    kept = [nowhere if line.startswith("a=candidate") else line for line in lines]
    if not candidates:
        kept = [line for line in lines if not line.startswith("a=candidate")]
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.post(f"{url}/start", json={"transport": "webrtc"}) as response:
            id = (await response.json())["sessionId"]
        offer = {"sdp": "\r\n".join(kept), "type": "offer"}
        async with session.post(f"{url}/sessions/{id}/api/offer", json=offer):
            pass
    await connection.close()


async def test_an_offer_that_never_connects_takes_no_place(scripted_stack: Stack) -> None:
    for candidates in (True, False):
        await offer_of_nobody(scripted_stack.url, candidates=candidates)
    for _ in range(10):
        assert await asyncio.to_thread(places_taken, scripted_stack) == 0
        await asyncio.sleep(0.2)
    async with call(scripted_stack.url):
        await until_taken(scripted_stack, 1)
    await until_taken(scripted_stack, 0)


async def test_a_killed_caller_gives_its_place_back(scripted_stack: Stack) -> None:
    async with other_process(scripted_stack.url) as process:
        await until_taken(scripted_stack, 1)
        process.send_signal(signal.SIGKILL)
        await until_taken(scripted_stack, 0)


async def test_a_caller_that_was_silent_for_a_while_is_heard_again(scripted_stack: Stack) -> None:
    async with other_process(scripted_stack.url) as process:
        await until_taken(scripted_stack, 1)
        process.send_signal(signal.SIGSTOP)
        await until_taken(scripted_stack, 0)
        process.send_signal(signal.SIGCONT)
        await until_taken(scripted_stack, 1)
    log = scripted_stack.agent.log.read_text()
    assert log.count("nothing comes from the caller any more") == 1
    assert log.count("the caller is heard again") == 1
