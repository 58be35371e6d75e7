"""Whole conversations: real servers, a real bot, a caller on WebRTC."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.stack import Stack
from nemotron_speech.audio import Clip
from nemotron_speech.engines.base import Segment
from nemotron_speech.engines.registry import tts_engine
from nemotron_speech.sound_files import read

ARTIFACTS = Path(__file__).parents[2] / "artifacts"


def reply(name: str, times: int) -> str:
    """A sentence whose every piece names the tone it is spoken in, wherever it is cut."""
    return " and ".join([name] * times).capitalize() + "."


TONES = {"zulu": 350.0, "alpha": 450.0, "bravo": 600.0, "charlie": 750.0, "delta": 900.0}
SCRIPT = {
    "asr": {
        "transcripts": ["tell me the first thing", "and the second thing", "and the third", "the fourth"],
        "final_ms": 24,
    },
    "tts": {"first_audio_ms": 60, "step_ms": 5, "tones": TONES},
    "llm": {
        "replies": [
            reply("alpha", 4),
            " ".join(reply("bravo", 4) for _ in range(9)),
            reply("charlie", 3),
            reply("delta", 3),
        ],
        "first_token_ms": 60,
        "tokens_per_second": 60,
    },
}


@pytest.fixture(scope="session")
def speak() -> Callable[[str], Clip]:
    """Turn a text into speech: with flite where there is one, else with the embedded synthesiser."""
    return _flite if shutil.which("flite") else _embedded()


def _flite(text: str) -> Clip:
    command = ["flite", "-voice", "kal", "-t", text, "-o", "/dev/stdout"]
    return _framed(read(subprocess.run(command, check=True, capture_output=True).stdout))


def _embedded() -> Callable[[str], Clip]:
    engine = tts_engine("espeak")
    engine.load()

    def speak(text: str) -> Clip:
        stream, pcm = engine.open(Segment(text, engine.info.voices[0])), b""
        while True:
            result = engine.step([stream])[0]
            assert not isinstance(result, Exception)
            pcm += result.pcm
            if result.done:
                engine.close(stream)
                return _framed(Clip(np.frombuffer(pcm, "<i2"), engine.info.sample_rate))

    return speak


def _framed(clip: Clip) -> Clip:
    """Trim the silence at the ends: the clip's last sample is speech's last sample."""
    loud = np.flatnonzero(np.abs(clip.samples.astype(np.int32)) > 300)
    return Clip(clip.samples[max(loud[0] - 800, 0) : loud[-1] + 1], clip.sample_rate)


@pytest.fixture(scope="module")
def embedded_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The embedded profile and its bot."""
    stack = Stack(tmp_path_factory.mktemp("embedded"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
async def scripted_stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """Servers that recite SCRIPT, and the bot."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps(SCRIPT))
    stack = Stack(tmp_path / "stack", script, environment={"BOT_GREETING": "Zulu speaking, hello."})
    try:
        async with stack:
            yield stack
    finally:
        stack.stop()
