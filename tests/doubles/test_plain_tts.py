"""The double of the plain synthesis server does what that server does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from aiohttp.test_utils import TestServer

from benchmarks.doubles.plain_tts import SAMPLE_RATE, PlainServer, build_app
from nemotron_speech.engines.scripted import TtsScript


def say(server: PlainServer, **fields: Any) -> list[str]:
    return [json.loads(reply)["type"] for reply in server.receive(json.dumps(fields))]


def speak(server: PlainServer) -> list[str]:
    asked = server.begin()
    assert asked is not None
    assert server.audio(asked, bytes(200))
    return [json.loads(message)["type"] for message in server.complete(asked)]


def test_every_init_is_answered_and_the_first_text_joins_its_stream() -> None:
    server = PlainServer()
    assert say(server, type="init", voice="aria", language="en") == ["stream_created"]
    assert say(server, type="text", text="One.") == []
    assert say(server, type="text", text="Two.") == []
    assert speak(server) == ["segment_complete"]
    assert say(server, type="close") == []
    assert speak(server) == ["segment_complete", "done"]
    assert say(server, type="text", text="Three.") == ["stream_created"]


def test_a_second_init_discards_what_was_asked_for() -> None:
    server = PlainServer()
    say(server, type="init")
    say(server, type="text", text="One.")
    running = server.begin()
    say(server, type="text", text="Two.")
    assert say(server, type="init") == ["stream_created"]
    assert running is not None
    assert not server.audio(running, b"ab")
    assert server.complete(running) == []
    assert server.begin() is None


def test_text_behind_a_close_discards_what_was_not_spoken_yet() -> None:
    server = PlainServer()
    say(server, type="text", text="One.")
    say(server, type="text", text="Two.")
    speak(server)
    say(server, type="close")
    assert say(server, type="text", text="Three.") == ["stream_created"]
    asked = server.begin()
    assert asked is not None
    assert asked.text == "Three."


def test_a_cancel_is_not_answered_and_the_next_text_is_announced() -> None:
    server = PlainServer()
    say(server, type="init")
    say(server, type="text", text="One.")
    running = server.begin()
    assert say(server, type="cancel") == []
    assert running is not None
    assert not server.audio(running, b"ab")
    assert say(server, type="close") == []
    assert say(server, type="text", text="Two.") == ["stream_created"]


def test_a_failure_ends_the_stream_and_not_the_connection() -> None:
    server = PlainServer()
    say(server, type="text", text="One.")
    asked = server.begin()
    assert asked is not None
    assert json.loads(server.fail(asked, "broken")[0])["fatal"]
    assert say(server, type="text", text="Two.") == ["stream_created"]


def test_ping_is_answered_and_a_blank_text_is_no_segment() -> None:
    server = PlainServer()
    assert say(server, type="ping") == ["pong"]
    assert say(server, type="text", text=" ") == ["stream_created"]
    assert server.begin() is None


@pytest.fixture
async def http() -> AsyncIterator[tuple[ClientSession, str]]:
    server = TestServer(build_app(TtsScript(ms_per_character=20, fail_on="bad", tones={"one": 400})))
    await server.start_server()
    async with ClientSession() as session:
        yield session, str(server.make_url("")).rstrip("/")
    await server.close()


async def hear(websocket: ClientWebSocketResponse, until: str) -> tuple[bytes, list[str]]:
    pcm, kinds = b"", list[str]()
    while not kinds or kinds[-1] != until:
        message = await websocket.receive(5)
        if message.type is WSMsgType.BINARY:
            pcm += message.data
        else:
            kinds.append(json.loads(message.data)["type"])
    return pcm, kinds


@pytest.mark.parametrize("mode", ["stream", "batch"])
async def test_it_speaks_over_a_socket(http: tuple[ClientSession, str], mode: str) -> None:
    session, url = http
    async with session.get(url + "/health") as health, session.get(url + "/v1/audio/config") as config:
        assert (await health.json())["status"] == "healthy"
        assert (await config.json())["sample_rate"] == SAMPLE_RATE
    async with session.ws_connect(url + "/ws/tts/stream") as websocket:
        for message in (
            {"type": "init"},
            {"type": "text", "text": "One two.", "mode": mode},
            {"type": "close"},
        ):
            await websocket.send_json(message)
        pcm, kinds = await hear(websocket, "done")
    assert kinds == ["stream_created", "segment_complete", "done"]
    assert len(pcm) == 2 * SAMPLE_RATE * 20 * len("One two.") // 1000


async def test_it_goes_on_after_a_failure(http: tuple[ClientSession, str]) -> None:
    session, url = http
    async with session.ws_connect(url + "/ws/tts/stream") as websocket:
        await websocket.send_json({"type": "text", "text": "a bad one", "mode": "stream"})
        await hear(websocket, "error")
        await websocket.send_json({"type": "text", "text": "One.", "mode": "stream"})
        pcm, _ = await hear(websocket, "segment_complete")
    assert pcm
