"""Segments come in one piece where nobody waits for them, and nobody hears a gap for it."""

from __future__ import annotations

import asyncio

import pytest
from pipecat.frames.frames import Frame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.tests.utils import SleepFrame

from nemotron_speech.bench.tts_load import SimulatedPlayout
from pipecat_bots.llama_cpp_chunked_llm import LlamaCppChunkedLLMService
from pipecat_bots.magpie_websocket_tts import MagpieTTSSettings, MagpieWebSocketTTSService, SpeakMode
from tests.bots.fakes import FakeLlm, FakeTts, Step, question, through
from tests.virtual_time import virtual_time

TEXT = " ".join(
    [
        "The weather is fine today, and it will be fine tomorrow.",
        "On Saturday clouds come in from the west, and there may be some rain near the coast in the evening.",
        "Take an umbrella.",
        "On Sunday it is dry again, and the wind, which has been blowing since Tuesday or so, goes down.",
        "Shall I tell you about Monday as well?",
        "It will be much like Sunday, only warmer, with some mist in the valleys in the morning.",
    ]
)


class Ear(FrameProcessor):
    """Plays what it is given at once, and notes for how long it had nothing to play."""

    def __init__(self) -> None:
        super().__init__()
        self.gaps: list[float] = []
        self.audio_s = 0.0
        self._playout = SimulatedPlayout(buffer_s=0.0)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            seconds = frame.num_frames / frame.sample_rate
            silent = self._playout.hear(asyncio.get_running_loop().time(), seconds)
            self.audio_s += seconds
            if silent > 1e-6:
                self.gaps.append(silent)
        await self.push_frame(frame, direction)


async def listen(tts: FakeTts, mode: SpeakMode = "adaptive", text: str = TEXT) -> Ear:
    voice, ear = MagpieWebSocketTTSService(url=tts.url, settings=MagpieTTSSettings(mode=mode)), Ear()
    async with FakeLlm(text) as llm, tts:
        processors = [LlamaCppChunkedLLMService(base_url=llm.url), voice, ear]
        steps: list[Step] = [SleepFrame(0.3), question(), SleepFrame(60)]
        await through(processors, steps)
    return ear


def paced(work_per_audio: float, *, plain: bool = False) -> FakeTts:
    return FakeTts(delay_s=0.05, ms_per_character=65, work_per_audio=work_per_audio, plain=plain)


def modes(tts: FakeTts) -> list[str]:
    return [mode for _, mode in tts.segments]


@pytest.mark.parametrize("plain", [False, True], ids=["with ids", "without ids"])
@pytest.mark.parametrize("work_per_audio", [0.02, 0.1, 0.45, 0.9])
def test_nobody_hears_a_gap_that_the_server_does_not_make(work_per_audio: float, plain: bool) -> None:
    @virtual_time
    async def scenario() -> None:
        adaptive = await listen(paced(work_per_audio, plain=plain))
        streamed = await listen(paced(work_per_audio, plain=plain), "stream")
        assert adaptive.audio_s > 15.0
        assert sum(adaptive.gaps) <= sum(streamed.gaps) + 1e-6
        assert adaptive.gaps == [] or work_per_audio > 0.5

    scenario()


@virtual_time
async def test_with_a_fast_voice_all_but_the_first_segment_come_in_one_piece() -> None:
    tts = paced(0.1)
    await listen(tts)
    assert modes(tts) == ["stream", *["batch"] * (len(tts.segments) - 1)]


@virtual_time
async def test_with_a_voice_that_is_hardly_faster_than_its_listener_every_segment_is_streamed() -> None:
    tts = paced(0.9)
    await listen(tts)
    assert set(modes(tts)) == {"stream"}


@virtual_time
async def test_a_slower_voice_is_streamed_until_enough_is_queued() -> None:
    tts = paced(0.45)
    await listen(tts)
    assert modes(tts)[:2] == ["stream", "stream"]
    assert "batch" in modes(tts)


@virtual_time
async def test_the_next_answer_begins_with_a_stream_again() -> None:
    tts = paced(0.1)
    async with tts:
        voice = MagpieWebSocketTTSService(url=tts.url)
        said = [TTSSpeakFrame("Good morning to all of you."), SleepFrame(9), TTSSpeakFrame("And good night.")]
        await through([voice], [SleepFrame(0.3), *said, SleepFrame(9)])
    assert modes(tts) == ["stream", "stream"]


@pytest.mark.parametrize("mode", ["stream", "batch"])
def test_a_mode_that_was_chosen_is_kept(mode: SpeakMode) -> None:
    @virtual_time
    async def scenario() -> None:
        tts = paced(0.1)
        await listen(tts, mode)
        assert set(modes(tts)) == {mode}

    scenario()
