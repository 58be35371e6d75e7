"""The chunked language model against a genuine llama.cpp server, and against the built-in responder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pipecat.frames.frames import InterruptionFrame, LLMContextFrame, MetricsFrame, TTSSpeakFrame
from pipecat.metrics.metrics import LLMTokenUsage, LLMUsageMetricsData
from pipecat.pipeline.worker import PipelineParams
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.tests.utils import SleepFrame

from benchmarks.kv_reuse import after_interruption, longer_turn, turns
from benchmarks.llm_talk import talk
from nemotron_speech.protocol.llama.api import ChatRequest, Finish, TextDelta
from pipecat_bots.context.user import Conversation
from pipecat_bots.llama_cpp_chunked_llm import (
    INSTRUCTIONS_TOO_LONG,
    TOO_LONG,
    LlamaCppChunkedLLMService,
)
from pipecat_bots.llm.backpressure import CHUNKED, streamed
from pipecat_bots.llm.cache.slots import AlternatingSlots, OwnSlot, SharedSlots, SlotPolicy
from pipecat_bots.llm.client import Endpoints, ModelServer
from pipecat_bots.llm.tools import BUILT_IN
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from pipecat_bots.openai_llm import NvidiaOpenAILLMService
from tests.bots.fakes import FakeTts, Step, answered, of_type, through
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
from tests.llama.tiny_gguf import GREETING, STORY, Architecture, build

pytestmark = pytest.mark.e2e

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


async def test_conversations_of_one_bot_answer_side_by_side_and_keep_their_caches(llama_server: str) -> None:  # noqa: F811
    shared = SharedSlots()

    async def converse(url: str, name: str) -> list[float]:
        """Tell the model more and more; which share of the prompt each turn evaluated."""
        shares, messages = [], list[dict[str, Any]]()
        async with model_server(url, OwnSlot(shared)) as model:
            await model.learn_context_tokens()
            for _ in range(4):
                messages.append({"role": "user", "content": f"{name} says {name} is here"})
                async with aclosing(model.events(ChatRequest(messages, max_tokens=4))) as reads:
                    events = [event async for read in reads for event in read]
                finish = next(event for event in events if isinstance(event, Finish))
                text = "".join(event.text for event in events if isinstance(event, TextDelta))
                messages.append({"role": "assistant", "content": text})
                shares.append(1 - finish.cached_tokens / finish.prompt_tokens)
        return shares

    for shares in await asyncio.gather(converse(llama_server, "Anna"), converse(llama_server, "Bertram")):
        assert shares == sorted(shares, reverse=True)
        assert shares[-1] < 0.5


@asynccontextmanager
async def model_server(url: str, slots: SlotPolicy | None = None) -> AsyncIterator[ModelServer]:
    model = ModelServer(Endpoints(url), slots or OwnSlot())
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
        assert one.llm.warmer.tokens > 0
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


async def test_a_warm_up_gives_way_to_an_answer(slow_llama_server: str) -> None:  # noqa: F811
    async with talk(slow_llama_server, streamed(), warm=True) as one:
        one.context.add_message({"role": "user", "content": "word " * 500})
        one.context.add_message({"role": "assistant", "content": "Yes."})
        assert one.llm.warmer.is_at_work
        one.context.add_message({"role": "user", "content": "And a story?"})
        began = time.perf_counter()
        first_s = await one.hear() - began
        await one.interrupt()
    assert first_s > 0.05, "not the line breaks that end the prompt, before it is evaluated"


# ------------------------------------------------------------------------- a slot that is too small


@pytest.fixture(scope="module")
def small_server(model_folder: Path) -> Iterator[str]:  # noqa: F811
    """Slots of 256 tokens: some four exchanges."""
    with running_llama_server(build(model_folder / "small.gguf"), "--ctx", "512") as url:
        yield url


@pytest.fixture(params=["llama.cpp", "other"])
def service(request: pytest.FixtureRequest, small_server: str) -> Callable[..., LlamaCppChunkedLLMService]:
    """Either service, at a server with small slots; the second does not know how small."""
    if request.param == "llama.cpp":
        return partial(LlamaCppChunkedLLMService, base_url=small_server, strategy=CHUNKED)
    return partial(NvidiaOpenAILLMService, base_url=f"{small_server}/v1", model="m")


async def said_by(llm: LlamaCppChunkedLLMService, context: LLMContext, *questions: str) -> list[str]:
    """What is said to each question, one after the other; it all goes into the context."""
    user, assistant = LLMContextAggregatorPair(context)
    asked_at: list[int] = []

    def ask(question: str) -> Step:
        async def step() -> None:
            asked_at.append(len(context.messages))
            context.add_message({"role": "user", "content": question})
            await user.push_frame(LLMContextFrame(context))
            async with asyncio.timeout(20):
                while len(context.messages) == asked_at[-1] + 1:
                    await asyncio.sleep(0.01)

        return step

    async with FakeTts(delay_s=0.01, ms_per_character=1) as tts:
        voice = MagpieWebSocketTTSService(url=tts.url)
        await through([user, llm, voice, assistant], [SleepFrame(0.1), *map(ask, questions)])
    return [str(context.get_messages()[n + 1]["content"]) for n in asked_at]  # type: ignore[index]


async def test_a_conversation_longer_than_a_slot_goes_on_and_tools_leave_with_what_they_were_for(
    service: Callable[..., LlamaCppChunkedLLMService],
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    tool_used: list[Any] = [
        {"role": "user", "content": "And the weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "assistant", "content": "Great, it is bright outside."},
    ]
    name, context = "They call me Nemo. Pleased to meet you!", Conversation([*tool_used, *tool_used])
    answers = await said_by(service(), context, *["what is your name"] * 5)
    assert [answer for answer in answers if answer != name] == [], "every answer has room"


async def test_a_message_longer_than_a_slot_is_answered_and_not_said_again_with_the_next_one(
    service: Callable[..., LlamaCppChunkedLLMService],
) -> None:
    too_long, name = await said_by(service(), Conversation(), "word " * 400, "what is your name")
    assert too_long == TOO_LONG
    assert name == "They call me Nemo. Pleased to meet you!"


async def test_instructions_longer_than_a_slot_are_not_blamed_on_the_user(
    service: Callable[..., LlamaCppChunkedLLMService],
) -> None:
    settings = LlamaCppChunkedLLMService.Settings(system_instruction="Be brief. " * 200)
    down, _ = await through([service(settings=settings)], [SleepFrame(0.2), LLMContextFrame(asked("hi"))])
    assert [frame.text for frame in of_type(down, TTSSpeakFrame)] == [INSTRUCTIONS_TOO_LONG]


async def test_an_answer_that_fills_its_slot_ends_there(
    service: Callable[..., LlamaCppChunkedLLMService],
) -> None:
    settings = LlamaCppChunkedLLMService.Settings(max_tokens=1000)
    llm = service(settings=settings)
    [answer] = await said_by(llm, Conversation(), "blah " * 43 + "a story")
    assert STORY.startswith(answer)
    assert 0 < len(answer) < len(STORY)
    assert llm._model.context_tokens == 256, "the next one has room"
