"""The voice with a server that names nothing, goes away in the middle of a word, or says nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest
from aiohttp import web
from pipecat.frames.frames import (
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSTextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.tests.utils import SleepFrame

from benchmarks.caller import loudest_tone
from benchmarks.doubles.plain_tts import SAMPLE_RATE, Connection
from nemotron_speech.engines.scripted import TtsScript
from pipecat_bots.connections.outage import Notice
from pipecat_bots.llama_cpp_chunked_llm import LlamaCppChunkedLLMService
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from tests.bots.fakes import FakeLlm, FakeServer, FakeTts, Step, of_type, question, through
from tests.bots.llm.answering import LONG
from tests.virtual_time import virtual_time

MS_PER_CHARACTER = 60
TONES = {"alpha": 450.0, "bravo": 600.0, "charlie": 750.0, "delta": 900.0}


@dataclass(eq=False)
class PlainTts(FakeServer):
    """The double of the plain server, on a port of its own."""

    first_audio_ms: float = 50
    announces_init: bool = True
    rate: int | None = SAMPLE_RATE
    answers: int = 0
    """Number of requests for the server's configuration."""
    script: TtsScript = field(init=False)

    def __post_init__(self) -> None:
        super().__init__()
        self.script = TtsScript(
            first_audio_ms=self.first_audio_ms, step_ms=8, ms_per_character=MS_PER_CHARACTER, tones=TONES
        )

    @property
    def url(self) -> str:
        return f"http://{self.authority}"

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/ws/tts/stream", self.serve), web.get("/v1/audio/config", self.config)]

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        async with self.socket(request) as ws:
            await Connection(ws, self.script).serve()
        return ws

    async def config(self, _: web.Request) -> web.Response:
        self.answers += 1
        return web.json_response({} if self.rate is None else {"sample_rate": self.rate})


def tones(frames: list[Frame]) -> list[str]:
    """Name what was heard, in runs of 20 ms."""
    heard: list[str] = []
    names = {frequency: name for name, frequency in TONES.items()}
    for frame in of_type(frames, TTSAudioRawFrame):
        samples = np.frombuffer(frame.audio, np.int16)
        for start in range(0, len(samples) - 880, 880):
            tone = loudest_tone(samples[start : start + 880], frame.sample_rate)
            if tone is not None:
                name = names[min(names, key=lambda frequency: abs(frequency - (tone or 0.0)))]
                if heard[-1:] != [name]:
                    heard.append(name)
    return heard


def sounding_s(frames: list[Frame]) -> float:
    audio = [frame for frame in of_type(frames, TTSAudioRawFrame) if any(frame.audio)]
    return sum(frame.num_frames / frame.sample_rate for frame in audio)


def in_context(frames: list[Frame]) -> str:
    return "".join(frame.text for frame in of_type(frames, TTSTextFrame) if frame.append_to_context)


async def listen(tts: FakeServer, steps: list[Step], url: str) -> list[Frame]:
    down, _ = await through([MagpieWebSocketTTSService(url=url)], [SleepFrame(0.3), *steps])
    return down


# ------------------------------------------------------------------------------ the first utterance


@virtual_time
async def test_the_first_utterance_of_a_connection_is_heard_and_the_next_ones_too() -> None:
    async with PlainTts() as tts:
        steps: list[Step] = [TTSSpeakFrame("Alpha."), SleepFrame(3), TTSSpeakFrame("Bravo."), SleepFrame(3)]
        down = await listen(tts, steps, tts.url)
    assert tones(down) == ["alpha", "bravo"]
    assert in_context(down) == "Alpha.Bravo."


@virtual_time
async def test_the_first_utterance_after_a_restart_is_heard() -> None:
    async with PlainTts() as tts:
        steps: list[Step] = [TTSSpeakFrame("Alpha."), SleepFrame(3), tts.stop, SleepFrame(2), tts.start]
        down = await listen(tts, [*steps, SleepFrame(4), TTSSpeakFrame("Bravo."), SleepFrame(3)], tts.url)
    assert tones(down) == ["alpha", "bravo"]


@virtual_time
async def test_two_answers_at_once_lose_nothing_though_text_behind_a_close_would() -> None:
    async with PlainTts() as tts:
        steps: list[Step] = [
            TTSSpeakFrame("Alpha and alpha."),
            TTSSpeakFrame("Bravo and bravo."),
            SleepFrame(9),
        ]
        down = await listen(tts, steps, tts.url)
    assert tones(down) == ["alpha", "bravo"]
    assert sounding_s(down) == pytest.approx(32 * MS_PER_CHARACTER / 1000, abs=0.01)


