"""The many-caller protocol on the recognition service, beside the streaming one or alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import pytest

from nemotron_speech import audio, server, yap_server
from nemotron_speech.asr.service import AsrService, make_engine
from nemotron_speech.engines.scripted import AsrScript, ScriptedAsr
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.serving.edge import hold
from nemotron_speech.settings import AsrSettings, YapSettings
from nemotron_speech.yap_server import YapConversations
from tests.asr.test_recognition import pcm, text
from tests.serving.channel import PATIENCE_S, MemoryChannel, talking, until
from tests.serving.engines import EchoAsr
from tests.serving.shells import calling


@pytest.fixture
async def engine() -> EchoAsr:
    return EchoAsr(capacity=2)


@pytest.fixture
async def service(engine: EchoAsr) -> AsyncIterator[AsrService]:
    service = AsrService(engine, AsrSettings(engine="none", max_backlog_s=0.1))
    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        yield service


class Call:
    """A caller of the many-caller protocol, in memory."""

    def __init__(self, service: AsrService, window: int = 10_000) -> None:
        self.channel = MemoryChannel(window)
        converse = service.callers.counted(YapConversations(service))
        self.conversation = asyncio.create_task(hold(self.channel, converse, yap_server._error_message))

    def say(self, message: bytes | None = None, **fields: Any) -> None:
        self.channel.say(message, **fields)

    async def until_final(self) -> dict[str, Any]:
        while (message := await self.channel.read())["op"] != "final":
            assert message["op"] == "interim"
        return message

    async def closed(self) -> tuple[int, str]:
        async with asyncio.timeout(PATIENCE_S):
            await self.conversation
            return await self.channel.closed

    async def hang_up(self) -> None:
        self.channel.hang_up()
        async with asyncio.timeout(PATIENCE_S):
            await self.conversation


async def test_the_close_is_answered_by_the_final_and_then_the_socket_closes(
    service: AsrService, engine: EchoAsr
) -> None:
    call = Call(service)
    call.say(op="init", sid="s1", sr=16000)
    call.say(pcm(*range(500)))
    call.say(op="close", sid="s1")
    before = time.time_ns() // 1_000_000
    final = await call.until_final()
    assert (final["sid"], final["text"], final["final"]) == ("s1", text(*range(500)), True)
    assert before - 1000 <= final["ts"] <= time.time_ns() // 1_000_000
    assert (final["start_ms"], final["end_ms"]) == (0, 31)
    assert await call.closed() == (1000, "")
    assert call.channel.to_caller.empty()
    await until(lambda: engine.open_streams == 0)


async def test_interims_name_the_session_and_the_audio_they_cover(service: AsrService) -> None:
    call = Call(service)
    call.say(op="init", sid="me")
    call.say(pcm(*range(160)))
    interim = await call.channel.read()
    ts = interim.pop("ts")
    assert isinstance(ts, int)
    assert interim == {
        "op": "interim",
        "sid": "me",
        "text": text(*range(160)),
        "final": False,
        "end_ms": 10,
    }
    await call.hang_up()


async def test_the_final_comes_as_an_interim_first_for_clients_that_know_no_finals(
    service: AsrService, engine: EchoAsr
) -> None:
    call = Call(service)
    call.say(op="init", sid="s")
    call.say(pcm(*range(160)))
    assert (await call.channel.read())["text"] == text(*range(160))
    call.say(pcm(1, 2, 3))  # too little for a step of its own
    call.say(op="flush")
    last, final = await call.channel.read(), await call.channel.read()
    assert (last["op"], last["final"], last["end_ms"]) == ("interim", False, final["end_ms"])
    assert last["text"] == final["text"] == text(*range(160), 1, 2, 3)
    call.say(op="close")
    final = await call.channel.read()
    assert (final["op"], final["text"]) == ("final", ""), "nothing new, so no interim"
    await call.closed()


async def test_a_close_far_ahead_of_the_recogniser_is_answered_for_all_that_was_sent(
    service: AsrService,
) -> None:
    call = Call(service)
    call.say(op="init", sid="s")
    for number in range(100):  # 2 s, of which the server lets 0.1 s wait
        call.say(pcm(number) * 320)
    call.say(op="close")
    final = await call.until_final()
    assert final["text"].split() == [str(number) for number in range(100) for _ in range(320)]
    assert (await call.closed())[0] == 1000


async def test_who_calls_back_finds_the_place_whose_last_words_are_still_worked_on(
    service: AsrService, engine: EchoAsr
) -> None:
    """Two places; one caller stays, the other one's final takes a while when it calls again."""
    stays, goes = Call(service), Call(service)
    for call in (stays, goes):
        call.say(op="init", sid="s")
    await until(lambda: service.runner.active == 2)
    refused = Call(service)
    refused.say(op="init", sid="s")
    assert (await refused.closed())[0] == 1013
    engine.gate.shut()
    goes.say(pcm(1))
    goes.say(op="close")
    await until(engine.gate.waiting.is_set)
    again = Call(service)
    again.say(op="init", sid="s")
    again.say(pcm(2))
    again.say(op="close")
    await asyncio.sleep(0.05)
    engine.gate.open()
    assert [(await call.until_final())["text"] for call in (goes, again)] == ["1", "2"]
    for call in (goes, again):
        assert (await call.closed())[0] == 1000
    await stays.hang_up()


