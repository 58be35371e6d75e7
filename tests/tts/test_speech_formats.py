"""`POST /v1/audio/speech` as OpenAI's own client and players of each format see it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator

import aiohttp
import av
import numpy as np
import openai
import pytest
import soundfile

from nemotron_speech.engines.scripted import ScriptedTts, TtsScript
from nemotron_speech.errors import BadRequest
from nemotron_speech.tts.encoders import encoder, formats
from tests.serving.channel import until
from tests.serving.engines import LetterTts
from tests.serving.shells import speaking

RATE = 22050
TONE_HZ = 440.0
OPENAI_RATE = 24000
TEXT = "The weather is fine today, and it will be fine tomorrow."
SECONDS = len(TEXT) * 0.055
CONTENT_TYPES = {
    "wav": "audio/wav",
    "pcm": "audio/pcm",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
}
EDGE_S = 0.08
"""A codec's delay and its padding at the ends."""


def decoded(data: bytes, response_format: str, rate: int = RATE) -> tuple[np.ndarray, int]:
    """Return what a player plays, -1..1, and its rate."""
    if response_format == "pcm":
        return np.frombuffer(data, "<i2") / 32768, rate
    with av.open(io.BytesIO(data)) as container:
        to_float = av.AudioResampler(format="flt", layout="mono")
        frames = [out for frame in container.decode(audio=0) for out in to_float.resample(frame)]
        rate = container.streams.audio[0].rate
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), rate


def steps(samples: np.ndarray, rate: int) -> float:
    """The largest difference of two neighbours, against that of the tone alone: about 1 without clicks."""
    inner = samples[round(EDGE_S * rate) : -round(EDGE_S * rate)]
    natural = 2 * np.pi * TONE_HZ / rate * np.max(np.abs(inner))
    return float(np.max(np.abs(np.diff(inner)))) / natural


def off_tone(samples: np.ndarray, rate: int) -> float:
    """The share of energy that is not at the tone."""
    inner = samples[round(EDGE_S * rate) : -round(EDGE_S * rate)]
    spectrum = np.abs(np.fft.rfft(inner * np.hanning(len(inner)))) ** 2
    near = np.abs(np.fft.rfftfreq(len(inner), 1 / rate) - TONE_HZ) < 10
    return float(1 - spectrum[near].sum() / spectrum.sum())


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with speaking("aiohttp", ScriptedTts(TtsScript(tones={"weather": TONE_HZ}))) as address:
        yield address


@pytest.fixture
async def client(address: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_every_format_openai_names_can_be_made_here() -> None:
    assert set(formats()) == set(CONTENT_TYPES)


@pytest.mark.parametrize("response_format", CONTENT_TYPES)
async def test_openais_client_hears_the_tone_whole_and_without_a_click(
    client: openai.AsyncOpenAI, response_format: str
) -> None:
    async with client.audio.speech.with_streaming_response.create(
        model="tts-1",
        voice="aria",
        input=TEXT,
        response_format=response_format,  # type: ignore[arg-type]
        instructions="Cheerfully.",
    ) as response:
        assert response.headers["content-type"].startswith(CONTENT_TYPES[response_format])
        data = b"".join([piece async for piece in response.iter_bytes()])
    samples, rate = decoded(data, response_format, OPENAI_RATE)
    exact = response_format in ("wav", "pcm", "flac")
    assert len(samples) / rate == pytest.approx(SECONDS, abs=1e-3 if exact else 0.1)
    assert steps(samples, rate) < (1.01 if exact else 1.3)
    assert off_tone(samples, rate) < 1e-3


@pytest.mark.parametrize("response_format", sorted(CONTENT_TYPES.keys() - {"flac"}))
async def test_speech_in_every_format_but_flac_arrives_while_it_is_made(response_format: str) -> None:
    engine = LetterTts(frame_samples=8000)
    async with (
        speaking("aiohttp", engine) as address,
        openai.AsyncOpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0) as client,
        client.audio.speech.with_streaming_response.create(
            model="tts-1",
            voice="aria",
            input="a" * 100,
            response_format=response_format,  # type: ignore[arg-type]
        ) as response,
    ):
        pieces = response.iter_bytes()
        heard = 0
        engine.gate.shut()
        while heard < 200:
            heard += len(await anext(pieces))
        assert engine.open_streams == 1, "the first audio came only when all of it was made"
        engine.gate.open()
        async for _ in pieces:
            pass
    await until(lambda: engine.open_streams == 0)


