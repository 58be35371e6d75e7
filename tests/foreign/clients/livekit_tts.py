"""LiveKit's `openai.TTS` against a speech server: livekit_tts.py http://HOST:PORT/v1 TEXT

Prints a JSON object: seconds of speech, as LiveKit would play it, for each model and format.
"""

from __future__ import annotations

import asyncio
import json
import sys

import numpy as np
from hearing import speech_s
from livekit.plugins import openai

FORMATS = ("pcm", "wav", "mp3", "flac", "opus", "aac")
MODELS = ("gpt-4o-mini-tts", "tts-1")


async def heard(tts: openai.TTS, text: str) -> float:
    frames = [event.frame async for event in tts.synthesize(text)]
    samples = np.concatenate([np.frombuffer(frame.data, np.int16) for frame in frames])
    return speech_s(samples / 32768, frames[0].sample_rate)


async def main(base_url: str, text: str) -> None:
    said: dict[str, object] = {}
    default = openai.TTS(base_url=base_url, api_key="none")
    said["default"] = await heard(default, text)
    await default.aclose()
    for model in MODELS:
        for one in FORMATS:
            tts = openai.TTS(base_url=base_url, api_key="none", model=model, response_format=one)
            said[f"{model} {one}"] = await heard(tts, text)
            await tts.aclose()
    print(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
