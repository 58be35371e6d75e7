"""The chunked language model against a genuine llama.cpp server, and against the built-in responder."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.frames.frames import InterruptionFrame, LLMContextFrame, MetricsFrame
from pipecat.metrics.metrics import LLMTokenUsage, LLMUsageMetricsData
from pipecat.pipeline.worker import PipelineParams
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.tests.utils import SleepFrame

from nemotron_speech.protocol.slots import AlternatingSlots
from pipecat_bots.llama_cpp_chunked_llm import LlamaCppChunkedLLMService
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from tests.bots.fakes import FakeTts, answered, of_type, through
from tests.llama.conftest import (  # noqa: F401 - fixtures
    either_llama_server,
    llama_server,
    long_server,
    model_folder,
    responder,
    server,
    slow_llama_server,
    slow_responder,
)

QUESTION = "Tell me a story"
PARAMS = PipelineParams(enable_metrics=True, enable_usage_metrics=True)


def asked(*questions: str) -> LLMContext:
    return LLMContext([{"role": "user", "content": question} for question in questions])


async def answer(url: str, context: LLMContext, **options: Any) -> list[LLMTokenUsage]:
    """Let the bot answer into `context`; what each answer cost."""
    llm = LlamaCppChunkedLLMService(base_url=url, **options)
    _, assistant = LLMContextAggregatorPair(context)
    async with FakeTts(delay_s=0.01) as tts:
        voice = MagpieWebSocketTTSService(url=tts.url)
        steps = [SleepFrame(0.3), LLMContextFrame(context), answered(context), SleepFrame(0.1)]
        down, _ = await through([llm, voice, assistant], steps, pipeline_params=PARAMS)
    data = [d for frame in of_type(down, MetricsFrame) for d in frame.data]
    return [d.value for d in data if isinstance(d, LLMUsageMetricsData)]


async def whole(url: str, context: LLMContext) -> str:
    """The answer to `context` as one request gives it."""
    llm = LlamaCppChunkedLLMService(base_url=url)
    texts: list[str] = []

    async def infer() -> None:
        texts.append(await llm.run_inference(context) or "")

    await through([llm], [infer])
    return texts[0]


@pytest.mark.parametrize("slots", ["single", "alternate"])
async def test_an_answer_in_chunks_is_the_answer_in_one_piece(either_llama_server: str, slots: str) -> None:  # noqa: F811
    policy = AlternatingSlots(guard_s=0.1) if slots == "alternate" else None
    context = asked(QUESTION)
    expected = await whole(either_llama_server, context)
    await answer(either_llama_server, context, slots=policy)
    assert context.get_messages()[-1] == {"role": "assistant", "content": expected.strip()}


async def test_the_responder_goes_on_where_it_was_stopped(responder: str) -> None:  # noqa: F811
    context = asked(QUESTION)
    expected = await whole(responder, context)
    await answer(responder, context)
    assert context.get_messages()[-1] == {"role": "assistant", "content": expected.strip()}
    assert len(expected) > 200


async def test_chunks_cost_no_more_than_a_token_each_to_go_on(either_llama_server: str) -> None:  # noqa: F811
    await answer(either_llama_server, asked(QUESTION))
    [usage] = await answer(either_llama_server, asked(QUESTION))
    assert usage.cache_read_input_tokens is not None
    assert usage.completion_tokens > 20
    assert usage.prompt_tokens - usage.cache_read_input_tokens <= 40


async def test_after_an_interruption_the_next_answer_comes(long_server: str) -> None:  # noqa: F811
    context = asked(QUESTION)
    settings = LlamaCppChunkedLLMService.Settings(max_tokens=60)
    llm = LlamaCppChunkedLLMService(base_url=long_server, settings=settings)
    _, assistant = LLMContextAggregatorPair(context)
    async with FakeTts(delay_s=0.3) as tts:
        voice = MagpieWebSocketTTSService(url=tts.url)
        steps = [SleepFrame(0.3), LLMContextFrame(context), SleepFrame(0.6), InterruptionFrame()]
        steps += [SleepFrame(0.2), LLMContextFrame(context), answered(context)]
        began = asyncio.get_running_loop().time()
        await through([llm, voice, assistant], steps)
        assert asyncio.get_running_loop().time() - began < 30
    assert context.get_messages()[-1]["role"] == "assistant"  # type: ignore[index]
    assert llm.is_usable
    assert llm.outage is None
