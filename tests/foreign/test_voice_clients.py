"""Voice clients that know nothing of this project: on a plain WebSocket, and by telephone, with loss too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from benchmarks.stack import Stack
from nemotron_speech.audio import Clip
from tests.e2e.conftest import SCRIPT, reply
from tests.e2e.conftest import speak as speak
from tests.foreign.conftest import Foreign

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(150)]

Speak = Callable[[str], Clip]
RATE = 16000
LONG = {
    **SCRIPT,
    "llm": {
        "replies": [reply(name, 16) for name in ("alpha", "bravo", "charlie", "delta")],
        "first_token_ms": 60,
        "tokens_per_second": 60,
    },
}
"""Long sentences: a pause between two would look as if the bot had fallen silent."""


async def stack_for(folder: Path, transport: str) -> Stack:
    script = folder / "script.json"
    script.write_text(json.dumps(LONG))
    greeting = {"BOT_GREETING": "Zulu speaking, hello."}
    return Stack(folder / "stack", script, environment=greeting, transport=transport)


def clips(folder: Path, speak: Speak) -> dict[str, str]:
    """Write what the caller says; return the names of the files."""
    names = {}
    for name, text in (
        ("question", "tell me a story please"),
        ("interruption", "no wait what about the weather"),
    ):
        path = folder / f"{name}.wav"
        soundfile.write(path, speak(text).at(RATE).samples, RATE)
        names[name] = str(path)
    cough = np.random.default_rng(1).normal(0, 900, RATE // 6).astype(np.int16)
    soundfile.write(folder / "cough.wav", cough, RATE)
    return {**names, "cough": str(folder / "cough.wav")}


async def test_voicebench_has_every_turn_of_its_own(foreign: Foreign, tmp_path: Path, speak: Speak) -> None:
    said = clips(tmp_path, speak)
    scenario = tmp_path / "scenario.yaml"
    after_speech = {"after": "agent_speech_end", "delay_ms": 700}
    in_speech = {"after": "agent_speech_start", "delay_ms": 1200}
    turns: list[dict[str, Any]] = [
        {"id": "question", "audio": {"file": said["question"]}, "start": after_speech},
        {"id": "cough", "audio": {"file": said["cough"]}, "start": in_speech, "expect": "ignore"},
        {"id": "again", "audio": {"file": said["question"]}, "start": after_speech},
        {"id": "barge-in", "audio": {"file": said["interruption"]}, "start": in_speech, "expect": "stop"},
    ]
    scenario.write_text(yaml.safe_dump({"name": "turns", "sample_rate": RATE, "turns": turns}))
    async with await stack_for(tmp_path, "websocket") as stack:
        url = stack.url.replace("http", "ws") + "/ws-client"
        report = await foreign("voicebench_turns", str(scenario), url)
        assert [turn["passed"] for turn in report["turns"]] == [True] * len(turns), report
        # Nobody who speaks no RTVI is left without a greeting: the bot spoke before the caller did.
        assert report["turns"][0]["trigger"] == "anchor", report
        assert " WARNING " not in stack.agent.log.read_text()


@pytest.mark.parametrize("loss", ["0", "0.05"])
async def test_a_telephone_call_is_greeted_answered_and_interrupted(
    foreign: Foreign, tmp_path: Path, speak: Speak, loss: str
) -> None:
    said = clips(tmp_path, speak)
    scenario = tmp_path / "call.yaml"
    steps: list[dict[str, Any]] = [
        {"wait_for": {"event": "audio", "timeout": 10}},
        {"wait_for": {"event": "quiet", "timeout": 20}},
        {"expect": "audio"},
        {"dtmf": "1#"},
        {"say": said["question"]},
        {"wait_for": {"event": "audio", "timeout": 10}},
        {"wait": 1.5},
        {"say": said["interruption"]},
        {"wait_for": {"event": "clear", "timeout": 10}},
        {"expect": "clear"},
        {"wait_for": {"event": "audio", "timeout": 10}},
        {"expect": "no_violations"},
    ]
    scenario.write_text(yaml.safe_dump({"name": "call", "steps": steps}))
    async with await stack_for(tmp_path, "twilio") as stack:
        url = stack.url.replace("http", "ws") + "/ws"
        report = await foreign("streamdouble_call", str(scenario), url, loss, timeout_s=120)
        assert report["exit_code"] == 0, report
        assert report["violations"] == []
        assert all(expectation["passed"] for expectation in report["expectations"]), report
        log = stack.agent.log.read_text()
        assert "Traceback" not in log
        assert log.count("| WARNING ") == 2, "the account and the host name, at start, and nothing else"