@virtual_time
async def test_an_interrupted_answer_is_not_heard_in_the_next_one() -> None:
    async with PlainTts(first_audio_ms=300) as tts:
        steps: list[Step] = [TTSSpeakFrame("Alpha and alpha."), SleepFrame(0.35), InterruptionFrame()]
        down = await listen(tts, [*steps, TTSSpeakFrame("Bravo."), SleepFrame(3)], tts.url)
    at = next(i for i, frame in enumerate(down) if isinstance(frame, InterruptionFrame))
    assert tones(down[at:]) == ["bravo"]


@pytest.mark.parametrize(("stated", "declared"), [(16000, 16000), (None, 22000)])
def test_a_rate_that_the_stream_does_not_state_is_asked_for(stated: int | None, declared: int) -> None:
    @virtual_time
    async def scenario() -> None:
        async with PlainTts(rate=stated) as tts:
            down = await listen(tts, [TTSSpeakFrame("Alpha."), SleepFrame(3)], tts.url)
        assert {frame.sample_rate for frame in of_type(down, TTSAudioRawFrame)} == {declared}
        assert tts.answers == 1

    scenario()


# ---------------------------------------------------------------------------------------- outages

ANSWER = " ".join(
    " and ".join([name] * 6).capitalize() + "." for name in ("alpha", "bravo", "charlie", "delta")
)


