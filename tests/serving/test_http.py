"""What the servers answer to plain HTTP: speech, voices, health, metrics."""

from __future__ import annotations

import asyncio
import io
import struct
import wave
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import pytest
import soundfile

from nemotron_speech.engines.scripted import ScriptedTts, TtsScript
from tests.serving.channel import until
from tests.serving.engines import EchoAsr, LetterTts
from tests.serving.shells import calling, recognising, speaking


@pytest.fixture
def engine() -> LetterTts:
    return LetterTts()


@pytest.fixture
async def address(engine: LetterTts) -> AsyncIterator[str]:
    async with speaking("aiohttp", engine) as address:
        yield address


@pytest.fixture
async def http(address: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://{address}") as session:
        yield session


async def test_speech_as_wav_is_a_real_wav(http: aiohttp.ClientSession, engine: LetterTts) -> None:
    response = await http.post("/v1/audio/speech", json={"input": "abc", "response_format": "wav"})
    assert response.status == 200
    assert response.content_type == "audio/wav"
    samples, rate = soundfile.read(io.BytesIO(await response.read()), dtype="int16")
    assert rate == 16000
    assert samples.tobytes() == engine.audio_of("abc")


async def test_speech_as_pcm_is_the_same_samples_without_a_header(
    http: aiohttp.ClientSession, engine: LetterTts
) -> None:
    response = await http.post("/v1/audio/speech", json={"input": "abc", "response_format": "pcm"})
    assert response.content_type == "audio/pcm"
    assert response.headers["X-Sample-Rate"] == "16000"
    assert await response.read() == engine.audio_of("abc")


async def test_speech_is_streamed_as_it_is_made(http: aiohttp.ClientSession, engine: LetterTts) -> None:
    body = {"input": "ab" * 1000, "response_format": "wav", "stream": True}
    response = await http.post("/v1/audio/speech", json=body)
    head = await response.content.readexactly(44 + len(engine.frame("a")))
    engine.gate.shut()
    assert head[:4] + head[8:16] == b"RIFFWAVEfmt "
    assert struct.unpack("<I", head[24:28]) == (16000,)
    assert head[44:] == engine.frame("a")
    assert engine.open_streams == 1, "the first audio came only when all of it was made"
    engine.gate.open()
    assert await response.read() == engine.audio_of("ab" * 1000)[len(engine.frame("a")) :]


async def test_what_openai_clients_send_besides_is_accepted(http: aiohttp.ClientSession) -> None:
    body = {"model": "tts-1", "input": "abc", "voice": "aria", "stream_format": "audio", "speed": 1.0}
    assert (await http.post("/v1/audio/speech", json=body)).status == 200


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"input": "abc", "voice": "bob"}, 400, "'bob'; allowed: aria, john, alloy, ash"),
        ({"input": "abc", "voice": {"id": "bob"}}, 400, "'bob'; allowed: aria, john"),
        ({"input": "abc", "voice": {"name": "aria"}}, 400, "voice"),
        ({"input": "abc", "voice": ["aria"]}, 400, "voice"),
        ({"input": None}, 400, "input"),
        ({"input": "abc", "speed": float("nan")}, 400, "speed"),
        ({"input": "abc", "sample_rate": 1e300}, 400, "sample_rate"),
        (b'{"input": "\\ud83d"}', 400, "JSON"),
        (b"null", 400, "body"),
        (b"7", 400, "body"),
        (b'"abc"', 400, "body"),
        (b"[" * 100_000, 400, "JSON"),
        (b"input=abc", 400, "JSON"),
        (b"", 400, "JSON"),
        (b" " * 2_000_000, 413, "size"),
        ({"input": "abc", "language": "tlh"}, 400, "'tlh'; allowed: en"),
        ({"input": "abc", "response_format": "wma"}, 400, "'wma'; allowed: wav, pcm, mp3, opus, aac, flac"),
        ({"input": "abc", "stream_format": "smoke"}, 400, "'audio' or 'sse'"),
        ({"input": "abc", "sample_rate": 100}, 400, "sample_rate"),
        ({"input": "abc", "speed": 100}, 400, "speed"),
        (
            {"input": "abc", "speed": 1.5},
            400,
            "letters speaks at speed 1 alone; engines that can change it: espeak",
        ),
        ({"input": ""}, 400, "input"),
        ({}, 400, "input"),
        ({"input": "a" * 4001}, 400, "4000 characters"),
        (b"{", 400, "JSON"),
        (b"\xff\xfe", 400, "JSON"),
        ([], 400, "body"),
        ({"input": "aX"}, 200, ""),
        ({"input": "X"}, 500, "do not say X"),
    ],
)
async def test_a_bad_request_is_explained_and_the_next_one_works(
    http: aiohttp.ClientSession, engine: LetterTts, body: Any, status: int, says: str
) -> None:
    send: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
    response = await http.post("/v1/audio/speech", **send)
    assert response.status == status
    if status != 200:
        error = (await response.json())["error"]
        assert says in error["message"]
    next_one = await http.post("/v1/audio/speech", json={"input": "ab", "response_format": "pcm"})
    assert await next_one.read() == engine.audio_of("ab")


