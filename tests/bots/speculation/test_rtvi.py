"""A client hears of an answer when it is known to be wanted."""

from __future__ import annotations

from typing import Any

from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    TTSStartedFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import TTFBMetricsData
from pipecat.observers.base_observer import FramePushed
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from pipecat_bots.speculation.rtvi import QuietRTVIObserver, QuietRTVIProcessor
from pipecat_bots.speculation.speculation import ProvisionalContext, Speculation


class Told(QuietRTVIObserver):
    """Remembers what it would send."""

    def __init__(self) -> None:
        super().__init__(QuietRTVIProcessor())
        self.types: list[str] = []

    async def send_rtvi_message(self, model: Any, exclude_none: bool = True) -> None:
        self.types.append(model.type)

    async def see(self, *frames: Frame, first_push: bool = True) -> None:
        for frame in frames:
            node = FrameProcessor()
            pushed = FramePushed(node, node, frame, FrameDirection.DOWNSTREAM, 0, first_push)
            await self.on_push_frame(pushed)


def answer() -> list[Frame]:
    metrics = MetricsFrame(data=[TTFBMetricsData(processor="llm", value=0.1)])
    return [LLMFullResponseStartFrame(), metrics, LLMTextFrame("Hi."), TTSStartedFrame()]


def asked(speculation: Speculation) -> LLMContextFrame:
    messages = [{"role": "user", "content": "hello"}]
    return LLMContextFrame(ProvisionalContext(speculation, messages=messages), speculation=True)  # type: ignore[arg-type]


ORDINARY = [
    *("user-llm-text", "bot-llm-started", "metrics", "bot-llm-text"),
    *("bot-transcription", "bot-tts-started"),
]


async def test_an_ordinary_answer_is_told_of_as_it_comes() -> None:
    told = Told()
    context = LLMContext([{"role": "user", "content": "hello"}])
    await told.see(LLMContextFrame(context), *answer())
    assert told.types == ORDINARY


async def test_a_confirmed_answer_is_told_of_once_and_after_the_turns_end() -> None:
    told, guess = Told(), Speculation("hello", began=0)
    frames = [asked(guess), *answer()]
    await told.see(*frames)
    assert told.types == []
    guess.confirm()
    await told.see(UserStoppedSpeakingFrame())
    await told.see(*frames, first_push=False)
    await told.see(LLMFullResponseEndFrame())
    assert told.types == ["user-stopped-speaking", *ORDINARY, "bot-llm-stopped"]


async def test_a_withdrawn_answer_is_never_told_of_not_even_its_end() -> None:
    told, guess = Told(), Speculation("hello", began=0)
    await told.see(asked(guess), *answer())
    guess.withdraw()
    await told.see(EagerEndOfTurnCancelFrame(), LLMFullResponseEndFrame(), *answer()[1:2])
    assert told.types == []
    context = LLMContext([{"role": "user", "content": "hello"}])
    await told.see(LLMContextFrame(context), *answer())
    assert told.types == ORDINARY