class Tap(FrameProcessor):
    """Notes what goes downstream."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Frame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is FrameDirection.DOWNSTREAM:
            self.frames.append(frame)
        await self.push_frame(frame, direction)


async def answer(tts: PlainTts, steps: list[Step], llm_text: str = ANSWER) -> tuple[str, list[Frame]]:
    """Ask a question; return the answer in the conversation, and what came out."""
    context, tap = LLMContext([{"role": "user", "content": "Hello"}]), Tap()
    async with FakeLlm(llm_text) as llm:
        _, assistant = LLMContextAggregatorPair(context)
        processors = [
            LlamaCppChunkedLLMService(base_url=llm.url),
            MagpieWebSocketTTSService(url=tts.url),
            tap,
            assistant,
        ]
        await through(processors, [SleepFrame(0.3), LLMContextFrame(context), *steps])
    messages = [message for message in context.get_messages() if isinstance(message, dict)]
    written = [str(message.get("content")) for message in messages if message["role"] == "assistant"]
    return "".join(written), tap.frames


@pytest.mark.parametrize("at_s", [0.15, 0.2, 0.3, 0.5, 1.0])
def test_a_restart_of_three_seconds_costs_a_pause_and_no_word(at_s: float) -> None:
    @virtual_time
    async def scenario() -> None:
        async with PlainTts() as tts:
            steps: list[Step] = [SleepFrame(at_s), tts.stop, SleepFrame(3), tts.start, SleepFrame(30)]
            written, down = await answer(tts, steps)
        whole_s = sum(len(text) for text in ANSWER.split(". ")) * MS_PER_CHARACTER / 1000
        assert written == ANSWER
        assert whole_s <= sounding_s(down) <= whole_s + 1.0, "no more than a word is heard twice"
        assert tones(down) == ["alpha", "bravo", "charlie", "delta"]

    scenario()


@virtual_time
async def test_of_an_answer_that_lost_its_voice_the_conversation_holds_what_was_heard() -> None:
    async with PlainTts() as tts:
        steps: list[Step] = [SleepFrame(0.2), tts.stop, SleepFrame(40)]
        written, down = await answer(tts, steps)
    heard_s = sounding_s(down)
    assert 0 < heard_s < 6
    assert ANSWER.startswith(written), "no double spaces, and nothing left out in between"
    words = [len(word) + 1 for word in ANSWER.split()]
    over = sum(sum(words[: n + 1]) * MS_PER_CHARACTER / 1000 <= heard_s + 0.06 for n in range(len(words)))
    assert abs(len(written.split()) - over) <= 1
    shown = "".join(frame.text for frame in of_type(down, TTSTextFrame))
    assert "Delta" in shown, "the rest is on the screen"


@virtual_time
async def test_nothing_is_claimed_of_an_answer_without_a_voice() -> None:
    written, down = await answer(PlainTts(), [SleepFrame(40)])
    assert written == ""
    assert len(of_type(down, LLMFullResponseEndFrame)) == 1


@virtual_time
async def test_a_lost_server_is_tried_every_third_of_a_second_while_text_waits() -> None:
    async with PlainTts() as tts:
        back: list[float] = []

        async def wait_for_it() -> None:
            began = asyncio.get_running_loop().time()
            while not tts._sockets:
                await asyncio.sleep(0.01)
            back.append(asyncio.get_running_loop().time() - began)

        steps: list[Step] = [tts.stop, SleepFrame(2.0), TTSSpeakFrame("Alpha."), SleepFrame(1.0), tts.start]
        down = await listen(tts, [*steps, wait_for_it, SleepFrame(4)], tts.url)
    assert tones(down) == ["alpha"]
    assert back[0] <= 0.3


# ----------------------------------------------------------------------------------- a silent voice


@dataclass
class News:
    """Notices that the page is given."""

    notices: list[str] = field(default_factory=list)

    def watch(self, voice: MagpieWebSocketTTSService) -> None:
        async def missed(_: object, notice: Notice) -> None:
            self.notices.append(notice.message)

        async def back(_: object) -> None:
            self.notices.append("back")

        voice.add_event_handler("on_outage", missed)
        voice.add_event_handler("on_recovered", back)


async def ask_silent(tts: FakeTts, news: News, seconds: float) -> tuple[list[Frame], float]:
    """Ask a question; return what came out, and when the answer was over."""
    voice, over = MagpieWebSocketTTSService(url=tts.url), list[float]()
    news.watch(voice)
    loop = asyncio.get_running_loop()
    async with FakeLlm(LONG[:600]) as llm:
        model = LlamaCppChunkedLLMService(base_url=llm.url)

        async def ended() -> None:
            while model._reply is None:
                await asyncio.sleep(0.05)
            began = loop.time()
            while model._reply is not None:
                await asyncio.sleep(0.05)
            over.append(loop.time() - began)

        steps: list[Step] = [SleepFrame(0.3), question(), ended, SleepFrame(seconds)]
        down, _ = await through([model, voice], steps)
    return down, over[0]


@virtual_time
async def test_a_silent_voice_is_asked_twice_then_announced_and_the_model_goes_on(
    warnings: list[str],
) -> None:
    news = News()
    async with FakeTts(hangs=True) as tts:
        _, over_s = await ask_silent(tts, news, 20)
    first = tts.segments[0][0]
    assert [text for text, _ in tts.segments].count(first) == 2
    assert news.notices == [f"The voice at {tts.url} answers, but says nothing."]
    assert len([message for message in warnings if "no sign" in message]) == 1
    assert over_s < 6.0, "two seconds, twice"


@virtual_time
async def test_a_voice_that_forgot_one_text_is_heard_the_second_time(warnings: list[str]) -> None:
    news = News()
    async with FakeTts() as tts:
        tts.hangs = True

        async def mend() -> None:
            await asyncio.sleep(2.0)
            tts.hangs = False

        voice = MagpieWebSocketTTSService(url=tts.url)
        news.watch(voice)
        steps: list[Step] = [SleepFrame(0.3), TTSSpeakFrame("Good day."), mend, SleepFrame(5)]
        down, _ = await through([voice], steps)
    assert sounding_s(down) == pytest.approx(0.09, abs=0.01)
    assert in_context(down) == "Good day."
    assert news.notices == []


@pytest.mark.parametrize("delay_s", [3.0, 7.0, 12.0])
def test_a_slow_engine_that_says_when_it_begins_is_heard(delay_s: float) -> None:
    @virtual_time
    async def scenario() -> None:
        news = News()
        async with FakeTts(delay_s=delay_s) as tts:
            voice = MagpieWebSocketTTSService(url=tts.url)
            news.watch(voice)
            steps: list[Step] = [SleepFrame(0.3), TTSSpeakFrame("Good day."), SleepFrame(60)]
            down, _ = await through([voice], [*steps, TTSSpeakFrame("Good night."), SleepFrame(40)])
        assert in_context(down) == "Good day.Good night."
        assert news.notices[-1:] in ([], ["back"])
        assert len(tts.segments) <= 3

    scenario()


@virtual_time
async def test_a_slow_plain_engine_is_heard_too_late_once_and_in_time_afterwards() -> None:
    async with PlainTts(first_audio_ms=3000) as tts:
        steps: list[Step] = [TTSSpeakFrame("Alpha."), SleepFrame(20), TTSSpeakFrame("Bravo."), SleepFrame(9)]
        down = await listen(tts, steps, tts.url)
    assert tones(down) == ["alpha", "bravo"]
    assert in_context(down) == "Alpha.Bravo."