async def test_a_request_that_breaks_off_is_seen_to_break_off(
    http: aiohttp.ClientSession, engine: LetterTts
) -> None:
    body = {"input": "abX", "response_format": "pcm", "stream": True}
    response = await http.post("/v1/audio/speech", json=body)
    with pytest.raises(aiohttp.ClientPayloadError):
        await response.read()
    await until(lambda: engine.open_streams == 0)


async def test_a_wav_that_is_not_streamed_states_its_length(
    http: aiohttp.ClientSession, engine: LetterTts
) -> None:
    response = await http.post("/v1/audio/speech", json={"input": "abcd", "response_format": "wav"})
    data = await response.read()
    assert response.content_length == len(data)
    assert response.headers["X-Duration-Ms"] == str(round(4 * 100 / 16000 * 1000))
    with wave.open(io.BytesIO(data)) as file:
        assert file.getnframes() == 400
        assert file.readframes(1000) == engine.audio_of("abcd")


@pytest.mark.parametrize("response_format", ["wav", "flac"])
async def test_a_long_clip_waits_on_disk_and_is_whole(
    http: aiohttp.ClientSession, engine: LetterTts, response_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nemotron_speech.tts.http_speech._IN_MEMORY_BYTES", 1000)
    body = {"input": "ab" * 200, "response_format": response_format}
    data = await (await http.post("/v1/audio/speech", json=body)).read()
    samples, _ = soundfile.read(io.BytesIO(data), dtype="int16")
    assert samples.tobytes() == engine.audio_of("ab" * 200)


async def test_speech_that_fails_before_it_is_sent_whole_is_an_error(http: aiohttp.ClientSession) -> None:
    response = await http.post("/v1/audio/speech", json={"input": "abX", "response_format": "wav"})
    assert response.status == 500
    assert "do not say X" in (await response.json())["error"]["message"]


async def test_a_listener_that_hangs_up_before_a_whole_clip_is_made_stops_the_engine(
    http: aiohttp.ClientSession, engine: LetterTts
) -> None:
    engine.gate.shut()
    asking = asyncio.create_task(
        http.post("/v1/audio/speech", json={"input": "a" * 4000, "response_format": "wav"})
    )
    await until(engine.gate.waiting.is_set)
    asking.cancel()
    engine.gate.open()
    await until(lambda: engine.streams and not engine.open_streams)
    assert sum(map(len, engine.batches)) < 4000


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("GET", "/v1/audio/speech", 405),
        ("DELETE", "/health", 405),
        ("GET", "/v1/models/gpt-7", 404),
        ("GET", "/ws/tts/stream", 426),
        ("POST", "/voices", 501),
        ("OPTIONS", "/v1/audio/speech", 405),
    ],
)
@pytest.mark.parametrize("kind", ["synthesis", "recognition"])
async def test_every_error_is_json_of_openais_shape(kind: str, method: str, path: str, status: int) -> None:
    serving = speaking("aiohttp", LetterTts()) if kind == "synthesis" else recognising("aiohttp", EchoAsr())
    async with serving as address, aiohttp.ClientSession(f"http://{address}") as http:
        response = await http.request(method, path)
        error = (await response.json())["error"]
    if kind == "synthesis" or path == "/nothing/here":
        assert response.status == status
    assert error["code"] == response.status >= 400
    assert len(error["message"].split()) > 2
    assert (response.status == 405) == ("Allow" in response.headers)


