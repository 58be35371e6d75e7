"""Language model and voice together: every text is spoken whole, and nobody waits for ever."""

from __future__ import annotations

import pytest
from pipecat.frames.frames import (
    InterruptionFrame,
    LLMConfigureOutputFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.tests.utils import SleepFrame

from nemotron_speech.text import speakable
from pipecat_bots.connections.outage import Notice
from pipecat_bots.llama_cpp_chunked_llm import APOLOGY, LlamaCppChunkedLLMService
from pipecat_bots.llm.backpressure import CHUNKED, ReadAheadPolicy, streamed
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from tests.bots.fakes import FakeLlm, FakeTts, Step, of_type, question, through
from tests.bots.llm.answering import LONG, TEXTS, converse, said
from tests.virtual_time import virtual_time


@pytest.mark.parametrize("strategy", [CHUNKED, streamed()], ids=["chunked", "streamed"])
@pytest.mark.parametrize("name", TEXTS)
def test_every_text_is_spoken_whole_and_without_a_timeout(
    name: str, strategy: ReadAheadPolicy, warnings: list[str]
) -> None:
    text = TEXTS[name]

    @virtual_time
    async def scenario() -> None:
        async with FakeLlm(text) as llm, FakeTts(delay_s=0.01) as tts:
            options = LlamaCppChunkedLLMService.Settings(max_tokens=5000)
            steps: list[Step] = [question(), SleepFrame(200)]
            down, _ = await converse(llm, tts, steps, settings=options, strategy=strategy, nothing_to_say="")
        assert said(down) == text.lstrip("\n")
        asked = "".join(speakable(segment) for segment, _ in tts.segments)
        assert asked.replace(" ", "") == speakable(text).replace(" ", "")
        ends = [i for i, frame in enumerate(down) if isinstance(frame, LLMFullResponseEndFrame)]
        audio = [i for i, frame in enumerate(down) if isinstance(frame, TTSAudioRawFrame)]
        assert len(ends) == 1
        assert max(audio, default=0) < ends[0]
        assert [message for message in warnings if "no sign" in message] == []

    scenario()


@virtual_time
async def test_a_model_that_answers_in_one_burst_is_spoken_whole() -> None:
    async with FakeLlm(LONG[:1000], token_s=0.0) as llm, FakeTts() as tts:
        down, _ = await converse(llm, tts, [question(), SleepFrame(100)])
    assert said(down) == LONG[:1000]
    assert len(tts.segments) > 10


@virtual_time
async def test_the_first_chunk_has_ten_to_twenty_four_tokens() -> None:
    async with FakeLlm("word " * 9 + "word. " + "and " * 100) as llm, FakeTts() as tts:
        await converse(llm, tts, [question(), SleepFrame(60)])
    assert 10 <= len(tts.segments[0][0].split()) <= 24


@virtual_time
async def test_a_streamed_answer_begins_with_the_words_of_a_moment() -> None:
    async with (
        FakeLlm("The weather will be fine today with a little wind.", token_s=0.02) as llm,
        FakeTts() as tts,
    ):
        await converse(llm, tts, [question(), SleepFrame(8)], strategy=streamed(first_s=0.06))
    assert tts.segments[0] == ("The weather will be", "stream")


@virtual_time
async def test_three_words_are_enough_to_begin_with() -> None:
    text = "The weather will be fine today with a little wind."
    async with FakeLlm(text, token_s=1 / 60) as llm, FakeTts() as tts:
        given: list[str] = []

        async def look() -> None:
            given.extend(text for text, _ in tts.segments)

        await converse(llm, tts, [question(), SleepFrame(0.075), look, SleepFrame(8)], strategy=streamed())
    assert given == ["The weather will"]


@virtual_time
async def test_the_next_words_of_a_slow_model_are_spoken_before_the_listener_has_nothing_to_hear() -> None:
    text = "It will rain a little in the morning, and then the sun comes out over the hills, " * 2
    async with FakeLlm(text, token_s=0.1) as llm, FakeTts() as tts:
        given: list[str] = []

        async def look() -> None:
            given.extend(text for text, _ in tts.segments)

        await converse(llm, tts, [question(), SleepFrame(1.3), look, SleepFrame(20)], strategy=streamed())
    assert given == ["It will rain", "a little in the morning,"]


@virtual_time
async def test_the_generation_waits_for_the_voice_and_goes_on_where_the_text_ended() -> None:
    async with FakeLlm(LONG[:400]) as llm, FakeTts(delay_s=2.0) as tts:
        down, _ = await converse(llm, tts, [question(), SleepFrame(100)])
    assert len(llm.requests) >= len(tts.segments) > 3
    assert all(request["id_slot"] == 0 and request["cache_prompt"] for request in llm.requests)
    assert all(request["continue_final_message"] for request in llm.requests[1:])
    assert said(down) == LONG[:400]


@virtual_time
async def test_a_streamed_answer_is_stopped_when_it_is_far_ahead_and_goes_on_exactly() -> None:
    async with FakeLlm(LONG[:2000], token_s=0.0) as llm, FakeTts(delay_s=2.0) as tts:
        steps: list[Step] = [question(), SleepFrame(300)]
        down, _ = await converse(llm, tts, steps, strategy=streamed(read_ahead_s=20.0))
    assert said(down) == LONG[:2000]
    given = [len(request["messages"][-1]["content"]) for request in llm.requests[1:]]
    ahead = [b - a for a, b in zip([0, *given], [*given, 2000], strict=False)]
    assert max(ahead) < 20.0 / 0.065 + 200, "no more than was asked for, and the chunk it ended in"
    assert len(llm.requests) < len(tts.segments) / 3


@virtual_time
async def test_a_chunk_is_given_to_the_voice_when_it_is_free_however_slow_the_model_is() -> None:
    text = "This first sentence has ten words or rather some more. Second one here. " + "And " * 30
    async with FakeLlm(text) as llm, FakeTts(delay_s=0.3) as tts:
        llm.stall_after = 16
        while_silent: list[str] = []

        async def look() -> None:
            while_silent.extend(text for text, _ in tts.segments)

        steps: list[Step] = [question(), SleepFrame(1.8), look]
        await converse(llm, tts, steps, strategy=streamed(first_s=None))
    assert while_silent == ["This first sentence has ten words or rather some more.", "Second one here."]


@virtual_time
async def test_a_voice_that_hangs_is_waited_for_once(warnings: list[str]) -> None:
    async with FakeLlm(LONG[:600]) as llm, FakeTts(hangs=True) as tts:
        await converse(llm, tts, [question(), SleepFrame(50)])
    assert len([message for message in warnings if "no sign" in message]) == 1
    assert len(tts.segments) > 3


@virtual_time
async def test_nothing_is_waited_for_when_speech_is_switched_off() -> None:
    async with FakeLlm(LONG[:600]) as llm, FakeTts(hangs=True) as tts:
        steps = [LLMConfigureOutputFrame(skip_tts=True), question(), SleepFrame(3)]
        down, _ = await converse(llm, tts, steps)
    assert tts.segments == []
    assert len(llm.requests) == 1
    assert len(of_type(down, LLMFullResponseEndFrame)) == 1


@virtual_time
async def test_an_answer_without_a_voice_is_given_on_the_screen() -> None:
    async with FakeLlm(LONG[:600]) as llm:
        tts = FakeTts()
        down, _ = await converse(llm, tts, [question(), SleepFrame(25)])
    assert said(down).split() == LONG[:600].split()
    assert len(of_type(down, LLMFullResponseEndFrame)) == 1


@virtual_time
async def test_a_segment_the_voice_cannot_say_does_not_stop_the_answer() -> None:
    text = "This first sentence has ten words or rather some more. Bad one. And this is the end."
    async with FakeLlm(text) as llm, FakeTts(fails=["Bad one.", "Bad one. "]) as tts:
        tts.fails = [*tts.fails, "Bad one. And this is the end."]
        down, _ = await converse(llm, tts, [question(), SleepFrame(20)])
    assert said(down) == text


@virtual_time
async def test_a_server_without_ids_is_understood() -> None:
    text = "This first sentence has ten words or rather some more. Bad one. Someone has said a word. The end."
    async with FakeLlm(text) as llm, FakeTts(plain=True) as tts:
        tts.fails = ["Bad one."]
        steps = [question(), SleepFrame(20), question(), SleepFrame(20)]
        down, _ = await converse(llm, tts, steps)
    assert {frame.sample_rate for frame in of_type(down, TTSAudioRawFrame)} == {22000}
    assert len(of_type(down, LLMFullResponseEndFrame)) == 2
    assert said(down).replace("Bad one. ", "") == text.replace("Bad one. ", "") * 2
    assert len(tts.segments) == 8


@virtual_time
async def test_a_voice_that_dies_in_the_middle_releases_the_answer_and_speaks_the_next_one() -> None:
    async with FakeLlm(LONG[:600]) as llm, FakeTts(delay_s=1.0) as tts:
        steps: list[Step] = [question(), SleepFrame(2.5), tts.stop, SleepFrame(25)]
        steps += [tts.start, SleepFrame(4), question(), SleepFrame(60)]
        down, _ = await converse(llm, tts, steps)
    assert len(of_type(down, LLMFullResponseEndFrame)) == 2
    assert said(down).endswith(LONG[:600])
    assert len(of_type(down, TTSStartedFrame)) == len(of_type(down, TTSStoppedFrame))


@pytest.mark.parametrize("away_s", [3.0, 60.0])
def test_a_voice_that_was_away_is_called_back_when_it_answers(away_s: float) -> None:
    @virtual_time
    async def scenario() -> None:
        news: list[str] = []
        tts = FakeTts()
        voice = MagpieWebSocketTTSService(url=tts.url)

        async def missed(_: object, notice: Notice) -> None:
            news.append(notice.message)

        async def back(_: object) -> None:
            news.append("back")

        voice.add_event_handler("on_outage", missed)
        voice.add_event_handler("on_recovered", back)
        await through([voice], [SleepFrame(away_s), tts.start, SleepFrame(5)])
        await tts.stop()
        assert news == [f"The voice at {tts.url} is not answering.", "back"]

    scenario()


# ------------------------------------------------------------------------------------ interruption


@virtual_time
async def test_an_interruption_cancels_once_and_closes_the_request() -> None:
    async with FakeLlm(LONG, token_s=0.05) as llm, FakeTts(delay_s=1.0) as tts:
        steps = [question(), SleepFrame(1.0), InterruptionFrame(), SleepFrame(5)]
        await converse(llm, tts, steps)
        before = len(llm.requests)
    assert tts.cancels == 1
    assert tts.connections == 1
    assert len(llm.requests) == before
    assert llm.aborted >= 1


@virtual_time
async def test_an_interruption_in_silence_cancels_nothing() -> None:
    async with FakeLlm() as llm, FakeTts() as tts:
        await converse(llm, tts, [question(), SleepFrame(30), InterruptionFrame(), SleepFrame(1)])
    assert tts.cancels == 0


@virtual_time
async def test_no_audio_of_an_interrupted_answer_is_heard_in_the_next_one() -> None:
    async with FakeLlm(LONG[:500]) as llm, FakeTts(delay_s=0.3) as tts:
        steps = [question(), SleepFrame(0.5), InterruptionFrame(), question(), SleepFrame(60)]
        down, _ = await converse(llm, tts, steps)
        interrupted = next(i for i, frame in enumerate(down) if isinstance(frame, InterruptionFrame))
    values = {v for frame in of_type(down[interrupted:], TTSAudioRawFrame) for v in frame.audio[::2]}
    assert 1 not in values, "the first segment is the interrupted answer's"
    assert said(down[interrupted:]) == LONG[:500]


# ---------------------------------------------------------------------------------- language model


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_an_http_error_costs_one_turn_only(status: int) -> None:
    @virtual_time
    async def scenario() -> None:
        async with FakeLlm("Fine now.") as llm, FakeTts() as tts:
            llm.status, llm.error = status, {"code": status, "message": "no", "type": "some_error"}

            async def mend() -> None:
                llm.status = 200

            steps = [question(), SleepFrame(10), mend, question(), SleepFrame(10)]
            _, service = await converse(llm, tts, steps)
        assert [text for text, _ in tts.segments] == [APOLOGY, "Fine now."]
        assert service.is_usable

    scenario()


@virtual_time
async def test_a_connection_lost_within_an_answer_is_apologised_for() -> None:
    async with FakeLlm(LONG, token_s=0.2) as llm, FakeTts() as tts:
        steps = [question(), SleepFrame(1.0), llm.stop, SleepFrame(20)]
        down, service = await converse(llm, tts, steps)
    assert tts.segments[-1][0] == APOLOGY
    assert service.outage is not None
    assert len(of_type(down, LLMFullResponseEndFrame)) == 1


@virtual_time
async def test_a_conversation_that_is_too_long_is_shortened_and_answered() -> None:
    messages = [{"role": r, "content": f"{r} {n}"} for n in range(20) for r in ("user", "assistant")]
    context = LLMContext([*messages, {"role": "user", "content": "last"}])  # type: ignore[list-item]
    async with FakeLlm("Short enough.") as llm, FakeTts() as tts:
        llm.max_messages = 12
        await converse(llm, tts, [LLMContextFrame(context), SleepFrame(10)])
    assert [text for text, _ in tts.segments] == ["Short enough."]
    assert context.get_messages()[0]["role"] == "user"  # type: ignore[index]
    assert context.get_messages()[-1]["content"] == "last"  # type: ignore[index]


@virtual_time
async def test_an_answer_that_has_no_room_to_go_on_ends_with_what_was_said() -> None:
    async with FakeLlm(LONG) as llm, FakeTts(delay_s=1.0) as tts:
        llm.max_messages = 1
        await converse(llm, tts, [question(), SleepFrame(30)], strategy=CHUNKED)
    spoken = " ".join(text for text, _ in tts.segments)
    assert len(llm.requests) == 2
    assert spoken
    assert LONG.startswith(spoken)


@virtual_time
async def test_inference_outside_the_conversation_returns_the_whole_text() -> None:
    async with FakeLlm(LONG[:300]) as llm:
        service = LlamaCppChunkedLLMService(base_url=llm.url)
        answers: list[str | None] = []

        async def infer() -> None:
            answers.append(await service.run_inference(LLMContext([{"role": "user", "content": "Hi"}])))

        await through([service], [infer, SleepFrame(20)])
    assert answers == [LONG[:300]]


@virtual_time
async def test_usage_counts_every_request_and_what_the_cache_saved() -> None:
    from pipecat.frames.frames import MetricsFrame
    from pipecat.metrics.metrics import LLMUsageMetricsData
    from pipecat.pipeline.worker import PipelineParams

    async with FakeLlm("Short.") as llm, FakeTts() as tts:
        service = LlamaCppChunkedLLMService(base_url=llm.url)
        params = PipelineParams(enable_metrics=True, enable_usage_metrics=True)
        steps = [SleepFrame(0.3), question(), SleepFrame(9)]
        down, _ = await through(
            [service, MagpieWebSocketTTSService(url=tts.url)], steps, pipeline_params=params
        )
    data = [d for frame in of_type(down, MetricsFrame) for d in frame.data]
    usage = [d.value for d in data if isinstance(d, LLMUsageMetricsData)]
    assert [(u.prompt_tokens, u.completion_tokens, u.cache_read_input_tokens) for u in usage] == [(7, 1, 5)]


@virtual_time
async def test_text_without_speech_reaches_the_page_as_it_is() -> None:
    async with FakeLlm("One. Two. Three.") as llm:
        service = LlamaCppChunkedLLMService(base_url=llm.url)
        steps = [LLMConfigureOutputFrame(skip_tts=True), question(), SleepFrame(5)]
        down, _ = await through([service], steps)
    texts = of_type(down, LLMTextFrame)
    assert "".join(frame.text for frame in texts) == "One. Two. Three."
    assert all(frame.skip_tts for frame in texts)
