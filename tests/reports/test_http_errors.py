"""Errors of HTTP, on every server: a status, JSON in OpenAI's shape, and a sentence."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from nemotron_speech.responder.app import build_app
from tests.llama.server import free_port
from tests.serving.engines import EchoAsr, LetterTts
from tests.serving.shells import _aiohttp, recognising, recognising_many, speaking

REQUESTS = {
    "an unknown method": (b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "no request at all": (b"\x16\x03\x01 hello\r\n\r\n", 400),
    "a line that is too long": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a length that is none": (b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n", 400),
    "an unknown path": (b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "a method of another path": (b"DELETE /health HTTP/1.1\r\nHost: x\r\n\r\n", 405),
}


@pytest.fixture(params=["asr", "yap", "tts", "llm"])
async def port(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    async with AsyncExitStack() as stack:
        server = {
            "asr": lambda: recognising("aiohttp", EchoAsr()),
            "yap": lambda: recognising_many("aiohttp", EchoAsr()),
            "tts": lambda: speaking("aiohttp", LetterTts()),
            "llm": lambda: _aiohttp(build_app()),
        }[request.param]()
        address = await stack.enter_async_context(server)
        yield int(address.rpartition(":")[2])


async def answer(port: int, request: bytes) -> tuple[int, str, bytes]:
    """Return status, content type and body of the answer to a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(re.search(r"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
            body = await reader.readexactly(length)
    finally:
        writer.close()
    kind = re.search(r"(?i)content-type: ([\w/]+)", head)
    return int(head.split()[1]), kind[1] if kind else "", body


@pytest.mark.parametrize("request_", REQUESTS)
async def test_every_error_of_http_is_json_with_a_sentence(port: int, request_: str) -> None:
    sent, expected = REQUESTS[request_]
    status, kind, body = await answer(port, sent)
    error = json.loads(body)["error"]
    assert (status, kind, error["code"]) == (expected, "application/json", expected)
    assert error["message"]
    assert error["type"]


@pytest.fixture
def responder() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    command = [sys.executable, "-m", "nemotron_speech.responder", "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


async def test_the_responders_process_answers_so_and_ends_when_told_to(
    responder: tuple[subprocess.Popen[bytes], int],
) -> None:
    process, port = responder
    began = time.monotonic()
    while True:
        try:
            status, kind, _ = await answer(port, REQUESTS["an unknown method"][0])
            break
        except OSError:
            assert time.monotonic() - began < 60
            await asyncio.sleep(0.1)
    assert (status, kind) == (400, "application/json")
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 20) == 0
