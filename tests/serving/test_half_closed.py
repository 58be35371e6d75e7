"""Callers who close their half of the connection when they have said everything, as `nc -N` does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from nemotron_speech.serving.frames import BINARY, CLOSE, TEXT
from tests.asr.test_recognition import pcm, text
from tests.serving.channel import PATIENCE_S, until
from tests.serving.engines import EchoAsr, LetterTts
from tests.serving.shells import SHELLS, recognising, recognising_many, speaking
from tests.serving.test_rfc6455 import Stranger, calling, frame

YAP = "/?"
"""Address of the many-caller protocol, whose server says nothing before it is told who calls."""


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


@pytest.mark.parametrize("shell", SHELLS)
async def test_finals_that_were_asked_for_still_come(shell: str) -> None:
    engine = EchoAsr(capacity=1)
    async with (
        recognising(shell, engine) as address,
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


@pytest.mark.parametrize("shell", SHELLS)
async def test_who_asked_for_nothing_more_gives_its_place_back_at_once(shell: str) -> None:
    async with recognising(shell, EchoAsr(capacity=1)) as address:
        for _ in range(3):
            async with calling(int(address.rpartition(":")[2]), "/") as one:
                one.writer.write(frame(pcm(1, 2, 3), BINARY))
                one.writer.write_eof()
                assert (await heard(one))[1] == 1000


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_close_of_the_many_caller_protocol_is_still_answered(shell: str) -> None:
    engine = EchoAsr(capacity=1)
    async with (
        recognising_many(shell, engine) as address,
        calling(int(address.rpartition(":")[2]), YAP) as one,
    ):
        engine.gate.shut()
        one.writer.write(said(op="init", sid="s", sr=16000) + frame(pcm(*range(1000)), BINARY))
        one.writer.write(said(op="close"))
        one.writer.write_eof()
        await until(engine.gate.waiting.is_set)
        engine.gate.open()
        messages, code = await heard(one)
    assert (messages[-1]["op"], messages[-1]["text"], code) == ("final", text(*range(1000)), 1000)


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_flush_of_the_many_caller_protocol_is_still_answered(shell: str) -> None:
    async with (
        recognising_many(shell, EchoAsr(capacity=1)) as address,
        calling(int(address.rpartition(":")[2]), YAP) as one,
    ):
        one.writer.write(said(op="init", sid="s", sr=16000) + frame(pcm(*range(500)), BINARY))
        one.writer.write(said(op="flush"))
        one.writer.write_eof()
        messages, code = await heard(one)
    assert (messages[-1]["op"], messages[-1]["text"], code) == ("final", text(*range(500)), 1000)


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_synthesiser_takes_half_a_connection_for_none(shell: str) -> None:
    engine = LetterTts()
    async with (
        speaking(shell, engine) as address,
        calling(int(address.rpartition(":")[2]), "/ws/tts/stream") as one,
    ):
        one.writer.write(said(type="text", text="a" * 4000))
        await one.says("stream_created")
        one.writer.write_eof()
        await until(lambda: not engine.open_streams)
    assert sum(map(len, engine.batches)) < 4000
