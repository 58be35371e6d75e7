"""Stock clients of OpenAI's speech interface, with the voices, models and formats they use by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from nemotron_speech.engines.espeak_tts.engine import EspeakEngine
from nemotron_speech.sound_files import read
from tests.foreign.clients.hearing import speech_s
from tests.foreign.conftest import Foreign
from tests.serving.shells import speaking

pytestmark = pytest.mark.foreign

TEXT = "Good morning. The next train to the city leaves from platform four in twenty minutes."


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with speaking("aiohttp", EspeakEngine()) as address:
        yield address


async def true_speech_s(address: str, voice: str = "alloy") -> float:
    """Return how long the text lasts without what pads it, by the engine's own samples."""
    body = {"input": TEXT, "voice": voice, "response_format": "wav"}
    async with aiohttp.ClientSession(f"http://{address}") as http:
        clip = read(await (await http.post("/v1/audio/speech", json=body)).read())
    return speech_s(clip.samples / 32768, clip.sample_rate)


async def test_openais_library_hears_every_voice_and_format_in_its_true_length(
    foreign: Foreign, address: str
) -> None:
    results = await foreign("openai_speech", f"http://{address}/v1", TEXT)
    assert results.pop("models") is True
    assert results.pop("model") == "gpt-4o-mini-tts"
    assert results.pop("own model") == "model"
    assert results.pop("no such model") == "ok"
    voices = {name: results.pop(name) for name in list(results) if name.startswith("voice ")}
    assert len(voices) == 14
    for name, seconds in voices.items():
        voice = name.split()[1]
        assert seconds == pytest.approx(
            await true_speech_s(address, "alloy" if voice == "object" else voice), rel=0.02
        )
    right = await true_speech_s(address)
    nova = await true_speech_s(address, "nova")
    assert results.pop("header of a wav") == pytest.approx(nova, rel=0.02)
    assert len(results) == 13
    assert results == {name: pytest.approx(right, rel=0.02) for name in results}


async def test_livekit_plays_every_format_in_its_true_length(foreign: Foreign, address: str) -> None:
    results = await foreign("livekit_tts", f"http://{address}/v1", TEXT)
    right = await true_speech_s(address, "ash")
    assert len(results) == 13
    assert results == {name: pytest.approx(right, rel=0.02) for name in results}