async def test_a_flush_ends_the_utterance_and_keeps_the_session(service: AsrService) -> None:
    call = Call(service)
    call.say(op="init", sid="s")
    for first in (0, 1000, 2000):
        call.say(pcm(*range(first, first + 333)) + b"\x07")  # half a sample is no audio
        call.say(op="flush")
    call.say(op="close")
    finals = [(await call.until_final())["text"] for _ in range(4)]
    assert finals == [text(*range(first, first + 333)) for first in (0, 1000, 2000)] + [""]
    assert (await call.closed())[0] == 1000


async def test_a_caller_that_reads_nothing_delays_nobody_and_loses_interims_only(
    service: AsrService, engine: EchoAsr
) -> None:
    deaf, caller = Call(service, window=1), Call(service)
    deaf.say(op="init", sid="deaf")
    caller.say(op="init", sid="caller")
    for number in range(50):
        deaf.say(pcm(number) * 160)
        caller.say(pcm(number))
        caller.say(op="flush")
        assert (await caller.until_final())["text"] == str(number)
    await until(lambda: sum(len(stream.heard) for stream in engine.streams) == 50 * 160)
    deaf.say(op="close")
    unread = [await deaf.channel.read()]
    while unread[-1]["op"] != "final":
        unread.append(await deaf.channel.read())
    assert len(unread) <= 5
    assert set(unread[-1]["text"].split()) == set(map(str, range(50)))
    await caller.hang_up()


async def test_both_protocols_share_the_places_of_one_engine(service: AsrService, engine: EchoAsr) -> None:
    first = Call(service)
    first.say(op="init", sid="first")
    first.say(pcm(1))
    first.say(op="flush")
    assert (await first.until_final())["text"] == "1"
    async with talking(service) as second:
        await second.read_until("ready")
        third = Call(service)
        third.say(op="init", sid="third")
        refusal = await third.channel.read()
        assert refusal["op"] == "error"
        assert "places" in refusal["message"]
        assert (await third.closed())[0] == 1013
        engine.gate.shut()
        second.say(pcm(*range(160)))
        await asyncio.to_thread(engine.gate.waiting.wait, PATIENCE_S)
        first.say(pcm(*range(160)))
        second.say(pcm(*range(160)))
        await until(lambda: second.messages_taken == 2 and first.channel.messages_taken == 4)
        engine.gate.open()
        await until(lambda: len(engine.batches[-1]) == 2)
    await first.hang_up()


async def test_a_connection_without_init_holds_no_place(
    service: AsrService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yap_server, "INIT_TIMEOUT_S", 0.05)
    silent = Call(service)
    await asyncio.sleep(0)
    assert service.runner.active == 0
    assert "no init" in (await silent.channel.read())["message"]
    assert (await silent.closed())[0] == 1008


