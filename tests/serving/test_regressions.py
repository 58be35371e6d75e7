"""Faults that speech servers of this kind have had, each made impossible by a test here or in the one named.

- Cancel leaves the model running to the end: `test_synthesis.test_cancel_stops_the_engine_within_one_step`.
- A late `stream_created` of the old generation lets stale audio through:
  `tests/protocol/test_tts_interruption.py`.
- `response_format=wav` returns headerless PCM: `test_http.test_speech_as_wav_is_a_real_wav`.
"""

from __future__ import annotations

import ast
import asyncio
import functools
import importlib
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nemotron_speech.engines.scripted import AsrScript, ScriptedAsr, ScriptedTts, TtsScript
from nemotron_speech.server import AsrService
from nemotron_speech.settings import AsrSettings, TtsSettings
from nemotron_speech.tts_server import TtsService
from tests.serving.channel import talking, until
from tests.serving.engines import EchoAsr

ROOT = Path(__file__).parents[2]
SPEECH = (np.sin(np.arange(1600)) * 8000).astype("<i2").tobytes()


async def test_streaming_synthesis_does_not_block_the_event_loop() -> None:
    """While the model works for a second in all, the loop goes round as if nothing were happening."""
    engine = ScriptedTts(TtsScript(step_ms=100))
    service = TtsService(engine, TtsSettings(engine="none"))
    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        async with talking(service) as caller:
            caller.say(type="text", text="ten steps!")
            caller.say(type="close")
            speaking = asyncio.create_task(caller.read_until("done"))
            rounds = 0
            while not speaking.done():
                await asyncio.sleep(0.01)
                rounds += 1
    steps = engine.steps
    assert steps >= 10
    assert rounds > 2 * steps, "the loop stood still while the model worked"


async def test_recognition_costs_the_same_however_long_the_utterance_is() -> None:
    engine = EchoAsr(wanted_samples=1600)
    service = AsrService(engine, AsrSettings(engine="none"))
    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        async with talking(service) as caller:
            for _ in range(60):
                caller.say(SPEECH)
            caller.say(type="reset")
            while not (await caller.read()).get("is_final"):
                pass
    given = [len(item.pcm) for batch in engine.batches for item in batch]
    assert sum(given) == 60 * len(SPEECH), "audio was given to the model twice"
    assert max(given) == 1600 * 2, "a step grew with the utterance"


async def test_one_failing_chunk_does_not_loop_for_ever() -> None:
    engine = ScriptedAsr(AsrScript(transcripts=("boom",), fail_on="boom"))
    service = AsrService(engine, AsrSettings(engine="none"))
    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        async with talking(service) as caller:
            for _ in range(20):
                caller.say(SPEECH)
            await caller.read_until("error")
            steps = engine.steps
            await asyncio.sleep(0.1)
            assert engine.steps == steps
            await until(lambda: engine.open_streams == 0)


async def test_a_healthy_stream_is_not_cancelled_thirty_seconds_after_it_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten minutes pass on the loop's clock and the process's between the first audio and the last."""
    ahead = 0.0
    loop = asyncio.get_running_loop()
    loop_time, monotonic = loop.time, time.monotonic
    monkeypatch.setattr(loop, "time", lambda: loop_time() + ahead)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + ahead)
    service = TtsService(ScriptedTts(TtsScript(step_ms=2)), TtsSettings(engine="none"))
    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        async with talking(service, window=1) as caller:
            text = "A long and healthy stream of words. " * 4
            caller.say(type="text", text=text)
            caller.say(type="close")
            await caller.read_until("stream_created")
            for _ in range(10):
                await caller.read()
                ahead += 60.0
                await asyncio.sleep(0.01)
            messages = await caller.read_until("done")
    kinds = {message["type"] for message in messages if isinstance(message, dict)}
    assert kinds == {"segment_complete", "done"}
    assert messages[-1]["total_audio_ms"] == pytest.approx(55 * len(text.strip()), abs=60)


def imports_of_our_own() -> Iterator[tuple[str, str, str]]:
    """Every import of our packages anywhere in the code: file, module, name."""
    for folder in ("src", "pipecat_bots", "scripts", "benchmarks", "deploy"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules = [(node.module, alias.name) for alias in node.names]
                elif isinstance(node, ast.Import):
                    modules = [(alias.name, "") for alias in node.names]
                else:
                    continue
                for module, name in modules:
                    if module.split(".")[0] in ("nemotron_speech", "pipecat_bots"):
                        yield str(file.relative_to(ROOT)), module, name


def test_no_file_imports_a_module_of_ours_that_is_not_there() -> None:
    missing = {
        (file, module) for file, module, _ in imports_of_our_own() if importlib.util.find_spec(module) is None
    }
    assert not missing


def test_no_file_imports_a_name_that_is_not_there() -> None:
    missing = set()
    for file, module, name in imports_of_our_own():
        if not name or module.startswith("pipecat_bots"):
            continue
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        defined = names_in(Path(spec.origin)) | submodules_of(Path(spec.origin))
        if name not in defined:
            missing.add((file, module, name))
    assert not missing


@functools.cache
def names_in(file: Path) -> set[str]:
    """What a module's own text defines or imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.alias(name=name, asname=other):
                found.add(other or name)
    return found


def submodules_of(file: Path) -> set[str]:
    if file.name != "__init__.py":
        return set()
    return {path.stem for path in file.parent.iterdir()}
