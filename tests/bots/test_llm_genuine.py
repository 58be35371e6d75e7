"""The chunked language model against a genuine llama.cpp server, and against the built-in responder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pipecat.frames.frames import InterruptionFrame, LLMContextFrame, MetricsFrame
from pipecat.metrics.metrics import LLMTokenUsage, LLMUsageMetricsData
from pipecat.pipeline.worker import PipelineParams
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.tests.utils import SleepFrame

from benchmarks.kv_reuse import after_interruption, longer_turn, turns
from benchmarks.llm_talk import talk
from nemotron_speech.protocol.llama import ChatRequest
from nemotron_speech.protocol.slots import AlternatingSlots, SingleSlot
from pipecat_bots.llama_cpp_chunked_llm import LlamaCppChunkedLLMService
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from pipecat_bots.model.handshake import streamed
from pipecat_bots.model.model_server import Endpoints, ModelServer
from pipecat_bots.model.tools import BUILT_IN
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
from tests.llama.server import running_llama_server
from tests.llama.tiny_gguf import GREETING, Architecture, build

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


async def test_a_model_thinks_within_its_budget_and_speaks_its_answer_alone(either_llama_server: str) -> None:  # noqa: F811
    tokens = {}
    for budget in (0, 3, 100):
        settings = LlamaCppChunkedLLMService.Settings(thinking_tokens=budget)
        context = asked("hi")
        [usage] = await answer(either_llama_server, context, settings=settings, strategy=streamed())
        assert context.get_messages()[-1] == {"role": "assistant", "content": GREETING}
        tokens[budget] = usage.completion_tokens
    assert tokens[3] == tokens[0] + 3
    assert tokens[100] > tokens[3]


async def test_the_responder_goes_on_where_it_was_stopped(responder: str) -> None:  # noqa: F811
    context = asked(QUESTION)
    expected = await whole(responder, context)
    await answer(responder, context)
    assert context.get_messages()[-1] == {"role": "assistant", "content": expected.strip()}
    assert len(expected) > 200


async def test_requests_may_follow_at_once(llama_server: str) -> None:  # noqa: F811
    """The server closes its connection behind each answer, when the next request may be on it already."""
    async with model_server(llama_server) as model:
        request = ChatRequest([{"role": "user", "content": "hi"}], max_tokens=2)
        for _ in range(20):
            async with aclosing(model.events(request)) as reads:
                assert [events async for events in reads]


@asynccontextmanager
async def model_server(url: str) -> AsyncIterator[ModelServer]:
    model = ModelServer(Endpoints(url), SingleSlot())
    model.open()
    try:
        yield model
    finally:
        await model.close()


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


# ------------------------------------------------------------------------------- what a turn costs

ALMOST = 5
"""Tokens above the least possible."""


@pytest.mark.parametrize("warm", [False, True])
async def test_a_turn_costs_what_is_new_in_it(either_llama_server: str, warm: bool) -> None:  # noqa: F811
    hybrid = "nemotron" in (await served(either_llama_server))
    async with talk(either_llama_server, streamed(), warm) as one:
        costs, least = await turns(one, 4, hybrid, warm)
    assert all(cost <= lowest + ALMOST for cost, lowest in zip(costs[1:], least[1:], strict=True))


async def test_an_interrupted_answer_costs_nothing_more_once_it_was_warmed(either_llama_server: str) -> None:  # noqa: F811
    hybrid = "nemotron" in (await served(either_llama_server))
    async with talk(either_llama_server, streamed(), warm=True) as one:
        cost, least = await after_interruption(one, hybrid, warm=True)
        assert one.llm.warmed_tokens > 0
    assert cost <= least + ALMOST


async def test_a_turn_that_goes_on_costs_what_it_goes_on_with(either_llama_server: str) -> None:  # noqa: F811
    hybrid = "nemotron" in (await served(either_llama_server))
    async with talk(either_llama_server, streamed(), warm=False) as one:
        cost, least = await longer_turn(one, hybrid)
    assert cost <= least + ALMOST


@pytest.mark.parametrize("architecture", ["llama", "nemotron_h_moe"])
async def test_after_a_tool_the_model_reads_its_result_and_no_more(
    tmp_path: Path, architecture: Architecture
) -> None:
    call = '<tool_call>\n{"name": "get_current_time", "arguments": {"timezone": "Asia/Tokyo"}}\n</tool_call>'
    scripts = [("clock", call), ("Tokyo", "Late already, go to bed.")]
    context = LLMContext([{"role": "user", "content": "read the clock"}], tools=[BUILT_IN["time"]])
    with running_llama_server(build(tmp_path / "tool.gguf", architecture, scripts=scripts)) as url:
        call_made, answer_given = await answer(url, context, strategy=streamed())
    known = call_made.prompt_tokens + call_made.completion_tokens
    assert answer_given.cache_read_input_tokens is not None
    assert answer_given.cache_read_input_tokens >= known - ALMOST


async def served(url: str) -> str:
    """The name of the model at `url`."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/props") as response:
        return (await response.json())["model_path"]


async def test_the_first_token_is_one_the_model_made(slow_llama_server: str) -> None:  # noqa: F811
    """The line breaks that end a prompt come before it is evaluated."""
    async with talk(slow_llama_server, streamed(), warm=False) as one:
        one.context.add_message({"role": "user", "content": "a story: " + "word " * 500})
        began = time.perf_counter()
        first = await one.hear() - began
        assert first > (time.perf_counter() - began) / 2


async def test_a_warm_up_gives_way_to_an_answer(slow_llama_server: str) -> None:  # noqa: F811
    async with talk(slow_llama_server, streamed(), warm=True) as one:
        one.context.add_message({"role": "user", "content": "word " * 500})
        one.context.add_message({"role": "assistant", "content": "Yes."})
        assert one.llm._warming is not None
        one.context.add_message({"role": "user", "content": "And?"})
        text = await one.begin(after_s=1.0)
    assert text
