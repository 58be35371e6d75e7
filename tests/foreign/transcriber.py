"""Recogniser with which Pipecat's evaluations hear the bot: the project's own, one segment at a time."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from typing import Any

import websockets
from pipecat.frames.frames import Frame, TranscriptionFrame
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.utils.time import time_now_iso8601

from nemotron_speech.protocol.asr import SAMPLE_RATE, AsrClient, Final
from nemotron_speech.sound_files import read

ASR_URL = "TRANSCRIBER_URL"
"""Environment variable with the recogniser's address."""


class Transcriber(SegmentedSTTService):
    """Transcribe each stretch of speech on a connection of its own."""

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame, None]:
        text = await transcript(read(audio).at(SAMPLE_RATE).pcm)
        if text:
            yield TranscriptionFrame(text, "", time_now_iso8601())


async def transcript(pcm: bytes) -> str:
    """Return what the recogniser hears in 16 kHz sound."""
    client = AsrClient()
    async with websockets.connect(os.environ[ASR_URL], proxy=None) as socket:
        client.receive(str(await socket.recv()))
        for start in range(0, len(pcm), 32000):
            await socket.send(pcm[start : start + 32000])
        await socket.send(client.reset()[1])
        while True:
            match client.receive(str(await socket.recv())):
                case Final(text=text):
                    return text


def service(config: dict[str, Any]) -> Transcriber:
    """Make the service; a scenario file names this function."""
    return Transcriber(settings=STTSettings(model=None, language=None))
