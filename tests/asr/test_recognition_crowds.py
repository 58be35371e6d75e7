"""Callers of both recognition protocols on one engine, over real sockets, with everything that goes wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from nemotron_speech.engines.base import AsrEngine
from tests.serving.channel import until
from tests.serving.engines import PATIENCE_S, EchoAsr
from tests.serving.shells import PlainClient, calling, recognising
from tests.serving.test_sockets import health

POISON = 32_000
"""The sample the engine fails on."""


@pytest.fixture
def engine() -> EchoAsr:
    engine = EchoAsr(capacity=64, max_batch=5)
    engine.fail_on = POISON
    return engine


@pytest.fixture
async def urls(engine: AsrEngine, unused_tcp_port: int) -> AsyncIterator[tuple[str, str]]:
    """The addresses of the two protocols."""
    async with recognising("aiohttp", engine, yap_port=unused_tcp_port) as address:
        yield f"ws://{address}", f"ws://127.0.0.1:{unused_tcp_port}"


class Streaming:
    """Speaks the streaming protocol."""

    def __init__(self, client: PlainClient) -> None:
        self.client, self.asked = client, 0

    async def begin(self) -> None:
        assert await self.client.read() == {"type": "ready"}

    async def final(self, *, soft: bool = False) -> str:
        self.asked += 1
        await self.client.say(type="reset", finalize=not soft, id=f"reset {self.asked}")
        while not (message := await self.client.read())["is_final"]:
            assert message["type"] == "transcript"
        assert (message["id"], message["finalize"]) == (f"reset {self.asked}", not soft)
        return message["text"]


class Yap:
    """Speaks the many-caller protocol, which knows no soft finals."""

    def __init__(self, client: PlainClient) -> None:
        self.client = client
        self.sid = str(id(client))

    async def begin(self) -> None:
        await self.client.say(op="init", sid=self.sid, sr=16000)

    async def final(self, *, soft: bool = False) -> str:
        if soft:
            return ""
        await self.client.say(op="flush", sid=self.sid)
        while (message := await self.client.read())["op"] != "final":
            assert message["op"] == "interim"
        assert message["sid"] == self.sid
        return message["text"]


@pytest.mark.parametrize("seed", range(3))
async def test_callers_come_go_and_fail_and_each_hears_all_of_itself_and_nothing_else(
    seed: int, urls: tuple[str, str], engine: EchoAsr
) -> None:
    """A final is the samples it covers, so one sample of anybody else would be seen."""
    rng = random.Random(seed)

    async def call(number: int, fate: str) -> None:
        protocol = number % 2
        async with calling(urls[protocol]) as client:
            caller = (Streaming, Yap)[protocol](client)
            await caller.begin()
            for utterance in range(rng.randint(1, 3)):
                said = [number * 400 + utterance * 100 + i for i in range(rng.randint(0, 90))]
                said *= rng.choice([1, 1, 8])
                pcm = np.array(said, "<i2").tobytes()
                middle = rng.randint(0, len(said)) * 2
                await say(client, pcm[:middle], rng)
                if rng.random() < 0.3:
                    assert await caller.final(soft=True) in ("", " ".join(map(str, said[: middle // 2])))
                await say(client, pcm[middle:], rng)
                assert await caller.final() == " ".join(map(str, said))
            if fate == "fails":
                await client.say(POISON.to_bytes(2, "little") * 160)
                assert "too much for me" in await last_words(client)
                assert client.socket.close_code == 1011
            elif fate == "vanishes":
                await say(client, bytes(4000), rng)
                client.socket._response.close()  # no closing handshake

    async with asyncio.TaskGroup() as calls:
        for number in range(48):
            calls.create_task(call(number, rng.choice(["leaves", "leaves", "vanishes", "fails"])))
            await asyncio.sleep(rng.choice([0, 0, 0.005]))
    async with asyncio.timeout(PATIENCE_S):
        while (await health(urls[0].removeprefix("ws://")))["active_streams"]:
            await asyncio.sleep(0.01)
    await until(lambda: engine.open_streams == 0)
    assert len(engine.streams) == 48
    assert 1 < max(map(len, engine.batches)) <= 5


async def test_a_caller_that_reads_nothing_is_cut_off_and_delays_nobody() -> None:
    """With more than 4 MiB waiting for it, beyond what the sockets hold."""
    engine = EchoAsr(wanted_samples=16_000)
    loud = np.full(16_000, 12_345, "<i2").tobytes()

    async def talk_only(client: PlainClient) -> None:
        for _ in range(300):
            await client.say(loud)
            await client.say(type="reset")

    async with recognising("aiohttp", engine) as address:
        url = f"ws://{address}"
        async with calling(url) as deaf, calling(url) as other, asyncio.timeout(30):
            reader = Streaming(other)
            await reader.begin()
            talking = asyncio.create_task(talk_only(deaf))
            number = 0
            while (await health(address))["active_streams"] == 2:
                number += 1
                await other.say(number.to_bytes(2, "little"))
                assert await reader.final() == str(number)
            talking.cancel()
            assert await reader.final() == ""
            while await deaf.read():
                pass
            assert deaf.socket.close_code in (1013, 1006), "1006 where it did not even take the good-bye"
    await until(lambda: engine.open_streams == 0)


async def say(client: PlainClient, pcm: bytes, rng: random.Random) -> None:
    """Send audio in messages of any size, some of half a sample."""
    while pcm:
        size = rng.choice([1, 20, 101, 640, 5000])
        await client.say(pcm[:size])
        pcm = pcm[size:]


async def last_words(client: PlainClient) -> str:
    """Return the error a connection ends with."""
    messages: list[Any] = [await client.read()]
    while messages[-1]:
        messages.append(await client.read())
    return messages[-2]["message"]
