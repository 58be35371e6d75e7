"""Voices learnt from a clip over HTTP, and refused clearly where that cannot be."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from importlib.metadata import EntryPoint
from typing import Any

import aiohttp
import numpy as np
import pytest
import soundfile

from nemotron_speech import audio
from nemotron_speech.engines import registry
from nemotron_speech.engines.base import TtsEngine
from nemotron_speech.tts import http_voices as voices_http
from tests.serving.engines import CloningTts, LetterTts
from tests.serving.shells import PlainClient, speaking

RATE = 16000


def clip(seconds: float = 2.0, loud: bool = True) -> bytes:
    samples = (np.sin(np.arange(round(seconds * RATE)) / 9) * 8000 * loud).astype("<i2")
    return audio.wav(samples.tobytes(), RATE)


@pytest.fixture
def engine() -> CloningTts:
    return CloningTts()


@pytest.fixture
async def http(engine: TtsEngine) -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        speaking("aiohttp", engine) as address,
        aiohttp.ClientSession(f"http://{address}") as session,
    ):
        yield session


async def add(http: aiohttp.ClientSession, name: str | None, data: bytes | None) -> tuple[int, Any]:
    form = aiohttp.FormData(default_to_multipart=True)
    if name is not None:
        form.add_field("name", name)
    if data is not None:
        form.add_field("clip", data, filename="me.wav", content_type="audio/wav")
    response = await http.post("/voices", data=form())
    body = await response.json()
    return response.status, body["error"]["message"] if "error" in body else body


async def test_a_cloned_voice_is_listed_and_speaks_everywhere(
    http: aiohttp.ClientSession, engine: CloningTts
) -> None:
    async with http.ws_connect("/ws/tts/stream") as socket:
        caller = PlainClient(socket)
        await caller.say(type="init", voice="me")
        assert "allowed: aria, john" in (await caller.read())["message"]
        assert await add(http, "me", clip()) == (201, {"voice": "me", "clip_s": 2.0})
        assert engine.clips["me"].seconds == 2.0
        voices = await (await http.get("/voices")).json()
        assert voices["voices"] == ["aria", "john", "me"]
        assert voices["cloned"] == ["me"]
        assert voices["cloning"].items() >= {"min_s": 1.0, "max_s": 10.0, "max_voices": 2}.items()
        await caller.say(type="init", voice="me")
        await caller.say(type="text", text="ab")
        await caller.read_until("segment_complete")
        assert engine.streams[-1].segment.voice == "me", "a caller that was here before may use it"
    speech = await http.post(
        "/v1/audio/speech", json={"input": "ab", "voice": "me", "response_format": "pcm"}
    )
    assert await speech.read() == engine.audio_of("ab")


async def test_a_voice_can_be_forgotten_but_no_built_in_one(
    http: aiohttp.ClientSession, engine: CloningTts
) -> None:
    await add(http, "me", clip())
    assert (await http.delete("/voices/aria")).status == 400
    assert (await http.delete("/voices/me")).status == 204
    assert engine.clips == {}
    assert (await (await http.get("/voices")).json())["voices"] == ["aria", "john"]
    assert (await http.delete("/voices/me")).status == 400
    assert (await http.post("/v1/audio/speech", json={"input": "ab", "voice": "me"})).status == 400
    assert (await add(http, "me", clip()))[0] == 201


@pytest.mark.parametrize(
    ("name", "data", "status", "says"),
    [
        ("me", clip(0.5), 400, "0.5 s long; allowed: 1 to 10 s"),
        ("me", clip(12), 400, "10.0 s long or more; allowed: 1 to 10 s"),
        ("me", clip(loud=False), 400, "nobody speaks in it"),
        ("me", b"hello", 400, "not a sound file"),
        ("me", b"", 400, "not a sound file"),
        ("me", None, 400, "clip: a sound file"),
        (None, clip(), 400, "name: 1 to 32"),
        ("../me", clip(), 400, "name: 1 to 32"),
        ("aria", clip(), 400, "a voice named 'aria' already"),
    ],
)
async def test_a_clip_or_a_name_that_will_not_do_is_explained(
    http: aiohttp.ClientSession,
    engine: CloningTts,
    name: str | None,
    data: bytes | None,
    status: int,
    says: str,
) -> None:
    answered, message = await add(http, name, data)
    assert answered == status
    assert says in message
    assert engine.clips == {}
    assert (await add(http, "ok", clip()))[0] == 201, "the next one works"


async def test_a_clip_that_is_too_large_is_refused_before_it_is_all_read(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voices_http, "MAX_CLIP_BYTES", 100_000)
    status, message = await add(http, "me", clip(5))
    assert status == 413
    assert "100000 bytes" in message


async def test_only_as_much_of_a_clip_is_decoded_as_may_be_used(
    http: aiohttp.ClientSession,
) -> None:
    """A small file may hold hours of silence."""
    hours = io.BytesIO()
    soundfile.write(hours, np.zeros(RATE * 600, "<i2"), RATE, format="FLAC")
    assert len(hours.getvalue()) < 200_000
    status, message = await add(http, "me", hours.getvalue())
    assert status == 400
    assert "10.0 s long or more; allowed: 1 to 10 s" in message


async def test_no_more_voices_are_kept_than_the_engine_says(http: aiohttp.ClientSession) -> None:
    assert [(await add(http, name, clip()))[0] for name in ("a", "b", "c")] == [201, 201, 400]
    await http.delete("/voices/a")
    assert (await add(http, "c", clip()))[0] == 201


@pytest.mark.parametrize("body", [b"{}", b""])
async def test_what_is_no_form_is_refused(http: aiohttp.ClientSession, body: bytes) -> None:
    assert (await http.post("/voices", data=body)).status == 400
    broken = {"Content-Type": "multipart/form-data"}
    assert (await http.post("/voices", data=body, headers=broken)).status == 400


async def test_an_engine_that_clones_no_voices_says_so_and_who_can(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("cloner", "tests.serving.engines:CloningTts", registry.TTS_GROUP)
    monkeypatch.setattr(
        registry, "entry_points", lambda group, name="cloner": (point,) if name == "cloner" else ()
    )
    async with (
        speaking("aiohttp", LetterTts()) as address,
        aiohttp.ClientSession(f"http://{address}") as http,
    ):
        status, message = await add(http, "me", clip())
        assert status == 501
        assert "the letters engine clones no voices; engines that can: " in message
        assert "cloner" in message
        assert "espeak" not in message
        assert (await http.delete("/voices/aria")).status == 501
        assert "cloning" not in await (await http.get("/voices")).json()