async def test_a_bad_message_is_answered_and_closed_with_1008(service: AsrService) -> None:
    call = Call(service)
    call.say(pcm(1))
    assert await call.channel.read() == {
        "op": "error",
        "message": 'say {"op":"init","sid":"...","sr":16000} first',
    }
    assert (await call.closed())[0] == 1008


async def test_an_unknown_language_is_refused_and_a_known_one_is_not(service: AsrService) -> None:
    call = Call(service)
    call.say(op="init", sid="s", language="xx")
    assert "allowed: en, de" in (await call.channel.read())["message"]
    call = Call(service)
    call.say(op="init", sid="s", language="de")
    call.say(op="close")
    assert (await call.until_final())["text"] == ""
    await call.closed()


async def test_an_engine_failure_costs_its_caller_only(service: AsrService, engine: EchoAsr) -> None:
    engine.fail_on = 7
    bad, good = Call(service, window=1), Call(service)
    for call in (bad, good):
        call.say(op="init", sid="s")
    bad.say(pcm(7))
    bad.say(op="close")
    good.say(pcm(1))
    good.say(op="close")
    assert "too much for me" in (await bad.channel.read())["message"]
    assert (await bad.closed())[0] == 1011
    assert (await good.until_final())["text"] == "1"
    await good.closed()


async def test_a_caller_that_leaves_before_its_final_frees_its_place(
    service: AsrService, engine: EchoAsr
) -> None:
    call = Call(service)
    call.say(op="init", sid="s")
    await until(lambda: engine.open_streams == 1)
    engine.gate.shut()
    call.say(pcm(1))
    call.say(op="close")
    await asyncio.to_thread(engine.gate.waiting.wait, PATIENCE_S)
    await call.hang_up()
    assert service.runner.active == 0
    engine.gate.open()
    await until(lambda: engine.open_streams == 0)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
async def test_audio_of_another_rate_is_resampled_as_one_stream(rate: int) -> None:
    """A tone cut into 20 ms frames must arrive as the tone it is: no clicks, no samples lost."""
    tone = (np.sin(2 * np.pi * 440 * np.arange(rate) / rate) * 8000).astype("<i2")
    engine = EchoAsr()
    service = AsrService(engine, AsrSettings(engine="none"))
    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        call = Call(service)
        call.say(op="init", sid="s", sr=rate)
        frame = rate // 50
        for start in range(0, rate, frame):
            call.say(tone[start : start + frame].tobytes())
        call.say(op="close")
        heard = np.array((await call.until_final())["text"].split(), int)
        await call.closed()
    assert abs(len(heard) - 16000) <= 1
    expected = np.sin(2 * np.pi * 440 * np.arange(len(heard)) / 16000) * 8000
    middle = slice(400, -400)  # the filter rings at both ends
    assert np.abs(heard - expected)[middle].max() < 100


def test_a_rate_change_starts_afresh_after_its_end() -> None:
    tone = (np.sin(np.arange(4800) / 10) * 8000).astype("<i2").tobytes()
    change = audio.RateChange(48000, 16000)
    first = change.feed(tone) + change.finish()
    assert len(first) == 3200
    assert change.feed(tone) + change.finish() == first
    same = audio.RateChange(16000, 16000)
    assert (same.feed(tone), same.finish()) == (tone, b"")


# ---------------------------------------------------------------------------- over real sockets


async def test_one_process_serves_both_protocols_on_two_ports(unused_tcp_port: int) -> None:
    script = AsrScript(transcripts=("good morning",))
    settings = AsrSettings(engine="none", yap_port=unused_tcp_port)
    app = server.build_app(ScriptedAsr(script), settings)
    loud = (np.sin(np.arange(320)) * 8000).astype("<i2").tobytes()
    runner = aiohttp.web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        ports = (runner.addresses[0][1], unused_tcp_port)
        async with aiohttp.ClientSession() as session:
            for port in ports:
                await _healthy(session, port)
        async with (
            calling(f"ws://127.0.0.1:{ports[0]}") as one,
            calling(f"ws://127.0.0.1:{ports[1]}") as two,
        ):
            assert await one.read() == {"type": "ready"}
            await two.say(op="init", sid="2", sr=16000)
            for _ in range(30):
                await one.say(loud)
                await two.say(loud)
            await one.say(type="reset")
            await two.say(op="close", sid="2")
            messages = [await one.read()]
            while not messages[-1]["is_final"]:
                messages.append(await one.read())
            assert messages[-1]["text"] == "good morning"
            heard = [await two.read()]
            while heard[-1]["op"] != "final":
                heard.append(await two.read())
            assert heard[-1]["text"] == "good morning"
            assert [m["end_ms"] for m in heard[:-1]] == sorted(m["end_ms"] for m in heard[:-1])
            assert await two.read() is None
            assert two.socket.close_code == 1000
    finally:
        await runner.cleanup()