@pytest.mark.parametrize("response_format", ["wav", "pcm", "mp3", "opus"])
async def test_speech_can_be_had_at_another_rate(address: str, response_format: str) -> None:
    body = {"input": TEXT, "response_format": response_format, "sample_rate": 16000}
    async with aiohttp.ClientSession(f"http://{address}") as http:
        response = await http.post("/v1/audio/speech", json=body)
        assert response.headers["X-Sample-Rate"] == "16000"
        samples, rate = decoded(await response.read(), response_format, 16000)
    assert rate in (16000, 48000)  # what plays Opus always says 48 kHz
    assert len(samples) / rate == pytest.approx(SECONDS, abs=0.1)
    assert off_tone(samples, rate) < 1e-3
    assert steps(samples, rate) < 1.3


async def test_speech_comes_as_events_when_asked_for(address: str) -> None:
    async with aiohttp.ClientSession(f"http://{address}") as http:
        body = {"model": "gpt-4o-mini-tts", "input": TEXT, "response_format": "pcm"}
        whole = await http.post("/v1/audio/speech", json=body)
        body["stream_format"] = "sse"
        response = await http.post("/v1/audio/speech", json=body)
        assert response.content_type == "text/event-stream"
        events = [json.loads(line[6:]) for line in (await response.text()).split("\n\n") if line]
        pcm = await whole.read()
    assert [event["type"] for event in events[:-1]] == ["speech.audio.delta"] * (len(events) - 1)
    assert len(events) > 2
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["total_tokens"] == 0
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:-1]) == pcm


@pytest.mark.parametrize(
    "streaming", [{"stream": True}, {"stream_format": "audio"}, {"stream_format": "sse"}, {}]
)
@pytest.mark.parametrize("response_format", ["flac", "wav"])
async def test_a_file_that_is_streamed_can_be_read_by_readers_of_files(
    address: str, response_format: str, streaming: dict[str, object]
) -> None:
    async with aiohttp.ClientSession(f"http://{address}") as http:
        headers = {} if streaming else {"X-Stainless-Raw-Response": "stream"}
        body = {"input": TEXT, "response_format": response_format, **streaming}
        response = await http.post("/v1/audio/speech", json=body, headers=headers)
        data = await response.read()
    if response.content_type == "text/event-stream":
        events = [json.loads(line[6:]) for line in data.decode().split("\n\n") if line]
        assert events[-1]["type"] == "speech.audio.done"
        data = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    samples, rate = soundfile.read(io.BytesIO(data))
    assert len(samples) / rate == pytest.approx(SECONDS, abs=1e-3)


async def test_what_is_wrong_reaches_openais_client_as_its_own_error(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="'robot'; allowed: aria, john"):
        await client.audio.speech.create(model="tts-1", voice="robot", input=TEXT)
    with pytest.raises(openai.BadRequestError, match="speed"):
        await client.audio.speech.create(model="tts-1", voice="aria", input=TEXT, speed=9)


async def test_speed_changes_the_length(client: openai.AsyncOpenAI) -> None:
    lengths = {}
    for speed in (0.5, 1.0, 2.0):
        answer = await client.audio.speech.create(
            model="tts-1", voice="aria", input=TEXT, response_format="pcm", speed=speed
        )
        lengths[speed] = len(answer.content)
    assert lengths[0.5] == pytest.approx(2 * lengths[1.0], abs=4)
    assert lengths[2.0] == pytest.approx(lengths[1.0] / 2, abs=4)


@pytest.mark.parametrize("response_format", CONTENT_TYPES)
async def test_speech_that_is_not_streamed_can_be_read_by_any_reader_of_files(
    client: openai.AsyncOpenAI, response_format: str
) -> None:
    answer = await client.audio.speech.create(
        model="tts-1",
        voice="nova",
        input=TEXT,
        response_format=response_format,  # type: ignore[arg-type]
    )
    if response_format in ("wav", "flac", "mp3", "opus"):
        samples, rate = soundfile.read(io.BytesIO(answer.content))
    else:
        samples, rate = decoded(answer.content, response_format, OPENAI_RATE)
    padding_s = 0.1 if response_format == "aac" else 0.0
    assert len(samples) / rate == pytest.approx(SECONDS, rel=0.02, abs=padding_s)
    assert ("X-Duration-Ms" in answer.response.headers) == (response_format in ("wav", "flac"))


