"""Health as a server states it, and which process answered: its own word, or the owner of the port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from nemotron_speech.responder.app import build_app
from nemotron_speech.supervisor.health import Health, HealthProbe, understand
from pipecat_bots.process import health
from tests.serving.engines import EchoAsr, LetterTts
from tests.serving.shells import recognising, speaking

LISTENER = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
print(server.server_port, flush=True)
server.serve_forever()
"""


@asynccontextmanager
async def answering(body: Any) -> AsyncIterator[str]:
    async def health(request: web.Request) -> web.Response:
        return web.json_response(body)

    app = web.Application()
    app.router.add_get("/health", health)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/health"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(("pid", "understood"), [(4711, 4711), ("4711", None), (None, None)])
def test_a_server_says_which_process_it_is(pid: object, understood: int | None) -> None:
    report = understand(200, {"status": "healthy", "pid": pid})
    assert (report.health, report.pid) == (Health.HEALTHY, understood)


@pytest.mark.parametrize(("stated", "understood"), [(True, True), (False, False), ("no", False)])
def test_a_recogniser_says_that_its_times_are_estimates(stated: object, understood: bool) -> None:
    assert understand(200, {"estimates_times": stated}).estimates_times is understood


async def test_the_word_of_a_server_counts() -> None:
    async with answering({"status": "healthy", "pid": 4711}) as url, HealthProbe.open() as probe:
        assert (await probe(url)).pid == 4711


@pytest.fixture
def stranger() -> Iterator[tuple[int, int]]:
    """A process of its own whose answers do not say who it is; yields its pid and port."""
    command = [sys.executable, "-c", LISTENER]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say who listens")
async def test_a_server_that_does_not_say_is_known_by_its_port(stranger: tuple[int, int]) -> None:
    pid, port = stranger
    async with HealthProbe.open() as probe:
        report = await probe(f"http://127.0.0.1:{port}/health")
    assert (report.health, report.pid) == (Health.HEALTHY, pid)


async def test_nobody_answers_as_no_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with HealthProbe.open() as probe:
        report = await probe(f"http://127.0.0.1:{port}/health")
    assert (report.health, report.pid) == (Health.SILENT, None)


async def test_every_server_says_which_process_it_is() -> None:
    client = TestClient(TestServer(build_app()))
    async with (
        HealthProbe.open() as probe,
        recognising("aiohttp", EchoAsr()) as asr,
        speaking("aiohttp", LetterTts()) as tts,
        client,
    ):
        for url in (f"http://{asr}/health", f"http://{tts}/health"):
            assert (await probe(url)).pid == os.getpid()
        assert (await (await client.get("/health")).json())["pid"] == os.getpid()
    assert (await health())["pid"] == os.getpid()
