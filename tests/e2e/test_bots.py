"""Each bot takes a call, with our page, metrics and a recording."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
import soundfile

from benchmarks.caller import call
from benchmarks.stack import Stack
from nemotron_speech.audio import Clip
from pipecat_bots.observability.client_page import CLIENT_DIR
from tests.e2e.conftest import SCRIPT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

Speak = Callable[[str], Clip]
BOTS = ("bot_interleaved_streaming", "bot_simple_vad", "bot_vllm")


@pytest.fixture(params=BOTS)
async def stack(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stack]:
    script = tmp_path / "script.json"
    script.write_text(json.dumps(SCRIPT))
    environment = {"ENABLE_RECORDING": "true", "RECORDING_DIR": str(tmp_path / "recordings")}
    stack = Stack(tmp_path / "stack", script, bot=request.param, environment=environment)
    try:
        async with stack:
            yield stack
    finally:
        stack.stop()


async def test_a_call_is_greeted_answered_measured_and_recorded(
    stack: Stack, speak: Speak, tmp_path: Path
) -> None:
    async with call(stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        said = await caller.say(speak("tell me a story please"))
        metrics = await caller.until(
            lambda e: e.type == "server-message" and e.data["type"] == "turn-metrics" and e.at > said
        )
        await caller.until(lambda e: e.type == "bot-stopped-speaking" and e.at > said)
        assert metrics.data["turn"] == 1
        stages = sum(stage["ms"] for stage in metrics.data["stages"])
        assert abs(stages - metrics.data["voice_to_voice_ms"]) <= len(metrics.data["stages"])
    lines = await asyncio.to_thread(_lines, stack.folder / "metrics.jsonl")
    assert [line["turn"] for line in lines] == [1]
    (recording,) = (tmp_path / "recordings").glob("*.wav")
    info = soundfile.info(recording)
    assert info.channels == 2
    assert info.duration > 2


def test_our_page_is_served_in_place_of_pipecats(stack: Stack) -> None:
    page = (CLIENT_DIR / "index.html").read_bytes()
    for path in ("/client/", "/client", "/"):
        with urlopen(stack.url + path, timeout=5) as response:
            assert response.read() == page


async def test_a_bot_told_to_stop_ends_its_sessions_and_itself(scripted_stack: Stack) -> None:
    async with call(scripted_stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        scripted_stack.agent.send_signal()
        async with asyncio.timeout(8):
            while scripted_stack.agent.alive:
                await asyncio.sleep(0.1)
    assert "ends" in scripted_stack.agent.tail()


def _lines(path: Path) -> list[dict[str, object]]:
    """Return a file's JSON lines once the session has written them."""
    deadline = time.monotonic() + 10
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    return [json.loads(line) for line in path.read_text().splitlines()]
