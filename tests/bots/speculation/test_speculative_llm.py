"""The language model at work on answers that may be withdrawn: what is asked of its server, and how much."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestServer
from pipecat.frames.frames import EagerEndOfTurnCancelFrame, LLMContextFrame, UserStoppedSpeakingFrame
from pipecat.tests.utils import SleepFrame

from benchmarks.doubles.plain_llm import LlmScript, PlainServer
from pipecat_bots.llama_cpp_chunked_llm import LlamaCppChunkedLLMService
from pipecat_bots.llm.backpressure import CHUNKED, streamed
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from pipecat_bots.openai_llm import NvidiaOpenAILLMService
from pipecat_bots.speculation.speculation import ProvisionalContext, Speculation
from tests.bots.fakes import FakeLlm, FakeTts, question, through
from tests.bots.llm.answering import LONG, said
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


@virtual_time
async def test_a_guess_in_chunks_is_read_as_far_as_the_voice_may_have_it() -> None:
    async with FakeLlm(ANSWER) as llm, FakeTts() as tts:
        service = LlamaCppChunkedLLMService(base_url=llm.url, strategy=CHUNKED)
        speculation, waiting = Speculation("Hello"), list[int]()

        async def look() -> None:
            assert service._reply is not None
            waiting.append(service._reply.waiting_characters)

        async def confirm() -> None:
            speculation.confirm()

        steps = [guessed(speculation), SleepFrame(8), look, confirm, UserStoppedSpeakingFrame()]
        voice = MagpieWebSocketTTSService(url=tts.url)
        down, _ = await through([service, voice], [SleepFrame(0.3), *steps, SleepFrame(30)])
    assert waiting[0] <= len(" Sentence")
    assert said(down) == ANSWER


@virtual_time
async def test_a_guess_that_is_confirmed_is_one_request_however_late() -> None:
    async with FakeLlm(ANSWER) as llm, FakeTts() as tts:
        service = LlamaCppChunkedLLMService(base_url=llm.url, strategy=streamed())
        speculation = Speculation("Hello")

        async def confirm() -> None:
            speculation.confirm()

        steps = [guessed(speculation), SleepFrame(8), confirm, UserStoppedSpeakingFrame()]
        voice = MagpieWebSocketTTSService(url=tts.url)
        down, _ = await through([service, voice], [SleepFrame(0.3), *steps, SleepFrame(30)])
    assert said(down) == ANSWER
    assert (len(llm.requests), llm.aborted) == (1, 0)


async def asked_twice(llm: FakeLlm, first: str, second: str, pause_s: float) -> str:
    """Guess, withdraw the guess, and ask again after a pause; return what was said."""
    async with FakeTts() as tts:
        service = LlamaCppChunkedLLMService(base_url=llm.url, strategy=streamed())
        speculation = Speculation(first)

        async def withdraw() -> None:
            speculation.withdraw()

        steps = [guessed(speculation), SleepFrame(0.1), withdraw, EagerEndOfTurnCancelFrame()]
        steps += [SleepFrame(pause_s), question(second), SleepFrame(30)]
        voice = MagpieWebSocketTTSService(url=tts.url)
        down, _ = await through([service, voice], [SleepFrame(0.3), *steps])
    return said(down)


@virtual_time
async def test_who_asks_the_same_again_takes_over_the_answer_that_was_withdrawn() -> None:
    async with FakeLlm(ANSWER) as llm:
        said = await asked_twice(llm, "Hello", "Hello", 0.3)
    assert said.endswith(ANSWER)
    assert (len(llm.requests), llm.aborted) == (1, 0)


@virtual_time
async def test_other_words_close_the_answer_that_was_withdrawn() -> None:
    async with FakeLlm(ANSWER) as llm:
        said = await asked_twice(llm, "Hello", "Hello there", 0.3)
    assert said.endswith(ANSWER)
    assert (len(llm.requests), llm.aborted) == (2, 1)


@virtual_time
async def test_an_answer_that_was_withdrawn_does_not_go_on_for_long() -> None:
    async with FakeLlm(LONG) as llm:
        assert (await asked_twice(llm, "Hello", "Hello", 3.0)).count("Sentence number 9 ") == 1
    assert (len(llm.requests), llm.aborted) == (2, 1)


@pytest.mark.parametrize(("kind", "sent_before_it_is_certain"), [("hybrid", 0), ("attention", 1)])
def test_after_a_wrong_guess_the_next_waits_until_it_is_certain_where_it_cost_the_whole_conversation(
    kind: str, sent_before_it_is_certain: int
) -> None:
    @virtual_time
    async def scenario() -> None:
        server = PlainServer(LlmScript(replies=("Yes, that is so.",)), kind)
        host = TestServer(server.app())
        await host.start_server()
        settings = LlamaCppChunkedLLMService.Settings(system_instruction="Answer briefly. " * 40)
        url = str(host.make_url("")).rstrip("/")
        service = LlamaCppChunkedLLMService(base_url=url, strategy=streamed(), settings=settings)
        wrong, right, pending = Speculation("Hello"), Speculation("And who are you"), list[int]()

        def answers() -> int:
            return server.counts()["requests"]["answers"]

        async def withdraw() -> None:
            wrong.withdraw()

        async def confirm() -> None:
            pending.append(answers() - 2)
            right.confirm()

        steps = [guessed(wrong), SleepFrame(0.5), withdraw, EagerEndOfTurnCancelFrame()]
        steps += [question("Hello there"), SleepFrame(3), guessed(right), SleepFrame(2)]
        steps += [confirm, UserStoppedSpeakingFrame(), SleepFrame(3)]
        async with FakeTts() as tts:
            await through([service, MagpieWebSocketTTSService(url=tts.url)], [SleepFrame(0.3), *steps])
        await host.close()
        assert pending == [sent_before_it_is_certain]
        assert answers() == 3

    scenario()
