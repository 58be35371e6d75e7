"""The double of a plain recogniser lags, answers soft resets without flushing, and knows no ids."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer

from benchmarks.doubles.plain_asr import PlainAsr, application
from nemotron_speech.engines.scripted import AsrScript
from tests.virtual_time import virtual_time

SCRIPT = AsrScript(transcripts=("what time is it", "thank you"), words_per_second=4, word_lag_ms=200)


def sound(ms: int, loud: bool = True) -> list[bytes]:
    """Return frames of 20 ms."""
    frame = np.full(320, 8000 if loud else 0, "<i2").tobytes()
    return [frame] * (ms // 20)


def hear(caller: PlainAsr, frames: list[bytes]) -> list[str]:
    return [json.loads(message)["text"] for frame in frames for message in caller.audio(frame)]


def test_words_come_with_their_lag_and_the_last_ones_in_the_silence() -> None:
    caller = PlainAsr(SCRIPT)
    assert hear(caller, sound(960)) == ["what", "what time", "what time is"]
    assert hear(caller, sound(160, loud=False)) == []
    assert hear(caller, sound(160, loud=False)) == ["what time is it"]


def test_a_soft_reset_answers_what_is_heard_and_a_hard_one_everything() -> None:
    caller = PlainAsr(SCRIPT)
    hear(caller, sound(960))
    soft = json.loads(caller.reset(finalize=False))
    assert soft == {"type": "transcript", "text": "what time is", "is_final": True, "finalize": False}
    assert json.loads(caller.reset(finalize=True))["text"] == "what time is it"
    assert json.loads(caller.reset(finalize=True))["text"] == ""
    hear(caller, sound(300))
    assert json.loads(caller.reset(finalize=True))["text"] == "thank you"


@pytest.mark.parametrize("frames_each", [1, 7, 25])
def test_interims_are_due_every_160_ms_however_the_audio_is_cut(frames_each: int) -> None:
    caller = PlainAsr(SCRIPT)
    frames = [*sound(960), *sound(480, loud=False)]
    pieces = [b"".join(frames[at : at + frames_each]) for at in range(0, len(frames), frames_each)]
    assert hear(caller, pieces)[-1] == "what time is it"
    assert len(hear(PlainAsr(SCRIPT), [b"".join(frames)])) == 1


@virtual_time
async def test_on_the_wire_a_hard_reset_takes_its_time_and_no_id_comes_back() -> None:
    script = AsrScript(transcripts=("what time is it",), final_ms=300)
    async with TestClient(TestServer(application(script))) as client:
        assert (await client.get("/health")).status == 200
        socket = await client.ws_connect("/")
        assert await socket.receive_json() == {"type": "ready"}
        for frame in sound(400):
            await socket.send_bytes(frame)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await socket.send_json({"type": "reset", "finalize": False, "id": "a"})
        await socket.send_json({"type": "reset", "id": "b"})
        answers: list[dict[str, Any]] = []
        while len([answer for answer in answers if answer["is_final"]]) < 2:
            answers.append(await socket.receive_json())
        assert [answer["text"] for answer in answers][-2:] == ["", "what time is it"]
        assert not any("id" in answer for answer in answers)
        assert loop.time() - began >= 0.3
