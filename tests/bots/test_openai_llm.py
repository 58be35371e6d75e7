"""The OpenAI-compatible language model: errors cost a turn, never the service."""

from __future__ import annotations

import pytest
from pipecat.frames.frames import Frame, LLMContextFrame, LLMTextFrame, TTSSpeakFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.tests.utils import SleepFrame

from pipecat_bots.llama_cpp_chunked_llm import APOLOGY
from pipecat_bots.openai_llm import NvidiaOpenAILLMService
from tests.bots.fakes import FakeLlm, of_type, through


def question() -> LLMContextFrame:
    return LLMContextFrame(LLMContext([{"role": "user", "content": "Hello"}]))


def service(llm: FakeLlm) -> NvidiaOpenAILLMService:
    settings = NvidiaOpenAILLMService.Settings(model="m")
    return NvidiaOpenAILLMService(base_url=f"{llm.url}/v1", api_key="x", settings=settings)


def spoken(frames: list[Frame]) -> str:
    return "".join(frame.text for frame in of_type(frames, LLMTextFrame))


async def test_reasoning_is_switched_off_in_every_request() -> None:
    async with FakeLlm("Fine. And you?") as llm:
        down, _ = await through([service(llm)], [question(), SleepFrame(1)])
    assert spoken(down) == "Fine. And you?"
    assert [r["chat_template_kwargs"] for r in llm.requests] == [{"enable_thinking": False}]


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_an_http_error_costs_one_turn_only(status: int) -> None:
    async with FakeLlm("Fine.") as llm:
        llm.status, llm.error = status, {"message": "no"}

        async def mend() -> None:
            llm.status = 200

        llm_service = service(llm)
        down, _ = await through([llm_service], [question(), SleepFrame(1), mend, question(), SleepFrame(1)])
    assert [frame.text for frame in of_type(down, TTSSpeakFrame)] == [APOLOGY]
    assert spoken(down) == "Fine."
    assert llm_service.is_usable


async def test_a_server_that_is_away_is_apologised_for_and_works_when_it_is_back() -> None:
    llm = FakeLlm("Fine.")
    llm_service = service(llm)
    steps = [question(), SleepFrame(4), llm.start, question(), SleepFrame(2)]
    down, _ = await through([llm_service], steps)
    await llm.stop()
    assert [frame.text for frame in of_type(down, TTSSpeakFrame)] == [APOLOGY]
    assert spoken(down) == "Fine."
    assert llm_service.outage is None
