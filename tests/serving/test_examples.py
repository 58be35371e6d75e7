"""The clients in docs/protocols.md run as they are printed there."""

from __future__ import annotations

import asyncio
import re
import sys
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from nemotron_speech.engines.scripted import AsrScript, ScriptedAsr, ScriptedTts
from nemotron_speech.responder.app import build_app
from tests.serving.shells import recognising, speaking

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- run: (\S+) -->\n```python\n(.*?)```", DOCUMENT, re.DOTALL))


async def run(example: str, address: str, folder: Path) -> str:
    """Run an example against a server at `address`; return what it prints."""
    code = re.sub(r"localhost:\d+", address, EXAMPLES[example])
    assert code != EXAMPLES[example]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await child.communicate()
    assert child.returncode == 0, errors.decode()
    return output.decode()


def test_there_is_an_example_for_each_protocol() -> None:
    assert set(EXAMPLES) == {"recognition", "many-caller", "synthesis", "language-model"}


async def test_the_recognition_example_prints_the_transcript(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "question.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((np.sin(np.arange(16000)) * 8000).astype("<i2").tobytes())
    script = AsrScript(transcripts=("what time is it",))
    async with recognising("aiohttp", ScriptedAsr(script)) as address:
        output = await run("recognition", address, tmp_path)
    assert output.splitlines()[-1] == "what time is it"


async def test_the_many_caller_example_prints_the_transcript(tmp_path: Path, unused_tcp_port: int) -> None:
    with wave.open(str(tmp_path / "question.wav"), "wb") as file:
        file.setparams((1, 2, 44100, 0, "NONE", ""))
        file.writeframes((np.sin(np.arange(44100)) * 8000).astype("<i2").tobytes())
    script = AsrScript(transcripts=("what time is it",))
    async with recognising("aiohttp", ScriptedAsr(script), yap_port=unused_tcp_port):
        output = await run("many-caller", f"127.0.0.1:{unused_tcp_port}", tmp_path)
    assert output.splitlines()[-1] == "what time is it"


async def test_the_synthesis_example_writes_the_speech(tmp_path: Path) -> None:
    async with speaking("aiohttp", ScriptedTts()) as address:
        await run("synthesis", address, tmp_path)
    with wave.open(str(tmp_path / "answer.wav")) as file:
        assert file.getframerate() == 22050
        assert 1 < file.getnframes() / 22050 < 5


@asynccontextmanager
async def responding() -> AsyncIterator[str]:
    runner = web.AppRunner(build_app(), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_the_language_model_example_prints_an_answer(tmp_path: Path) -> None:
    async with responding() as address:
        assert len((await run("language-model", address, tmp_path)).split()) > 3


@pytest.mark.parametrize("example", sorted(EXAMPLES))
def test_an_example_is_short(example: str) -> None:
    assert len(EXAMPLES[example].splitlines()) <= 25
