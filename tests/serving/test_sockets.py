"""Both servers in both shells over real sockets, with a client that knows nothing but the documents."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import numpy as np
import pytest

from nemotron_speech.engines.scripted import AsrScript, ScriptedAsr, ScriptedTts, TtsScript
from nemotron_speech.serving import edge
from tests.serving.channel import until
from tests.serving.engines import EchoAsr, LetterTts
from tests.serving.shells import SHELLS, PlainClient, calling, recognising, speaking

pytestmark = pytest.mark.parametrize("shell", SHELLS)

SPEECH = (np.sin(np.arange(320)) * 8000).astype("<i2").tobytes()
SILENCE = bytes(640)


def tts_url(address: str) -> str:
    return f"ws://{address}/ws/tts/stream"


async def test_a_plain_recognition_client_is_served(shell: str) -> None:
    script = AsrScript(transcripts=("what time is it", "thank you"))
    async with recognising(shell, ScriptedAsr(script)) as address, calling(f"ws://{address}") as client:
        assert await client.read() == {"type": "ready"}
        for expected in script.transcripts:
            for frame in [SILENCE] * 5 + [SPEECH] * 40 + [SILENCE] * 5:
                await client.say(frame)
            await client.say(type="reset")
            heard = []
            while not heard or not heard[-1]["is_final"]:
                heard.append(await client.read())
            assert heard[-1].items() >= {"text": expected, "is_final": True, "finalize": True}.items()
            interims = [message["text"] for message in heard[:-1]]
            assert interims
            assert len(interims) == len(set(interims)), "an interim without news"
            assert all(expected.startswith(text) for text in interims)
        await client.say(type="end")
        assert (await client.read())["text"] == ""


async def test_a_plain_synthesis_client_is_served(shell: str) -> None:
    async with speaking(shell, ScriptedTts()) as address, calling(tts_url(address)) as client:
        await client.say(type="init", voice="aria", language="en")
        await client.say(type="text", text="Good morning.", mode="stream")
        await client.say(type="text", text="How are you?", mode="batch")
        await client.say(type="close")
        messages = await client.read_until("done")
        texts = [message["type"] for message in messages if isinstance(message, dict)]
        assert texts == ["stream_created", "segment_complete", "segment_complete", "done"]
        audio = b"".join(message for message in messages if isinstance(message, bytes))
        seconds = len(audio) / 2 / messages[0]["sample_rate"]
        assert seconds * 1000 == pytest.approx(messages[-1]["total_audio_ms"], abs=1)
        await client.say(type="text", text="Again.")
        assert (await client.read())["type"] == "stream_created"


async def test_after_the_acknowledgement_of_a_cancel_no_byte_arrives(shell: str) -> None:
    engine = ScriptedTts(TtsScript(step_ms=5))
    async with speaking(shell, engine) as address, calling(tts_url(address)) as client:
        await client.say(type="text", text="A very long story. " * 50)
        while not isinstance(await client.read(), bytes):
            pass
        await client.say(type="cancel")
        await client.read_until("cancelled")
        await until(lambda: engine.open_streams == 0)
        steps = engine.steps
        await asyncio.sleep(0.05)
        assert engine.steps == steps
        await client.say(type="ping")
        assert await client.read() == {"type": "pong"}


async def test_a_caller_beyond_the_capacity_hears_why_and_is_closed_with_1013(shell: str) -> None:
    async with recognising(shell, EchoAsr(capacity=1)) as address, calling(f"ws://{address}") as first:
        assert await first.read() == {"type": "ready"}
        async with calling(f"ws://{address}") as second:
            refusal = await second.read()
            assert refusal["type"] == "error"
            assert "1 places are taken" in refusal["message"]
            assert await second.read() is None
            assert second.socket.close_code == 1013
        await first.socket.close()
        async with calling(f"ws://{address}") as third:
            assert await third.read() == {"type": "ready"}


@pytest.mark.parametrize(
    ("message", "says", "code"),
    [
        pytest.param('{"type":"res', "JSON", 1008, id="half a JSON"),
        pytest.param("\x00garbage", "JSON", 1008, id="garbage"),
        pytest.param('{"type":"start"}', "'start'; allowed: end, reset", 1008, id="unknown type"),
        pytest.param(bytes(10_000_000), "1048576 bytes", 1009, id="10 MB of audio"),
        pytest.param(json.dumps({"type": "reset", "id": "x" * 10_000_000}), "262144 bytes", 1009, id="10 MB"),
    ],
)
async def test_bad_input_to_the_recogniser_is_explained_and_costs_nobody_else(
    shell: str, message: str | bytes, says: str, code: int
) -> None:
    async with recognising(shell, EchoAsr()) as address, calling(f"ws://{address}") as other:
        async with calling(f"ws://{address}") as client:
            await client.read()
            await client.say(message)
            error = await client.read()
            assert error["type"] == "error"
            assert says in error["message"]
            assert await client.read() is None
            assert client.socket.close_code == code
        async with calling(f"ws://{address}") as again:
            for caller in (again, other):
                assert await caller.read() == {"type": "ready"}
                await caller.say(b"\x05\x00" * 3)
                await caller.say(type="reset")
                assert (await caller.read())["text"] == "5 5 5"


async def test_odd_length_audio_is_put_together(shell: str) -> None:
    async with recognising(shell, EchoAsr()) as address, calling(f"ws://{address}") as client:
        await client.read()
        for byte in np.arange(1, 50, dtype="<i2").tobytes():
            await client.say(bytes([byte]))
        await client.say(type="reset")
        assert (await client.read())["text"] == " ".join(map(str, range(1, 50)))


async def test_ten_megabytes_to_the_synthesiser_cost_the_caller_its_connection(shell: str) -> None:
    engine = LetterTts()
    async with speaking(shell, engine) as address:
        async with calling(tts_url(address)) as client:
            await client.say(type="text", text="a" * 10_000_000)
            error = await client.read()
            assert (error["type"], error["fatal"]) == ("error", True)
            assert "262144 bytes" in error["message"]
            assert await client.read() is None
            assert client.socket.close_code == 1009
        async with calling(tts_url(address)) as client:
            await client.say(type="text", text="ab")
            await client.say(type="close")
            messages = await client.read_until("done")
            assert b"".join(m for m in messages if isinstance(m, bytes)) == engine.audio_of("ab")


async def test_a_caller_that_reads_nothing_delays_nobody(shell: str) -> None:
    engine = LetterTts(frame_samples=1600)
    async with (
        speaking(shell, engine, max_ahead_s=5.0) as address,
        calling(tts_url(address)) as deaf,
        calling(tts_url(address)) as client,
    ):
        await deaf.say(type="text", text="a" * 4000)
        for _ in range(5):
            await client.say(type="text", text="bcd")
            await client.say(type="close")
            messages = await client.read_until("done")
            assert b"".join(m for m in messages if isinstance(m, bytes)) == engine.audio_of("bcd")


async def test_a_speaker_that_reads_nothing_delays_no_other(shell: str) -> None:
    loud = np.arange(1000, 2600, dtype="<i2").tobytes()
    async with (
        recognising(shell, EchoAsr()) as address,
        calling(f"ws://{address}") as deaf,
        calling(f"ws://{address}") as client,
    ):
        await client.read()
        for round in range(1, 21):
            await deaf.say(loud)
            await client.say(round.to_bytes(2, "little"))
            await client.say(type="reset")
            assert (await last_final(client))["text"] == str(round)


@pytest.mark.e2e
async def test_a_speaker_faster_than_the_engine_is_held_back_by_its_socket(shell: str) -> None:
    engine = EchoAsr(wanted_samples=16_000)
    samples = np.arange(1000, 17_000, dtype="<i2")
    async with (
        recognising(shell, engine, max_backlog_s=1.0) as address,
        calling(f"ws://{address}") as client,
    ):
        await client.read()
        engine.gate.shut()
        sending = asyncio.create_task(flood(client, samples.tobytes(), 1500))
        await until(engine.gate.waiting.is_set)
        await asyncio.sleep(0.2)
        assert not sending.done(), "48 MB wait in memory"
        sending.cancel()
        engine.gate.open()


async def flood(client: PlainClient, audio: bytes, times: int) -> None:
    for _ in range(times):
        await client.say(audio)


async def test_a_speaker_that_vanishes_frees_its_place(shell: str) -> None:
    async with recognising(shell, EchoAsr(capacity=1)) as address:
        async with calling(f"ws://{address}") as client:
            await client.read()
            await client.say(SPEECH)
            client.socket._response.close()  # no closing handshake
        async with asyncio.timeout(10):
            while (await health(address))["active_streams"]:
                await asyncio.sleep(0.02)
        async with calling(f"ws://{address}") as next_one:
            assert await next_one.read() == {"type": "ready"}


async def test_a_caller_whose_connection_is_cut_gives_its_place_back(shell: str) -> None:
    engine = LetterTts(frame_samples=16000)
    async with speaking(shell, engine) as address:
        async with calling(tts_url(address)) as client:
            await client.say(type="text", text="a" * 4000)
            await client.read()
            transport = client.socket.get_extra_info("socket")
            assert transport is not None
            client.socket._response.close()  # no closing handshake
        await until(lambda: engine.open_streams == 0)
        assert (await health(address))["active_streams"] == 0


async def health(address: str) -> dict:
    async with aiohttp.ClientSession() as session:
        return await (await session.get(f"http://{address}/health")).json()


async def test_health_says_what_the_server_is_and_holds(shell: str) -> None:
    async with recognising(shell, EchoAsr(capacity=3)) as address, calling(f"ws://{address}") as client:
        await client.read()
        body = await health(address)
    assert (
        body.items() >= {"status": "healthy", "model_loaded": True, "engine": "echo", "capacity": 3}.items()
    )
    assert body["active_streams"] == 1


async def test_many_callers_at_once_are_all_served_whole(shell: str) -> None:
    engine = EchoAsr(capacity=16, max_batch=4)

    async def call(address: str, number: int) -> None:
        async with calling(f"ws://{address}") as client:
            await client.read()
            samples = np.arange(number * 1000, number * 1000 + 700, dtype="<i2")
            for start in range(0, 1400, 90):
                await client.say(samples.tobytes()[start : start + 90])
            await client.say(type="reset")
            assert (await last_final(client))["text"] == " ".join(map(str, samples))

    async with recognising(shell, engine) as address, asyncio.TaskGroup() as tasks:
        for number in range(16):
            tasks.create_task(call(address, number))


async def last_final(client: PlainClient) -> dict:
    message = await client.read()
    while not message["is_final"]:
        message = await client.read()
    return message


async def test_a_silent_caller_that_answers_pings_stays(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "HEARTBEAT_S", 0.1)
    async with recognising(shell, EchoAsr()) as address, calling(f"ws://{address}") as client:
        await client.read()
        answer = asyncio.create_task(last_final(client))
        await asyncio.sleep(0.5)
        await client.say(b"\x01\x00")
        await client.say(type="reset")
        assert (await answer)["text"] == "1"


async def test_a_dead_peer_is_let_go(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shell == "asgi":
        pytest.skip("the carrier of an ASGI application detects dead peers")
    monkeypatch.setattr(edge, "HEARTBEAT_S", 0.1)
    async with (
        recognising(shell, EchoAsr()) as address,
        calling(f"ws://{address}", autoping=False) as client,
        asyncio.timeout(10),
    ):
        await client.read()
        while (await health(address))["active_streams"]:
            await asyncio.sleep(0.02)
