"""What the voice makes of an answer: its words, its pauses, its rate and its order."""

from __future__ import annotations

import pytest
from pipecat.frames.frames import (
    AggregatedTextProgressFrame,
    Frame,
    LLMContextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.tests.utils import SleepFrame

from pipecat_bots.llama_cpp_chunked_llm import LlamaCppChunkedLLMService
from pipecat_bots.llm.waiting import ModelPatience
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from tests.bots.fakes import FakeLlm, FakeTts, of_type, question, through
from tests.bots.llm.answering import TEXTS, converse, said
from tests.virtual_time import virtual_time

# ------------------------------------------------------------------------------------- the context


@virtual_time
async def test_the_conversation_holds_the_answer_exactly() -> None:
    text = TEXTS["emoji within"] + "\n\n" + TEXTS["list"].strip() + "  Two spaces. End"
    context = LLMContext([{"role": "user", "content": "Hello"}])
    async with FakeLlm(text) as llm, FakeTts() as tts:
        _, assistant = LLMContextAggregatorPair(context)
        service = LlamaCppChunkedLLMService(base_url=llm.url)
        voice = MagpieWebSocketTTSService(url=tts.url)
        await through(
            [service, voice, assistant], [SleepFrame(0.3), LLMContextFrame(context), SleepFrame(30)]
        )
    assert context.get_messages()[-1] == {"role": "assistant", "content": text}


@virtual_time
async def test_the_page_learns_how_far_the_voice_is() -> None:
    async with FakeLlm(TEXTS["abbreviations"]) as llm, FakeTts() as tts:
        down, _ = await converse(llm, tts, [question(), SleepFrame(30)])
    progress = of_type(down, AggregatedTextProgressFrame)
    assert all(p.accumulated_text + p.remaining_text == p.text for p in progress)
    assert progress[-1].remaining_text == ""


@virtual_time
async def test_words_follow_the_sound_they_belong_to() -> None:
    text = "This first sentence has ten words or rather some more. Alpha beta gamma."
    async with FakeLlm(text) as llm, FakeTts() as tts:
        tts.words = lambda segment: (
            [("Alpha", 0, 50), ("beta", 60, 100), ("gamma", 100, 160)] if "Alpha" in segment else None
        )
        down, _ = await converse(llm, tts, [question(), SleepFrame(30)])
    start = max(i for i, frame in enumerate(down) if isinstance(frame, TTSTextFrame) and "more" in frame.text)
    played_ms, times = 0.0, {}
    for frame in down[start:]:
        if isinstance(frame, TTSAudioRawFrame) and any(frame.audio):
            played_ms += frame.num_frames * 1000 / frame.sample_rate
        elif isinstance(frame, TTSTextFrame):
            times[frame.text.strip()] = played_ms
    assert times["Alpha"] == pytest.approx(50, abs=1)
    assert times["beta"] == pytest.approx(100, abs=1)
    assert times["gamma."] == pytest.approx(160, abs=1)


# ------------------------------------------------------------------------------------------ pauses


def silences(frames: list[Frame]) -> list[float]:
    """Milliseconds of each stretch of silence, between sounds."""
    return [
        1000 * frame.num_frames / frame.sample_rate
        for frame in of_type(frames, TTSAudioRawFrame)
        if not any(frame.audio)
    ]


@virtual_time
async def test_a_sentence_end_is_followed_by_a_pause_except_at_the_end() -> None:
    text = "This first sentence has ten words or rather some more. Second sentence. Third sentence."
    async with FakeLlm(text) as llm, FakeTts() as tts:
        down, _ = await converse(llm, tts, [question(), SleepFrame(30)])
    audio = of_type(down, TTSAudioRawFrame)
    assert silences(down) == [pytest.approx(250, abs=1)] * (len(tts.segments) - 1)
    assert any(audio[0].audio)
    assert any(audio[-1].audio)


@virtual_time
async def test_a_voice_that_is_behind_anyway_makes_no_further_pause() -> None:
    text = "This first sentence has ten words or rather some more. Second sentence."
    async with FakeLlm(text, token_s=1.0) as llm, FakeTts() as tts:
        patience = ModelPatience(notice="")
        down, _ = await converse(llm, tts, [question(), SleepFrame(60)], patience=patience)
    assert len(tts.segments) == 2
    assert silences(down) == []


# ------------------------------------------------------------------------------------------- voice


@virtual_time
async def test_audio_is_declared_at_the_servers_rate() -> None:
    async with FakeTts() as tts:
        voice = MagpieWebSocketTTSService(url=tts.url)
        down, _ = await through([voice], [SleepFrame(0.3), TTSSpeakFrame("Hello there."), SleepFrame(5)])
    audio = of_type(down, TTSAudioRawFrame)
    assert {frame.sample_rate for frame in audio} == {16000}
    assert sum(frame.num_frames for frame in audio) == 12 * 160
    assert said(down) == "Hello there."


@virtual_time
async def test_the_voice_is_chosen_on_connection_and_can_be_changed() -> None:
    from pipecat.frames.frames import TTSUpdateSettingsFrame

    options = MagpieWebSocketTTSService.Settings
    async with FakeTts() as tts:
        voice = MagpieWebSocketTTSService(url=tts.url, settings=options(voice="aria"))
        change = TTSUpdateSettingsFrame(delta=options(voice="sofia"))
        await through([voice], [SleepFrame(0.3), change, SleepFrame(0.3)])
    assert [message.get("voice") for message in tts.inits] == ["aria", "sofia"]


@virtual_time
async def test_two_texts_at_once_keep_their_order() -> None:
    async with FakeTts() as tts:
        voice = MagpieWebSocketTTSService(url=tts.url)
        steps = [SleepFrame(0.3), TTSSpeakFrame("First one."), TTSSpeakFrame("Second one."), SleepFrame(9)]
        down, _ = await through([voice], steps)
    assert said(down) == "First one.Second one."
    assert len(of_type(down, TTSStoppedFrame)) == 2
