"""Pipecat's own services against our servers, each as it is made without a word about us but the address."""

from __future__ import annotations

import numpy as np
import pytest
from pipecat.frames.frames import ErrorFrame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.tests.utils import run_test

from nemotron_speech.engines.espeak_tts.engine import EspeakEngine
from tests.foreign.clients.hearing import speech_s
from tests.foreign.test_speech_clients import TEXT, true_speech_s
from tests.serving.shells import speaking

pytestmark = pytest.mark.foreign


async def test_pipecats_openai_voice_speaks_in_its_true_length() -> None:
    async with speaking("aiohttp", EspeakEngine()) as address:
        service = OpenAITTSService(api_key="none", base_url=f"http://{address}/v1")
        frames, _ = await run_test(service, frames_to_send=[TTSSpeakFrame(TEXT)])
        audio = [frame for frame in frames if isinstance(frame, TTSAudioRawFrame)]
        assert not [frame for frame in frames if isinstance(frame, ErrorFrame)]
        assert {frame.sample_rate for frame in audio} == {24000}
        samples = np.frombuffer(b"".join(frame.audio for frame in audio), "<i2") / 32768
        assert speech_s(samples, 24000) == pytest.approx(await true_speech_s(address), rel=0.02)
