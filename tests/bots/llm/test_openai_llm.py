"""The same language model service at an OpenAI-compatible server that is not llama.cpp."""

from __future__ import annotations

from pipecat.frames.frames import InterruptionFrame, TTSTextFrame
from pipecat.tests.utils import SleepFrame

from pipecat_bots.llama_cpp_chunked_llm import APOLOGY, TOO_LONG
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from pipecat_bots.openai_llm import NvidiaOpenAILLMService
from tests.bots.fakes import FIELDS_OF_VLLM, FakeLlm, FakeTts, Step, of_type, question, through
from tests.virtual_time import virtual_time

LONG = " ".join(f"Sentence number {n} of a long story has nine words." for n in range(60))


async def converse(llm: FakeLlm, tts: FakeTts, steps: list[Step], **options: object) -> tuple[str, bool]:
    """What was said, and whether the service is of use afterwards."""
    service = NvidiaOpenAILLMService(base_url=f"{llm.url}/v1", model="m", api_key="secret", **options)  # type: ignore[arg-type]
    voice = MagpieWebSocketTTSService(url=tts.url)
    down, _ = await through([service, voice], [SleepFrame(0.3), *steps])
    said = "".join(frame.text for frame in of_type(down, TTSTextFrame))
    return said, service.is_usable and service.outage is None


@virtual_time
async def test_only_fields_that_such_a_server_knows_are_sent() -> None:
    async with FakeLlm("Fine. And you?") as llm, FakeTts() as tts:
        said, _ = await converse(llm, tts, [question(), SleepFrame(9)])
    [request] = llm.requests
    assert said == "Fine. And you?"
    assert request["model"] == "m"
    assert request["chat_template_kwargs"] == {"enable_thinking": False}
    assert not {"id_slot", "cache_prompt", "return_progress"} & set(request)
    assert llm.keys == ["Bearer secret"]


@virtual_time
async def test_an_answer_is_one_request_until_it_is_far_ahead_of_the_voice() -> None:
    async with FakeLlm(LONG, token_s=0.0) as llm, FakeTts(delay_s=0.1) as tts:
        said, _ = await converse(llm, tts, [question(), SleepFrame(200)])
    assert said == LONG
    assert 1 < len(llm.requests) < len(tts.segments) / 2
    assert all(request["continue_final_message"] for request in llm.requests[1:])


@virtual_time
async def test_a_server_that_knows_openais_fields_only_is_found_out_once_and_answers_in_one_stream() -> None:
    async with FakeLlm(LONG, token_s=0.0) as llm, FakeTts(delay_s=0.1) as tts:
        llm.strict = True
        said, usable = await converse(llm, tts, [question(), SleepFrame(200), question(), SleepFrame(200)])
    assert said == LONG * 2
    assert usable
    refused, *answered = llm.requests
    assert FIELDS_OF_VLLM & set(refused)
    assert len(answered) == 2, "an answer that cannot go on is not stopped"
    assert not any(FIELDS_OF_VLLM & set(request) for request in answered)


@virtual_time
async def test_a_request_that_stays_refused_is_tried_twice_and_apologised_for() -> None:
    async with FakeLlm("Fine.") as llm, FakeTts() as tts:
        llm.status, llm.error = 400, {"message": "no such model"}
        await converse(llm, tts, [question(), SleepFrame(9), question(), SleepFrame(9)])
    assert [text for text, _ in tts.segments] == [APOLOGY, APOLOGY]
    assert [bool(FIELDS_OF_VLLM & set(r)) for r in llm.requests] == [True, False] * 2, "it may mend"


@virtual_time
async def test_thoughts_that_the_server_leaves_in_the_text_are_not_spoken() -> None:
    async with (
        FakeLlm("<think>They greet me. I greet them.</think>\n\nHello there.") as llm,
        FakeTts() as tts,
    ):
        said, _ = await converse(llm, tts, [question(), SleepFrame(9)])
    assert said == "Hello there."
    assert [text for text, _ in tts.segments] == ["Hello there."]


@virtual_time
async def test_an_interruption_closes_the_stream() -> None:
    async with FakeLlm(LONG, token_s=0.05) as llm, FakeTts() as tts:
        await converse(llm, tts, [question(), SleepFrame(1), InterruptionFrame(), SleepFrame(5)])
    assert len(llm.requests) == llm.aborted == 1


@virtual_time
async def test_an_error_costs_one_turn_only() -> None:
    async with FakeLlm("Fine.") as llm, FakeTts() as tts:
        llm.status, llm.error = 401, {"message": "no"}

        async def mend() -> None:
            llm.status = 200

        _, usable = await converse(llm, tts, [question(), SleepFrame(9), mend, question(), SleepFrame(9)])
    assert [text for text, _ in tts.segments] == [APOLOGY, "Fine."]
    assert usable


@virtual_time
async def test_a_server_that_is_away_is_apologised_for_and_works_when_it_is_back() -> None:
    async with FakeTts() as tts:
        llm = FakeLlm("Fine.")
        steps: list[Step] = [question(), SleepFrame(9), llm.start, SleepFrame(3), question(), SleepFrame(9)]
        _, usable = await converse(llm, tts, steps)
        await llm.stop()
    assert [text for text, _ in tts.segments] == [APOLOGY, "Fine.", "Fine."]
    assert usable


@virtual_time
async def test_a_message_that_is_too_long_by_itself_is_said_to_be() -> None:
    async with FakeLlm("Fine.") as llm, FakeTts() as tts:
        llm.status = 400
        llm.error = {"message": "This model's maximum context length is 4096 tokens.", "code": 400}
        _, usable = await converse(llm, tts, [question(), SleepFrame(9)])
    assert [text for text, _ in tts.segments] == [TOO_LONG]
    assert usable