async def test_openais_default_format_is_mp3(client: openai.AsyncOpenAI) -> None:
    answer = await client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)
    assert answer.response.headers["Content-Type"] == "audio/mpeg"


async def test_without_a_codec_the_default_is_wav(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nemotron_speech.tts.speech_request.formats", lambda: ("wav", "pcm"))
    async with aiohttp.ClientSession(f"http://{address}") as http:
        response = await http.post("/v1/audio/speech", json={"input": TEXT})
        assert response.content_type == "audio/wav"


async def test_null_is_as_good_as_left_out(address: str) -> None:
    fields = (
        "model",
        "voice",
        "language",
        "response_format",
        "stream_format",
        "stream",
        "speed",
        "sample_rate",
    )
    async with aiohttp.ClientSession(f"http://{address}") as http:
        without = await http.post("/v1/audio/speech", json={"input": TEXT})
        nulls = await http.post("/v1/audio/speech", json={"input": TEXT, **dict.fromkeys(fields)})
        assert nulls.status == 200
        assert await nulls.read() == await without.read()


@pytest.mark.parametrize(
    ("body", "rate"),
    [
        ({"model": "tts-1"}, OPENAI_RATE),
        ({"voice": "alloy"}, OPENAI_RATE),
        ({"voice": {"id": "Alloy"}}, OPENAI_RATE),
        ({"model": "tts-1", "sample_rate": 16000}, 16000),
        ({"voice": "aria", "language": "en"}, RATE),
        ({}, RATE),
    ],
)
async def test_pcm_has_openais_rate_for_openais_clients_and_the_models_for_others(
    address: str, body: dict[str, object], rate: int
) -> None:
    async with aiohttp.ClientSession(f"http://{address}") as http:
        response = await http.post("/v1/audio/speech", json={"input": TEXT, "response_format": "pcm", **body})
        samples, _ = decoded(await response.read(), "pcm")
    assert response.headers["X-Sample-Rate"] == str(rate)
    assert len(samples) / rate == pytest.approx(SECONDS, abs=1e-3)
    assert off_tone(samples, rate) < 1e-3


async def test_pcm_for_others_comes_whole_with_its_duration(address: str) -> None:
    async with aiohttp.ClientSession(f"http://{address}") as http:
        response = await http.post("/v1/audio/speech", json={"input": TEXT, "response_format": "pcm"})
        data = await response.read()
    assert response.content_length == len(data)
    assert int(response.headers["X-Duration-Ms"]) == pytest.approx(len(data) / 2 / RATE * 1000, abs=1)


async def test_openais_client_finds_the_model(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["tones"]
    for name in ("tones", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"):
        assert (await client.models.retrieve(name)).id == name
    with pytest.raises(openai.NotFoundError, match="gpt-7"):
        await client.models.retrieve("gpt-7")


@pytest.mark.parametrize("response_format", CONTENT_TYPES)
async def test_nothing_to_say_is_a_file_without_audio(address: str, response_format: str) -> None:
    async with aiohttp.ClientSession(f"http://{address}") as http:
        body = {"input": "🙂", "response_format": response_format}
        response = await http.post("/v1/audio/speech", json=body)
        assert response.status == 200
        assert response.headers["X-Unspoken"] == "%F0%9F%99%82"
        await response.read()


def test_a_format_that_cannot_be_made_is_refused_with_those_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nemotron_speech.tts.encoders.formats", lambda: ("wav", "pcm"))
    with pytest.raises(BadRequest, match="'mp3'; allowed: wav, pcm"):
        encoder("mp3", RATE)


@pytest.mark.parametrize("sizes", [[1, 2, 3], [5000], [100] * 50])
def test_pieces_of_any_size_make_the_same_flac(sizes: list[int]) -> None:
    pcm = (np.sin(np.arange(5000) / 10) * 9000).astype("<i2").tobytes()
    encoding, made, at = encoder("flac", RATE), b"", 0
    for size in sizes:
        made += encoding.feed(pcm[at : at + 2 * size])
        at += 2 * size
    made += encoding.feed(pcm[at:]) + encoding.finish()
    samples, _ = decoded(made, "flac")
    assert (samples * 32768).astype("<i2").tobytes() == pcm
