"""OpenAI's Python library against a speech server: openai_speech.py http://HOST:PORT/v1 TEXT

Prints a JSON object: seconds of speech for each way to ask, "ok" or the error for the rest.
"""

from __future__ import annotations

import io
import json
import sys
import wave
from collections.abc import Callable

import numpy as np
import openai
from hearing import decoded, speech_s

VOICES = ["alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse"]
VOICES += ["marin", "cedar"]
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
PCM_RATE = 24000


def seconds(data: bytes, response_format: str) -> float:
    if response_format == "pcm":
        return speech_s(np.frombuffer(data, "<i2") / 32768, PCM_RATE)
    return speech_s(*decoded(data))


def main(base_url: str, text: str) -> None:
    client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)
    speak = client.audio.speech.create

    def streamed(**asked: str) -> bytes:
        with client.audio.speech.with_streaming_response.create(**asked) as response:  # type: ignore[arg-type]
            return b"".join(response.iter_bytes())

    def length_of_wav() -> float:
        data = speak(model="tts-1", voice="nova", input=text, response_format="wav").content
        with wave.open(io.BytesIO(data)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            assert len(samples) == file.getnframes()
        return speech_s(samples / 32768, file.getframerate())

    def missing() -> str:
        try:
            client.models.retrieve("gpt-7")
        except openai.NotFoundError as error:
            return "ok" if isinstance(error.body, dict) else "no JSON"
        return "found"

    checks: dict[str, Callable[[], object]] = {
        "default": lambda: seconds(speak(model="tts-1", voice="alloy", input=text).content, "mp3"),
        "header of a wav": length_of_wav,
        "voice object": lambda: seconds(
            speak(model="tts-1", voice={"id": "alloy"}, input=text).content, "mp3"
        ),
        "models": lambda: all(" " not in model.id for model in client.models.list()),
        "model": lambda: client.models.retrieve("gpt-4o-mini-tts").id,
        "own model": lambda: client.models.retrieve(next(iter(client.models.list())).id).object,
        "no such model": missing,
    }
    for voice in VOICES:
        checks[f"voice {voice}"] = lambda voice=voice: seconds(
            speak(model="gpt-4o-mini-tts", voice=voice, input=text, response_format="wav").content, "wav"
        )
    for one in FORMATS:
        asked = {"model": "tts-1", "voice": "alloy", "input": text, "response_format": one}
        checks[f"whole {one}"] = lambda asked=asked, one=one: seconds(speak(**asked).content, one)  # type: ignore[arg-type]
        checks[f"streamed {one}"] = lambda asked=asked, one=one: seconds(streamed(**asked), one)
    print(json.dumps({name: attempt(check) for name, check in checks.items()}))


def attempt(check: Callable[[], object]) -> object:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  what it was is the result
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main(*sys.argv[1:])