async def test_a_bug_is_answered_in_the_same_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(request: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("nemotron_speech.tts.speech_request.read", broken)
    async with (
        speaking("aiohttp", LetterTts()) as address,
        aiohttp.ClientSession(f"http://{address}") as http,
    ):
        response = await http.post("/v1/audio/speech", json={"input": "abc"})
        assert response.status == 500
        assert (await response.json())["error"]["message"] == "internal error"


PAGE = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}


@pytest.mark.parametrize("origins", [["*"], ["https://other.example", "https://page.example"]])
async def test_a_page_of_an_origin_that_is_allowed_may_speak_and_read(origins: list[str]) -> None:
    async with (
        speaking("aiohttp", LetterTts(), cors_origins=origins) as address,
        aiohttp.ClientSession(f"http://{address}", headers=PAGE) as http,
    ):
        asked = {"Access-Control-Request-Headers": "authorization, content-type"}
        preflight = await http.options("/v1/audio/speech", headers=asked)
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Headers"] == "authorization, content-type"
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        answers = [
            preflight,
            await http.post("/v1/audio/speech", json={"input": "abc"}),
            await http.post("/v1/audio/speech", json={}),
            await http.get("/nothing/here"),
        ]
        assert [answer.status for answer in answers] == [204, 200, 400, 404]
        for answer in answers:
            assert answer.headers["Access-Control-Allow-Origin"] == "https://page.example"
            assert "X-Duration-Ms" in answer.headers["Access-Control-Expose-Headers"]
            assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origins", [[], ["https://other.example"]])
async def test_a_page_of_another_origin_may_not(origins: list[str]) -> None:
    async with (
        speaking("aiohttp", LetterTts(), cors_origins=origins) as address,
        aiohttp.ClientSession(f"http://{address}", headers=PAGE) as http,
    ):
        for answer in (await http.options("/v1/audio/speech"), await http.get("/voices")):
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_listener_that_hangs_up_stops_the_engine(
    http: aiohttp.ClientSession, engine: LetterTts
) -> None:
    response = await http.post("/v1/audio/speech", json={"input": "a" * 4000, "stream": True})
    await response.content.readexactly(100)
    response.close()
    await until(lambda: engine.open_streams == 0)
    assert sum(map(len, engine.batches)) < 4000


async def test_a_full_server_says_503_and_when_to_come_again() -> None:
    async with (
        speaking("aiohttp", LetterTts(capacity=1)) as address,
        calling(f"ws://{address}/ws/tts/stream") as first,
        aiohttp.ClientSession(f"http://{address}") as http,
    ):
        await first.say(type="ping")
        await first.read()
        response = await http.post("/v1/audio/speech", json={"input": "abc"})
        assert response.status == 503
        assert int(response.headers["Retry-After"]) >= 1
        assert "places are taken" in (await response.json())["error"]["message"]


async def test_voices_and_the_audio_format_are_told(http: aiohttp.ClientSession) -> None:
    voices = await (await http.get("/voices")).json()
    assert voices["voices"] == ["aria", "john"]
    assert voices["default"] == "aria"
    config = await (await http.get("/v1/audio/config")).json()
    assert config.items() >= {"sample_rate": 16000, "channels": 1, "encoding": "pcm_s16le"}.items()


