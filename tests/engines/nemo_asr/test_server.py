"""The recognition server on a real model and real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from nemotron_speech.engines.base import AsrResult, AsrWork
from nemotron_speech.engines.nemo_asr.engine import NemoAsrEngine
from nemotron_speech.errors import EngineError
from nemotron_speech.server import build_app
from nemotron_speech.settings import AsrSettings
from tests.engines.nemo_asr import offline
from tests.engines.nemo_asr.streams import Samples
from tests.engines.nemo_asr.tiny_models import babble


@pytest.fixture
async def url(nemo_file: Callable[[str], Path]) -> AsyncIterator[str]:
    """A server with four places; every test starts one of its own."""
    engine = NemoAsrEngine(str(nemo_file("rnnt")), right_context=1, device="cpu", capacity=4, max_batch=3)
    async with serving(engine, AsrSettings()) as url:
        yield url


@asynccontextmanager
async def serving(engine: NemoAsrEngine, settings: AsrSettings) -> AsyncIterator[str]:
    async with TestServer(build_app(engine, settings)) as server, aiohttp.ClientSession() as http:
        for _ in range(1200):
            if (await http.get(server.make_url("/health"))).status == 200:
                break
            await asyncio.sleep(0.1)
        yield str(server.make_url("/"))


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        yield socket


@asynccontextmanager
async def caller(url: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with connection(url) as socket:
        assert (await socket.receive_json(timeout=30))["type"] == "ready"
        yield socket


async def say(
    socket: aiohttp.ClientWebSocketResponse, audio: Samples, finalize: bool = True
) -> dict[str, Any]:
    """Send audio in 20 ms frames and a reset; return the final."""
    for at in range(0, len(audio), 320):
        await socket.send_bytes(audio[at : at + 320].tobytes())
        if at % 3200 == 0:
            await asyncio.sleep(0)
    await socket.send_str(json.dumps({"type": "reset", "finalize": finalize, "id": "x"}))
    while not (message := await socket.receive_json(timeout=60))["is_final"]:
        pass
    return message


async def test_callers_that_come_and_go_each_hear_their_own_words(
    url: str, reference: Callable[[str, int], Any]
) -> None:
    model = reference("rnnt", 1)

    async def one(number: int, utterances: int) -> None:
        async with caller(url) as socket:
            for i in range(utterances):
                audio = babble(0.5 + 0.3 * number, 10 * number + i)
                final = await say(socket, audio)
                assert offline.spaced(final["text"]) == offline.recognise(model, audio)
                assert final["id"] == "x"
                assert final["words"]

    async def one_that_hangs_up() -> None:
        async with caller(url) as socket:
            await socket.send_bytes(babble(2, 3).tobytes())

    async with asyncio.TaskGroup() as callers:
        for number in range(3):
            callers.create_task(one(number, 3))
        callers.create_task(one_that_hangs_up())
    async with asyncio.TaskGroup() as callers:
        for number in range(4):
            callers.create_task(one(number, 2))


async def test_callers_of_both_protocols_are_served_at_once_by_one_model(
    nemo_file: Callable[[str], Path], reference: Callable[[str, int], Any], unused_tcp_port: int
) -> None:
    """Each its own words, and some in the same step."""
    engine = NemoAsrEngine(str(nemo_file("rnnt")), right_context=1, device="cpu", capacity=4)
    sizes, step = [], engine.step

    def counted(work: Sequence[AsrWork]) -> list[AsrResult | EngineError]:
        sizes.append(len(work))
        return step(work)

    engine.step = counted  # type: ignore[method-assign]
    model = reference("rnnt", 1)
    async with serving(engine, AsrSettings(yap_port=unused_tcp_port)) as streaming_url:
        yap_url = f"ws://127.0.0.1:{unused_tcp_port}"

        async def streaming(audio: Samples) -> str:
            async with caller(streaming_url) as socket:
                return (await say(socket, audio))["text"]

        async def yap(audio: Samples) -> str:
            async with connection(yap_url) as socket:
                await socket.send_json({"op": "init", "sid": "me", "sr": 16000})
                for at in range(0, len(audio), 320):
                    await socket.send_bytes(audio[at : at + 320].tobytes())
                await socket.send_json({"op": "close", "sid": "me"})
                while not (message := await socket.receive_json(timeout=60))["final"]:
                    assert message["op"] == "interim"
                return message["text"]

        spoken = [babble(1.5 + seed / 3, seed) for seed in range(4)]
        calls = [(yap if number % 2 else streaming)(audio) for number, audio in enumerate(spoken)]
        texts = await asyncio.gather(*calls)
    assert [offline.spaced(text) for text in texts] == [offline.recognise(model, audio) for audio in spoken]
    assert max(sizes) > 1


async def test_a_soft_reset_keeps_the_utterance_open(url: str, reference: Callable[[str, int], Any]) -> None:
    audio = babble(2.5, 8)
    model = reference("rnnt", 1)
    async with caller(url) as socket:
        soft = await say(socket, audio[:23456], finalize=False)
        hard = await say(socket, audio[23456:])
    assert offline.spaced(soft["text"]) == offline.recognise(model, audio[:23456])
    assert offline.spaced(hard["text"]) == offline.recognise(model, audio)


async def test_the_caller_after_the_last_place_is_refused_at_once(url: str) -> None:
    async with caller(url), caller(url), caller(url), caller(url), connection(url) as refused:
        assert (await refused.receive_json(timeout=10))["type"] == "error"
        await refused.receive(timeout=10)
        assert refused.close_code == 1013
    async with caller(url):
        pass
