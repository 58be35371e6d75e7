"""What the model is next sent of an interrupted answer, against the caller's own recording of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest

from benchmarks.caller import Caller, call
from benchmarks.stack import Stack
from nemotron_speech.audio import Clip, rms
from pipecat_bots.context.assistant import CUT_OFF
from tests.bots.fakes import FakeLlm
from tests.e2e.conftest import ARTIFACTS, SCRIPT, TONES, reply

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

MS_PER_CHARACTER = 55.0
AUDIBLE = 200
MOMENTS_S = [0.7 * n for n in range(1, 9)]
"""After the beginning of each answer, when the user breaks in."""
SENTENCES = [reply(name, 3) for name in ("alpha", "bravo", "charlie", "delta", "alpha", "bravo")]
ANSWER = " ".join(SENTENCES)
INTERJECTION = "what about the weather"


def words_heard(audible_s: float) -> int:
    """How many words are over after so much sound; what parts two sentences is silent."""
    sizes = [len(word) for sentence in SENTENCES for word in sentence.replace(" ", "_ ").split()]
    return sum(end * MS_PER_CHARACTER / 1000 <= audible_s for end in accumulate(sizes))


def audible_s(caller: Caller, start: float, end: float) -> float:
    return 0.02 * sum(start <= at < end and rms(samples) > AUDIBLE for at, samples in caller.heard)


def written(llm: FakeLlm) -> str:
    """The answer before the newest question, as the model was sent it."""
    asked = [r["messages"] for r in llm.requests if r["messages"][-1]["role"] == "user"]
    return asked[-1][-2]["content"]


async def test_the_model_is_sent_what_the_caller_heard_wherever_it_was_interrupted(
    tmp_path: Path, speak: Callable[[str], Clip]
) -> None:
    clip = speak(INTERJECTION)
    asr = {**SCRIPT["asr"], "transcripts": [INTERJECTION]}
    tts = {**SCRIPT["tts"], "tones": TONES, "ms_per_character": MS_PER_CHARACTER}
    script = tmp_path / "script.json"
    script.write_text(json.dumps({**SCRIPT, "asr": asr, "tts": tts}))
    async with FakeLlm(ANSWER) as llm:
        environment = {"BOT_GREETING": "Zulu.", "NVIDIA_LLAMA_CPP_URL": llm.url}
        stack = Stack(tmp_path / "stack", script, environment=environment)
        async with stack, call(stack.url) as caller:
            try:
                await caller.until("bot-stopped-speaking")
                await caller.silence(0.5)
                since, heard_from = len(caller.events), asyncio.get_running_loop().time()
                caller.say(clip)
                compared = []
                for moment in MOMENTS_S:
                    began = await caller.until("bot-started-speaking", since=since)
                    await asyncio.sleep(began.at + moment - asyncio.get_running_loop().time())
                    since = len(caller.events)
                    said = caller.say(clip)
                    interrupted = (await caller.until("bot-interrupted", since=since)).at
                    await said
                    heard_to = interrupted + 0.5
                    heard = words_heard(audible_s(caller, heard_from, heard_to))
                    heard_from = heard_to
                    await caller.until("bot-started-speaking", since=since)
                    text = written(llm)
                    assert text.endswith(CUT_OFF)
                    sent = text.removesuffix(CUT_OFF)
                    assert ANSWER.startswith(sent)
                    compared.append((moment, heard, len(sent.split())))
            finally:
                caller.save(ARTIFACTS / "heard_context.wav")
    assert all(abs(sent - heard) <= 1 for _, heard, sent in compared), compared
    assert compared[-1][1] > compared[0][1] + 10, "the answer is long"
