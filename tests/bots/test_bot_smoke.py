"""A whole call over real sockets: page, greeting, a turn, its metrics, and servers that come late."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from nemotron_speech.audio import from_pcm, resample
from nemotron_speech.engines.base import Segment, TtsResult
from nemotron_speech.engines.registry import tts_engine
from pipecat_bots.client_page import CLIENT_DIR
from tests.bots.fakes import free_port
from tests.bots.rtc import MIC_RATE, Caller

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

BOTS = ("bot_interleaved_streaming", "bot_simple_vad", "bot_vllm")
SCRIPT = {
    "asr": {"transcripts": ["hello there", "and again"]},
    "tts": {"first_audio_ms": 30},
    "llm": {"replies": ["I heard you well. This is the rest of my answer.", "Again."]},
}


class Setup:
    """Ports, a script and processes of one test."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._stack = stack
        self._directory = directory
        self.asr, self.tts, self.llm, self.bot = (free_port() for _ in range(4))
        self._script = directory / "script.json"
        self._script.write_text(json.dumps(SCRIPT))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.bot}"

    def start_servers(self) -> None:
        script = f"script={self._script}"
        self.start(
            "asr",
            "nemotron_speech.server",
            "--port",
            str(self.asr),
            "--engine",
            "scripted",
            "--option",
            script,
        )
        self.start(
            "tts",
            "nemotron_speech.tts_server",
            "--port",
            str(self.tts),
            "--engine",
            "scripted",
            "--option",
            script,
        )
        self.start("llm", "nemotron_speech.responder", "--port", str(self.llm), "--script", str(self._script))
        for port in (self.asr, self.tts, self.llm):
            wait_until_answers(f"http://127.0.0.1:{port}/health")

    def start_bot(self, name: str, **environment: str) -> None:
        environment |= {
            "NVIDIA_ASR_URL": f"ws://127.0.0.1:{self.asr}",
            "NVIDIA_TTS_URL": f"http://127.0.0.1:{self.tts}",
            "NVIDIA_LLAMA_CPP_URL": f"http://127.0.0.1:{self.llm}",
            "NVIDIA_LLM_URL": f"http://127.0.0.1:{self.llm}/v1",
        }
        arguments = ("--host", "127.0.0.1", "--port", str(self.bot), "-t", "webrtc")
        self.start("bot", f"pipecat_bots.{name}", *arguments, **environment)
        wait_until_answers(f"{self.url}/client/", seconds=60)

    def start(self, name: str, module: str, *arguments: str, **environment: str) -> None:
        log = self._stack.enter_context((self._directory / f"{name}.log").open("w"))
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
        )
        self._stack.callback(end, process)

    def log(self, name: str) -> str:
        return (self._directory / f"{name}.log").read_text()


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_answers(url: str, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise TimeoutError(url)


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    with ExitStack() as stack:
        yield Setup(tmp_path, stack)


@pytest.fixture(scope="module")
def question() -> bytes:
    """A spoken sentence, 16 kHz."""
    with voice() as say:
        return say("Can you hear me?")


@contextmanager
def voice() -> Iterator[object]:
    engine = tts_engine("espeak")
    engine.load()

    def say(text: str) -> bytes:
        stream = engine.open(Segment(text, engine.info.voices[0]))
        pcm = b""
        while True:
            [result] = engine.step([stream])
            assert isinstance(result, TtsResult)
            pcm += result.pcm
            if result.done:
                return resample(from_pcm(pcm), engine.info.sample_rate, MIC_RATE).tobytes()

    yield say
    engine.unload()


async def ask(caller: Caller, question: bytes) -> dict[str, object]:
    """Ask, and return the metrics of the answer."""
    before = len(caller.messages)
    caller.mic.say(question)
    metrics = await caller.wait_for("turn-metrics", after=before)
    await caller.wait_for("bot-stopped-speaking", after=before)
    return metrics["data"]


@pytest.mark.parametrize("name", BOTS)
async def test_a_call_is_greeted_understood_and_answered(
    name: str, setup: Setup, question: bytes, tmp_path: Path
) -> None:
    setup.start_servers()
    setup.start_bot(
        name,
        ENABLE_RECORDING="true",
        RECORDING_DIR=str(tmp_path / "recordings"),
        METRICS_JSONL=str(tmp_path / "turns.jsonl"),
    )
    async with Caller(setup.url) as caller:
        await caller.wait_for("bot-ready")
        await caller.wait_for("bot-stopped-speaking")
        first = await ask(caller, question)
        await ask(caller, question)
        assert caller.loudness() > 50
    transcripts = [
        m["data"]["text"] for m in caller.messages if m["type"] == "user-transcription" and m["data"]["final"]
    ]
    assert transcripts == ["hello there", "and again"]
    spoken = "".join(m["data"]["text"] for m in caller.messages if m["type"] == "bot-tts-text")
    assert "I heard you well." in spoken
    assert first["turn"] == 1
    assert abs(sum(stage["ms"] for stage in first["stages"]) - first["voice_to_voice_ms"]) <= 8
    await asyncio.sleep(3)
    lines = [json.loads(line) for line in (tmp_path / "turns.jsonl").read_text().splitlines()]
    assert [line["turn"] for line in lines] == [1, 2]
    [recording] = (tmp_path / "recordings").glob("*.wav")
    with wave.open(str(recording)) as file:
        assert file.getnchannels() == 2
        assert file.getnframes() > 3 * file.getframerate()


async def test_a_bot_without_servers_says_so_and_works_once_they_are_there(
    setup: Setup, question: bytes
) -> None:
    setup.start_bot("bot_interleaved_streaming")
    async with Caller(setup.url) as caller:
        await caller.wait_for("bot-ready")
        notice = (await caller.wait_for("notice"))["data"]
        assert notice["hint"] == "uv run nemotron up"
        await asyncio.sleep(5)
        assert {m["data"]["service"] for m in caller.messages if m["type"] == "server-message"} == {
            "asr",
            "tts",
            "llm",
        }
        await asyncio.to_thread(setup.start_servers)
        await asyncio.sleep(6)
        cleared = [
            m["data"]["service"] for m in caller.messages if m.get("data", {}).get("type") == "notice-cleared"
        ]
        assert set(cleared) == {"asr", "tts", "llm"}
        await ask(caller, question)
    assert f"The speech recogniser at ws://127.0.0.1:{setup.asr} is not answering." in setup.log("bot")


def test_our_page_is_served_in_place_of_pipecats(setup: Setup) -> None:
    if not (CLIENT_DIR / "index.html").is_file():
        pytest.skip("the page is not built")
    setup.start_bot("bot_interleaved_streaming")
    ours = (CLIENT_DIR / "index.html").read_bytes()
    for path in ("/client/", "/client", "/"):
        with urllib.request.urlopen(setup.url + path, timeout=5) as response:
            assert response.read() == ours