async def test_metrics_count_what_happened(http: aiohttp.ClientSession, address: str) -> None:
    async with calling(f"ws://{address}/ws/tts/stream") as client:
        await client.say(type="text", text="abcd")
        await client.say(type="close")
        await client.read_until("done")
        figures = await metrics(http)
    assert figures["nemotron_tts_active_streams"] == 1
    assert figures["nemotron_tts_capacity_streams"] == 8
    assert figures["nemotron_tts_audio_seconds_total"] == pytest.approx(4 * 100 / 16000)
    assert figures["nemotron_tts_first_audio_seconds_count"] == 1
    assert figures["nemotron_tts_step_seconds_count"] == 4
    assert figures["nemotron_tts_engine_failures_total"] == 0


async def test_refusals_failures_and_cancels_are_counted() -> None:
    async with (
        speaking("aiohttp", LetterTts(capacity=1)) as address,
        aiohttp.ClientSession(f"http://{address}") as http,
        calling(f"ws://{address}/ws/tts/stream") as client,
    ):
        await client.say(type="text", text="X")
        await client.read_until("segment_complete")
        async with calling(f"ws://{address}/ws/tts/stream") as refused:
            await refused.read()
        await client.say(type="text", text="a" * 4000)
        while not isinstance(await client.read(), bytes):
            pass
        await client.say(type="cancel")
        await client.read_until("cancelled")
        figures = await metrics(http)
    assert figures["nemotron_tts_refused_total"] == 1
    assert figures["nemotron_tts_engine_failures_total"] == 1
    assert figures["nemotron_tts_cancelled_total"] == 1


async def metrics(http: aiohttp.ClientSession) -> dict[str, float]:
    lines = (await (await http.get("/metrics")).text()).splitlines()
    return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if not x.startswith("#"))}


async def test_the_recogniser_has_metrics_too() -> None:
    async with (
        recognising("aiohttp", EchoAsr()) as address,
        aiohttp.ClientSession(f"http://{address}") as http,
        calling(f"ws://{address}") as client,
    ):
        await client.read()
        await client.say(bytes(32000))
        await client.say(type="reset")
        while not (await client.read())["is_final"]:
            pass
        figures = await metrics(http)
    assert figures["nemotron_asr_audio_seconds_total"] == pytest.approx(1.0)
    assert figures["nemotron_asr_final_seconds_count"] == 1


async def test_a_browser_that_asks_for_the_socket_is_told_what_it_is(http: aiohttp.ClientSession) -> None:
    response = await http.get("/ws/tts/stream")
    assert response.status == 426
    assert "WebSocket" in await response.text()


async def test_a_server_still_loading_says_so_and_refuses_callers() -> None:
    import threading

    from aiohttp import web

    from nemotron_speech.settings import TtsSettings
    from nemotron_speech.tts_server import build_app

    loaded = threading.Event()

    class SlowToLoad(LetterTts):
        def load(self) -> None:
            assert loaded.wait(10)

    runner = web.AppRunner(build_app(SlowToLoad(), TtsSettings(engine="none")), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(url) as http, asyncio.timeout(10):
            health = await http.get("/health")
            assert health.status == 503
            assert (await health.json()).items() >= {"status": "loading", "model_loaded": False}.items()
            assert (await http.post("/v1/audio/speech", json={"input": "abc"})).status == 503
            async with calling(f"{url}/ws/tts/stream") as early:
                assert "loading" in (await early.read())["message"]
            loaded.set()
            while (await http.get("/health")).status != 200:
                await asyncio.sleep(0.01)
    finally:
        loaded.set()
        await runner.cleanup()


async def test_speech_of_the_scripted_engine_sounds_as_the_script_says() -> None:
    script = TtsScript(tones={"weather": 440.0})
    async with (
        speaking("aiohttp", ScriptedTts(script)) as address,
        aiohttp.ClientSession(f"http://{address}") as http,
    ):
        response = await http.post("/v1/audio/speech", json={"input": "The weather is fine."})
        samples, rate = soundfile.read(io.BytesIO(await response.read()))
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * rate / len(samples) == pytest.approx(440, abs=2)
