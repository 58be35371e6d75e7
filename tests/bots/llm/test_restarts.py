"""A language model's server that goes away while the user waits, and comes back."""

from __future__ import annotations

import pytest
from pipecat.frames.frames import LLMFullResponseEndFrame, UserStartedSpeakingFrame
from pipecat.tests.utils import SleepFrame

from pipecat_bots.llama_cpp_chunked_llm import APOLOGY
from pipecat_bots.llm.backpressure import CHUNKED, ReadAheadPolicy, streamed
from pipecat_bots.llm.restarts import RESTART_S
from tests.bots.fakes import FakeLlm, FakeTts, of_type, question
from tests.bots.llm.answering import converse, said
from tests.virtual_time import virtual_time

STORY = " ".join(f"Sentence number {n} of a story has eight words." for n in range(8))


@pytest.mark.parametrize("away_s", [0.1, 1.0, 2.5])
def test_a_question_during_a_restart_is_answered_without_an_apology(away_s: float) -> None:
    @virtual_time
    async def scenario() -> None:
        async with FakeLlm("All is well.") as llm, FakeTts() as tts:
            steps = [llm.stop, question(), SleepFrame(away_s), llm.start, SleepFrame(6)]
            _, service = await converse(llm, tts, steps)
        assert [text for text, _ in tts.segments] == ["All is well."]
        assert service.outage is None

    scenario()


@virtual_time
async def test_a_server_that_is_still_loading_is_waited_for_too() -> None:
    async with FakeLlm("All is well.") as llm, FakeTts() as tts:
        llm.status, llm.error = 503, {"code": 503, "message": "Loading model", "type": "unavailable_error"}

        async def loaded() -> None:
            llm.status = 200

        await converse(llm, tts, [question(), SleepFrame(1.5), loaded, SleepFrame(6)])
    assert [text for text, _ in tts.segments] == ["All is well."]


@pytest.mark.parametrize("strategy", [CHUNKED, streamed()], ids=["chunked", "streamed"])
def test_an_answer_that_a_restart_broke_off_goes_on_where_it_was(strategy: ReadAheadPolicy) -> None:
    @virtual_time
    async def scenario() -> None:
        async with FakeLlm(STORY, token_s=0.05) as llm, FakeTts() as tts:
            steps = [question(), SleepFrame(1.2), llm.stop, SleepFrame(1.5), llm.start, SleepFrame(40)]
            down, _ = await converse(llm, tts, steps, strategy=strategy)
        assert said(down) == STORY
        assert len(of_type(down, LLMFullResponseEndFrame)) == 1

    scenario()


@virtual_time
async def test_a_server_that_stays_away_is_apologised_for_and_answers_when_it_is_back() -> None:
    async with FakeTts() as tts:
        llm = FakeLlm("All is well again.")
        steps = [question(), SleepFrame(10), llm.start, SleepFrame(3), question(), SleepFrame(10)]
        _, service = await converse(llm, tts, steps)
        await llm.stop()
    assert [text for text, _ in tts.segments] == [APOLOGY, *["All is well again."] * 2]
    assert service.is_usable
    assert service.outage is None
    assert RESTART_S < 5


@virtual_time
async def test_a_user_who_has_gone_on_is_not_answered_twice() -> None:
    async with FakeTts() as tts:
        llm = FakeLlm("All is well again.")
        gone_on = [UserStartedSpeakingFrame(), llm.start, SleepFrame(3), question(), SleepFrame(10)]
        await converse(llm, tts, [question(), SleepFrame(8), *gone_on])
        await llm.stop()
    assert [text for text, _ in tts.segments] == [APOLOGY, "All is well again."]


@virtual_time
async def test_half_an_answer_is_not_said_again() -> None:
    async with FakeLlm(STORY, token_s=0.2) as llm, FakeTts() as tts:
        steps = [question(), SleepFrame(3), llm.stop, SleepFrame(12), llm.start, SleepFrame(20)]
        await converse(llm, tts, steps)
    spoken = [text for text, _ in tts.segments]
    assert spoken[-1] == APOLOGY
    assert spoken[0] in STORY
