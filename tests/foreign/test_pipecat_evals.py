"""Pipecat's own evaluations: typed and spoken scenarios against the bot and its embedded engines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pipecat.evals.scenario import EvalScenarioFile
from pipecat.evals.session import EvalSession, EvalSessionParams

from benchmarks.stack import Stack
from nemotron_speech.audio import Clip
from tests.e2e.conftest import speak as speak
from tests.foreign.transcriber import ASR_URL

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(200)]

SCENARIOS = Path(__file__).with_name("evals")
TEXT = ("sums", "memory", "given_context", "no_double_answer", "interruption")
AUDIO = ("question", "speech_is_heard", "barge_in", "keypad")
CLIPS = {
    "question": "what is seventeen times three",
    "story": "tell me a story",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The embedded engines and a bot that takes every transport."""
    greeting = "One hundred minus one is ninety-nine."
    stack = Stack(tmp_path_factory.mktemp("evals"), transport=None, environment={"BOT_GREETING": greeting})
    try:
        stack.start()
        os.environ[ASR_URL] = stack.asr.url.replace("http", "ws")
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory, speak: Callable[[str], Clip]) -> Path:
    """The scenario files, beside clips of a caller."""
    folder = tmp_path_factory.mktemp("scenarios")
    for file in SCENARIOS.glob("*.yaml"):
        shutil.copy(file, folder)
    (folder / "clips").mkdir()
    for name, text in CLIPS.items():
        clip = speak(text).at(16000)
        pause = np.zeros(16000 // 2, np.int16)
        soundfile.write(folder / "clips" / f"{name}.wav", np.concatenate([clip.samples, pause]), 16000)
    return folder


async def passes(folder: Path, kind: str, name: str, stack: Stack) -> None:
    file = EvalScenarioFile.load(folder / f"{kind}.yaml")
    (scenario,) = (each for each in file.scenarios if each.name == f"{kind}/{name}")
    url = stack.url.replace("http", "ws") + "/ws"
    result = await EvalSession.from_scenario(scenario, url, params=EvalSessionParams()).run()
    assert result.passed, "\n".join([*map(str, result.failures), *result.debug_log, stack.agent.tail(20)])


@pytest.mark.parametrize("name", TEXT)
async def test_a_typed_scenario_passes(name: str, scenarios: Path, stack: Stack) -> None:
    await passes(scenarios, "text", name, stack)


@pytest.mark.parametrize("name", AUDIO)
async def test_a_spoken_scenario_passes(name: str, scenarios: Path, stack: Stack) -> None:
    await passes(scenarios, "audio", name, stack)


def test_every_scenario_is_run(scenarios: Path) -> None:
    for kind, names in (("text", TEXT), ("audio", AUDIO)):
        file = EvalScenarioFile.load(scenarios / f"{kind}.yaml")
        assert [each.name for each in file.scenarios] == [f"{kind}/{name}" for name in names]
