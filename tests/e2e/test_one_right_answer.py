"""Who speaks in pieces is answered once, and to all of it: real servers, a caller on WebRTC, real pauses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.caller import RATE, Caller, call
from benchmarks.stack import Stack
from nemotron_speech.audio import Clip
from tests.bots.fakes import FakeLlm
from tests.e2e.conftest import ARTIFACTS, SCRIPT, reply
from tests.e2e.test_conversation import IN_FLIGHT_S, tones

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

Speak = Callable[[str], Clip]
LEFT_OPEN = ("I would like to know", "what the weather will be")
COMPLETE = ("tell me a long story", "about the deep sea please")
PLAIN_ASR = ("-m", "benchmarks.doubles.plain_asr", "--host=127.0.0.1")
THREE = ("tell me a long story", "about the deep sea", "and make it funny")


class Understanding(FakeLlm):
    """Answers with one tone who has said everything, and with another who has not."""

    def __init__(self, everything: str, first_token_s: float) -> None:
        super().__init__(token_s=0.015)
        self._everything, self._first_token_s = everything.split(), first_token_s

    def reply_to(self, messages: Sequence[dict[str, Any]]) -> str:
        said = " ".join(m["content"] for m in messages if m["role"] == "user").split()
        return reply("charlie" if said == self._everything else "bravo", 5)

    async def _stream(self, response: Any, body: dict[str, Any]) -> None:
        await asyncio.sleep(self._first_token_s)
        await super()._stream(response, body)


async def say_in_pieces(caller: Caller, clips: Sequence[Clip], pause_s: float) -> float:
    """Speak, with exact pauses between; return when the last piece began."""
    silence = np.zeros(round(pause_s * RATE), np.int16)
    pieces = [piece for clip in clips for piece in (silence, clip.at(RATE).samples)][1:]
    ended = await caller.say(Clip(np.concatenate(pieces), RATE))
    return ended - len(pieces[-1]) / RATE


@pytest.mark.parametrize("recogniser", ["ours", "plain"])
@pytest.mark.parametrize(
    ("parts", "pause_s", "first_token_s", "interrupts"),
    [
        pytest.param(LEFT_OPEN, 0.4, 0.06, False, id="left open, 0.4 s"),
        pytest.param(LEFT_OPEN, 1.2, 0.06, False, id="left open, 1.2 s"),
        pytest.param(LEFT_OPEN, 2.0, 0.06, False, id="left open, 2 s"),
        pytest.param(COMPLETE, 0.4, 0.06, True, id="complete, 0.4 s"),
        pytest.param(COMPLETE, 1.2, 0.06, True, id="complete, 1.2 s"),
        pytest.param(COMPLETE, 2.0, 0.06, True, id="complete, 2 s"),
        pytest.param(THREE, 0.4, 0.06, True, id="three in a row"),
        pytest.param(COMPLETE, 1.0, 1.5, False, id="while the answer is prepared"),
    ],
)
async def test_what_is_said_in_pieces_has_one_answer(
    tmp_path: Path,
    speak: Speak,
    recogniser: str,
    parts: Sequence[str],
    pause_s: float,
    first_token_s: float,
    interrupts: bool,
) -> None:
    """`interrupts`: a pause behind what sounds complete may be answered, and the answer interrupted."""
    asr = {**SCRIPT["asr"], "transcripts": parts, "pause_ms": 350}
    script = tmp_path / "script.json"
    script.write_text(json.dumps({**SCRIPT, "asr": asr}))
    async with Understanding(" ".join(parts), first_token_s) as llm:
        environment = {"BOT_GREETING": "Zulu.", "NVIDIA_LLAMA_CPP_URL": llm.url}
        servers = Stack(tmp_path / "stack", script, environment=environment)
        if recogniser == "plain":
            servers.asr.arguments = [*PLAIN_ASR, f"--port={servers.asr.port}", f"--script={script}"]
        async with servers as stack, call(stack.url) as caller:
            try:
                await caller.until("bot-stopped-speaking")
                await caller.silence(0.5)
                began = asyncio.get_running_loop().time()
                last = await say_in_pieces(caller, [speak(part) for part in parts], pause_s)
                await caller.hears(after=last + IN_FLIGHT_S + 0.35)
                await caller.silence(3.0)
            finally:
                caller.save(ARTIFACTS / f"pieces_{'_'.join(parts[0].split())}_{pause_s}.wav")
            ended = asyncio.get_running_loop().time()
    before, after = tones(caller, began, last), tones(caller, last + IN_FLIGHT_S + 0.35, ended)
    assert after == {"charlie"}, "one answer, to everything"
    assert before <= ({"bravo"} if interrupts else set())
    spoken = [e.data["text"] for e in caller.events if e.type == "bot-tts-text" and e.at > last]
    assert "".join(spoken).strip().endswith(reply("charlie", 5)), "told to its end"
    texts = [e.data["text"] for e in caller.events if e.type == "user-transcription" and e.data["final"]]
    assert " ".join(texts).split() == " ".join(parts).split(), "every word once"


@pytest.mark.parametrize("recogniser", ["ours", "plain"])
@pytest.mark.parametrize("gap_s", [0.6, 1.5])
async def test_three_short_barge_ins_in_a_row(
    tmp_path: Path, speak: Speak, recogniser: str, gap_s: float
) -> None:
    """The stop word gets no answer; the questions behind it do, and the last answer is to all of them."""
    parts = ("tell me a long story", "stop it now", "what about the deep sea", "is it funny")
    asr = {**SCRIPT["asr"], "transcripts": parts, "pause_ms": 350}
    script = tmp_path / "script.json"
    script.write_text(json.dumps({**SCRIPT, "asr": asr}))
    async with Understanding(" ".join(parts), 0.06) as llm:
        environment = {"BOT_GREETING": "Zulu.", "NVIDIA_LLAMA_CPP_URL": llm.url}
        servers = Stack(tmp_path / "stack", script, environment=environment)
        if recogniser == "plain":
            servers.asr.arguments = [*PLAIN_ASR, f"--port={servers.asr.port}", f"--script={script}"]
        async with servers as stack, call(stack.url) as caller:
            await caller.until("bot-stopped-speaking")
            await caller.silence(0.5)
            said = await caller.say(speak(parts[0]))
            await caller.hears(after=said)
            await caller.silence(0.5)
            last = await say_in_pieces(caller, [speak(part) for part in parts[1:]], gap_s)
            await caller.hears(after=last + IN_FLIGHT_S + 0.35)
            await caller.silence(4.0)
            ended = asyncio.get_running_loop().time()
    assert tones(caller, last + IN_FLIGHT_S + 0.35, ended) == {"charlie"}, "one answer, to everything"