async def _healthy(session: aiohttp.ClientSession, port: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await session.get(f"http://127.0.0.1:{port}/health")).status != 200:
            await asyncio.sleep(0.01)


async def test_a_taken_port_is_a_configuration_error_that_names_it(unused_tcp_port: int) -> None:
    holder = await asyncio.start_server(lambda r, w: None, "127.0.0.1", unused_tcp_port)
    async with holder:
        app = server.build_app(EchoAsr(), AsrSettings(engine="none", yap_port=unused_tcp_port))
        runner = aiohttp.web.AppRunner(app)
        with pytest.raises(ConfigurationError, match=str(unused_tcp_port)):
            await runner.setup()
        await runner.cleanup()


# ------------------------------------------------------------------------------------ settings


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in YapSettings.model_fields:
        monkeypatch.delenv(f"ASR_{name.upper()}", raising=False)
    return monkeypatch


def test_the_variables_of_the_many_caller_server_have_its_defaults(bare: pytest.MonkeyPatch) -> None:
    settings = AsrSettings.of_yap()
    assert (settings.host, settings.port, settings.step_ms, settings.engine) == ("0.0.0.0", 8080, 20, "nemo")
    taken = ("model", "att_ctx", "decoder", "device", "max_batch", "capacity", "language")
    assert YapSettings().engine_options(taken, defaults=True) == {
        "model": "nvidia/stt_en_fastconformer_hybrid_large_streaming_multi",
        "att_ctx": "70,1",
        "decoder": "rnnt",
        "device": "cuda:0",
        "max_batch": 128,
        "capacity": 128,
    }


def test_beside_the_streaming_protocol_only_variables_that_are_set_count(bare: pytest.MonkeyPatch) -> None:
    assert AsrSettings.with_yap().yap_port is None
    assert YapSettings().engine_options(("model", "device"), defaults=False) == {}
    for name, value in {"PORT": "8090", "DEVICE": "cpu", "STEP_MS": "10", "HOST": "127.0.0.9"}.items():
        bare.setenv(f"ASR_{name}", value)
    settings = AsrSettings.with_yap()
    assert (settings.yap_port, settings.yap_host, settings.step_ms) == (8090, "127.0.0.9", 10)
    assert (settings.host, settings.port, settings.engine) == ("127.0.0.1", 8080, "pocketsphinx")
    assert YapSettings().engine_options(("model", "device"), defaults=False) == {"device": "cpu"}


def test_an_option_goes_only_to_an_engine_that_takes_it(bare: pytest.MonkeyPatch, tmp_path: Any) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"asr": {"capacity": 3}}))
    bare.setenv("ASR_MAX_BATCH", "17")
    settings = AsrSettings(engine="scripted", options={"script": str(script)})
    assert make_engine(settings, yap_defaults=True).info.capacity == 3


def test_options_of_the_engine_go_before_the_variables(bare: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nemotron_speech.engines.nemo_asr.engine")
    bare.setenv("ASR_MAX_BATCH", "17")
    info = make_engine(AsrSettings(engine="nemo", options={"capacity": 40})).info
    assert (info.max_batch, info.capacity) == (17, 40)


@pytest.mark.parametrize(("name", "value"), [("ATT_CTX", "70"), ("DECODER", "tdt"), ("MAX_BATCH", "0")])
def test_a_wrong_variable_is_named(bare: pytest.MonkeyPatch, name: str, value: str) -> None:
    bare.setenv(f"ASR_{name}", value)
    with pytest.raises(ValueError, match=name.lower()):
        YapSettings()
