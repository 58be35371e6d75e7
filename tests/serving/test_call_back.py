"""Callers who hang up and call back at once, at a server with one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.serving.channel import until
from tests.serving.engines import EchoAsr, LetterTts
from tests.serving.shells import PlainClient, calling, recognising, speaking


@pytest.fixture
async def recogniser() -> AsyncIterator[str]:
    async with recognising("aiohttp", EchoAsr(capacity=1)) as address:
        yield f"ws://{address}"


def cut(client: PlainClient) -> None:
    """Hang up without a good-bye."""
    connection = client.socket._response.connection
    assert connection is not None
    assert connection.transport is not None
    connection.transport.abort()


@pytest.mark.parametrize("politely", [True, False])
async def test_a_listener_finds_the_place_it_has_left(recogniser: str, politely: bool) -> None:
    for _ in range(20):
        async with calling(recogniser) as client:
            assert await client.read() == {"type": "ready"}
            if not politely:
                cut(client)


@pytest.mark.parametrize("politely", [True, False])
async def test_a_speaker_finds_the_place_it_has_left_in_the_middle_of_a_text(politely: bool) -> None:
    async with speaking("aiohttp", LetterTts(capacity=1)) as address:
        for _ in range(20):
            async with calling(f"ws://{address}/ws/tts/stream") as client:
                await client.say(type="text", text="ab" * 1000)
                assert isinstance((await client.read_until("stream_created"))[-1], dict)
                if not politely:
                    cut(client)


async def test_a_request_finds_the_place_of_one_that_was_broken_off_while_the_engine_works() -> None:
    """The broken one is noticed only when the engine has made something more."""
    engine = LetterTts(capacity=1)
    async with (
        speaking("aiohttp", engine) as address,
        aiohttp.ClientSession(f"http://{address}") as http,
        asyncio.timeout(10),
    ):
        first = await http.post("/v1/audio/speech", json={"input": "a" * 4000, "stream": True})
        await first.content.readany()
        engine.gate.shut()
        await until(engine.gate.waiting.is_set)
        first.close()
        asking = asyncio.create_task(
            http.post("/v1/audio/speech", json={"input": "b", "response_format": "wav"})
        )
        await asyncio.sleep(0.05)
        assert not asking.done(), "it waits"
        engine.gate.open()
        assert (await asking).status == 200
