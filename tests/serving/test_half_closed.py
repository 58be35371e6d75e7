"""Callers who close their half of the connection when they have said everything, as `nc -N` does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from nemotron_speech import yap_server
from nemotron_speech.serving.frames import BINARY, CLOSE, TEXT
from nemotron_speech.settings import AsrSettings
from tests.asr.test_recognition import pcm, text
from tests.serving.channel import PATIENCE_S, until
from tests.serving.engines import EchoAsr, LetterTts
from tests.serving.shells import recognising, speaking
from tests.serving.test_rfc6455 import Stranger, calling, frame, request


def said(**fields: Any) -> bytes:
    return frame(json.dumps(fields).encode())


async def heard(stranger: Stranger) -> tuple[list[dict[str, Any]], int]:
    """Return what comes until the good-bye, and its code."""
    messages = []
    async with asyncio.timeout(PATIENCE_S):
        while (came := await stranger.read())[0] != CLOSE:
            if came[0] == TEXT:
                messages.append(json.loads(came[1]))
    return messages, int.from_bytes(came[1])


async def test_finals_that_were_asked_for_still_come() -> None:
    engine = EchoAsr(capacity=1)
    async with (
        recognising("aiohttp", engine) as address,
        calling(int(address.rpartition(":")[2]), "/") as one,
    ):
        engine.gate.shut()
        for start in (0, 500):
            one.writer.write(frame(pcm(*range(start, start + 300)), BINARY) + said(type="reset"))
        one.writer.write_eof()
        await until(engine.gate.waiting.is_set)
        engine.gate.open()
        messages, code = await heard(one)
    assert code == 1000
    finals = [message["text"] for message in messages if message["is_final"]]
    assert finals == [text(*range(300)), text(*range(500, 800))]


async def test_who_asked_for_nothing_more_gives_its_place_back_at_once() -> None:
    async with recognising("aiohttp", EchoAsr(capacity=1)) as address:
        for _ in range(3):
            async with calling(int(address.rpartition(":")[2]), "/") as one:
                one.writer.write(frame(pcm(1, 2, 3), BINARY))
                one.writer.write_eof()
                assert (await heard(one))[1] == 1000


async def test_a_close_of_the_many_caller_protocol_is_still_answered() -> None:
    app = yap_server.build_app(EchoAsr(), AsrSettings(engine="none"))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        await until(lambda: app[yap_server.SERVICE].health()[0] == 200)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        one = Stranger(reader, writer)
        writer.write(request("/"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said(op="init", sid="s", sr=16000) + frame(pcm(*range(1000)), BINARY))
        writer.write(said(op="close"))
        writer.write_eof()
        messages, code = await heard(one)
        assert (messages[-1]["op"], messages[-1]["text"], code) == ("final", text(*range(1000)), 1000)
        writer.transport.abort()
    finally:
        await runner.cleanup()


async def test_a_synthesiser_takes_half_a_connection_for_none() -> None:
    engine = LetterTts()
    async with (
        speaking("aiohttp", engine) as address,
        calling(int(address.rpartition(":")[2]), "/ws/tts/stream") as one,
    ):
        one.writer.write(said(type="text", text="a" * 4000))
        await one.says("stream_created")
        one.writer.write_eof()
        await until(lambda: not engine.open_streams)
    assert sum(map(len, engine.batches)) < 4000
