"""The language model at work on answers that may be withdrawn: what is asked of its server, and how much."""

from __future__ import annotations

import pytest
from pipecat.frames.frames import EagerEndOfTurnCancelFrame, LLMContextFrame, UserStoppedSpeakingFrame
from pipecat.tests.utils import SleepFrame

from pipecat_bots.llama_cpp_chunked_llm import LlamaCppChunkedLLMService
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from pipecat_bots.model.handshake import CHUNKED, GUESSED, Strategy, streamed
from pipecat_bots.openai_llm import NvidiaOpenAILLMService
from pipecat_bots.speculation.speculation import ProvisionalContext, Speculation
from tests.bots.answering import LONG, said
from tests.bots.fakes import FakeLlm, FakeTts, question, through
from tests.virtual_time import virtual_time

ANSWER = LONG[:250]


def guessed(speculation: Speculation) -> LLMContextFrame:
    messages = [{"role": "user", "content": speculation.text}]
    return LLMContextFrame(ProvisionalContext(speculation, messages=messages))  # type: ignore[arg-type]


@pytest.mark.parametrize("plain", [False, True], ids=["llama.cpp", "openai"])
def test_a_request_that_was_withdrawn_in_the_queue_is_never_sent(plain: bool) -> None:
    @virtual_time
    async def scenario() -> None:
        async with FakeLlm("Fine.", token_s=1.0) as llm:
            service = (
                NvidiaOpenAILLMService(base_url=f"{llm.url}/v1", model="m")
                if plain
                else LlamaCppChunkedLLMService(base_url=llm.url)
            )
            speculation = Speculation("And then?")

            async def withdraw() -> None:
                speculation.withdraw()

            steps = [question("Hello"), SleepFrame(0.2), guessed(speculation), SleepFrame(0.1), withdraw]
            steps += [EagerEndOfTurnCancelFrame(), SleepFrame(9), question("Hello again"), SleepFrame(9)]
            await through([service], [SleepFrame(0.3), *steps])
        asked = [request["messages"][-1]["content"] for request in llm.requests]
        assert asked == ["Hello", "Hello again"]

    scenario()


@pytest.mark.parametrize(
    ("strategy", "ahead"), [(streamed(), GUESSED.read_ahead_s), (CHUNKED, 0.0)], ids=["streamed", "chunked"]
)
def test_no_more_than_two_seconds_are_read_of_an_answer_that_may_be_withdrawn(
    strategy: Strategy, ahead: float
) -> None:
    @virtual_time
    async def scenario() -> None:
        async with FakeLlm(ANSWER) as llm, FakeTts() as tts:
            service = LlamaCppChunkedLLMService(base_url=llm.url, strategy=strategy)
            speculation, waiting = Speculation("Hello"), list[int]()

            async def look() -> None:
                assert service._reply is not None
                waiting.append(service._reply.waiting_characters)

            async def confirm() -> None:
                speculation.confirm()

            steps = [guessed(speculation), SleepFrame(8), look, confirm, UserStoppedSpeakingFrame()]
            voice = MagpieWebSocketTTSService(url=tts.url)
            down, _ = await through([service, voice], [SleepFrame(0.3), *steps, SleepFrame(30)])
        assert waiting[0] <= ahead * 1000 / 65 + len(" Sentence")
        assert llm.aborted >= 1
        assert said(down) == ANSWER

    scenario()
