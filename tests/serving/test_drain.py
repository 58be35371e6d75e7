"""A server that is told to stop lets its callers finish and takes no new ones."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nemotron_speech.server import AsrService
from nemotron_speech.serving.edge import DRAINING_CLOSE
from nemotron_speech.settings import AsrSettings
from tests.serving.channel import PATIENCE_S, talking, until
from tests.serving.engines import EchoAsr
from tests.serving.shells import calling


@asynccontextmanager
async def process(module: str, script: Path, drain_s: float) -> AsyncIterator[tuple[Process, int]]:
    """Run a server with its scripted engine; yields the process and its port."""
    name = "ASR" if module == "server" else "TTS"
    command = (sys.executable, "-m", f"nemotron_speech.{module}", "--port", "0", "--engine", "scripted")
    child = await asyncio.create_subprocess_exec(
        *command,
        *("--option", f"script={script}"),
        env={f"NEMOTRON_{name}_DRAIN_S": str(drain_s)},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield child, await _port(child)
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def _port(child: Process) -> int:
    """Read the port from the log, once the engine is ready too."""
    assert child.stderr is not None
    port, ready = 0, False
    async with asyncio.timeout(60):
        while not (port and ready):
            line = (await child.stderr.readline()).decode()
            assert line, "the server did not start"
            if found := re.search(r"listens on 127\.0\.0\.1:(\d+)", line):
                port = int(found[1])
            ready = ready or "is ready" in line
    return port


async def test_sigterm_lets_the_stream_finish_and_refuses_new_callers(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"tts": {"step_ms": 10, "ms_per_character": 50}}))
    async with process("tts_server", script, drain_s=20) as (child, port):
        url = f"ws://127.0.0.1:{port}/ws/tts/stream"
        async with calling(url) as client:
            text = "A story that takes a while to tell."
            await client.say(type="text", text=text)
            await client.say(type="close")
            while not isinstance(await client.read(), bytes):
                pass
            child.send_signal(signal.SIGTERM)
            await until_refused(url)
            done = (await client.read_until("done"))[-1]
            assert done["total_audio_ms"] > 50 * len(text) - 1
        async with asyncio.timeout(PATIENCE_S):
            assert await child.wait() == 0


async def until_refused(url: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with calling(url) as late:
                await late.say(type="ping")
                message = await late.read()
                if message["type"] == "error":
                    assert "shutting down" in message["message"]
                    assert await late.read() is None
                    assert late.socket.close_code == 1013
                    return


async def test_a_caller_that_never_finishes_is_sent_elsewhere_in_the_end(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text("{}")
    async with (
        process("server", script, drain_s=0.3) as (child, port),
        calling(f"ws://127.0.0.1:{port}") as client,
    ):
        assert await client.read() == {"type": "ready"}
        child.send_signal(signal.SIGTERM)
        assert await client.read() is None
        assert client.socket.close_code == DRAINING_CLOSE
        async with asyncio.timeout(PATIENCE_S):
            assert await child.wait() == 0


async def test_a_draining_server_says_so_in_its_health() -> None:
    service = AsrService(EchoAsr(), AsrSettings(engine="none"))
    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        async with talking(service) as caller:
            await caller.read_until("ready")
            draining = asyncio.create_task(service.callers.drain(PATIENCE_S))
            await asyncio.sleep(0)
            status, body = service.health()
            assert (status, body["status"]) == (503, "draining")
            caller.say(b"\x01\x00")
            caller.say(type="reset")
            assert (await caller.read())["text"] == "1", "who is here is served to the end"
        await draining
