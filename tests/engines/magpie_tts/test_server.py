"""The real synthesis server with Magpie, over a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from aiohttp.test_utils import TestServer

from nemotron_speech.engines.base import Segment
from nemotron_speech.settings import TtsSettings
from nemotron_speech.tts_server import build_app
from tests.engines.magpie_tts.test_engine import TEXT, samples, speak

if TYPE_CHECKING:
    from pathlib import Path

    from nemotron_speech.engines.magpie_tts.engine import MagpieEngine

PATIENCE_S = 60


@pytest.fixture
def fresh(checkpoint: Path) -> MagpieEngine:
    """Not loaded: the server does that, in the background, on the engine's thread."""
    from nemotron_speech.engines.magpie_tts.engine import MagpieEngine

    return MagpieEngine(str(checkpoint), device="cpu", seed=18, capacity=4)


@pytest.fixture
async def address(fresh: MagpieEngine) -> AsyncIterator[Any]:
    async with TestServer(build_app(fresh, TtsSettings(engine="magpie"))) as server:
        async with ClientSession() as http, asyncio.timeout(PATIENCE_S):
            while (await http.get(server.make_url("/health"))).status != 200:
                await asyncio.sleep(0.05)
        yield server


async def until(socket: ClientWebSocketResponse, kind: str) -> tuple[list[dict[str, Any]], bytes]:
    """Read to the first message of `kind`; messages and audio."""
    messages: list[dict[str, Any]] = []
    audio = b""
    async with asyncio.timeout(PATIENCE_S):
        while not messages or messages[-1]["type"] != kind:
            message = await socket.receive()
            if message.type is WSMsgType.BINARY:
                audio += message.data
            else:
                assert message.type is WSMsgType.TEXT, message
                messages.append(json.loads(message.data))
    return messages, audio


async def say(socket: ClientWebSocketResponse, **message: Any) -> None:
    await socket.send_json(message)


def alike(heard: bytes, expected: bytes) -> bool:
    """Whether they differ by rounding at most."""
    a, b = (np.frombuffer(x, "<i2").astype(int) for x in (heard, expected))
    return len(a) == len(b) and bool(np.abs(a - b).max() <= 1)


async def test_callers_are_spoken_to_together_and_hear_what_they_would_hear_alone(
    address: TestServer, engine: MagpieEngine
) -> None:
    callers = {"aria": TEXT, "john": "No.", "leo": "A somewhat longer text, to be spoken for a while."}

    async def call(http: ClientSession, voice: str, text: str) -> bytes:
        async with http.ws_connect(address.make_url("/ws/tts/stream")) as socket:
            await say(socket, type="init", voice=voice, language="en")
            await say(socket, type="text", text=text, mode="stream", preset="aggressive")
            await say(socket, type="close")
            messages, audio = await until(socket, "done")
            assert messages[0]["sample_rate"] == 22050
            words = next(m for m in messages if m["type"] == "segment_complete")["words"]
            assert [word[0] for word in words] == text.split()
            return audio

    async with ClientSession() as http:
        heard = await asyncio.gather(*(call(http, *caller) for caller in callers.items()))
    for audio, (voice, text) in zip(heard, callers.items(), strict=True):
        alone = samples(speak(engine, Segment(text, voice, preset="aggressive"))).tobytes()
        assert alike(audio, alone)


async def test_after_a_cancel_the_next_utterance_is_whole_and_nothing_of_the_old_one_comes(
    address: TestServer, engine: MagpieEngine, fresh: MagpieEngine
) -> None:
    url = address.make_url("/ws/tts/stream")
    async with ClientSession() as http, http.ws_connect(url) as socket:
        await say(socket, type="init", voice="john")
        await until(socket, "stream_created")
        await say(socket, type="text", text=TEXT, mode="stream", preset="aggressive", utterance="old")
        await until(socket, "stream_created")
        await socket.receive_bytes()
        await say(socket, type="cancel", utterance="old")
        await until(socket, "cancelled")
        await say(socket, type="init", voice="aria")
        await until(socket, "stream_created")
        await say(socket, type="text", text=TEXT, mode="batch", utterance="new")
        await say(socket, type="close", utterance="new")
        messages, audio = await until(socket, "done")
    assert {message["utterance"] for message in messages} == {"new"}
    assert alike(audio, samples(speak(engine, Segment(TEXT, "aria"))).tobytes())
    assert fresh._decoder is None or fresh._decoder.free_slots == 4


async def test_voices_and_rate_over_http_are_the_checkpoints(address: TestServer) -> None:
    async with ClientSession() as http:
        voices = await (await http.get(address.make_url("/voices"))).json()
        config = await (await http.get(address.make_url("/v1/audio/config"))).json()
        asked = {"input": "No.", "voice": "leo", "response_format": "wav"}
        answer = await http.post(address.make_url("/v1/audio/speech"), json=asked)
        wav = await answer.read()
        fast = await http.post(address.make_url("/v1/audio/speech"), json={"input": "No.", "speed": 2})
    assert voices["voices"] == ["aria", "john", "sofia", "jason", "leo"]
    assert config["sample_rate"] == 22050
    assert (answer.status, wav[:4]) == (200, b"RIFF")
    assert fast.status == 400
