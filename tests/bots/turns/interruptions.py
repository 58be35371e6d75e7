"""A bot that speaks and a user who breaks in, on virtual time.

Everything between the user's frames and the line is real: aggregators, strategies, gate, playout, the sender
of Pipecat's transports. The recogniser's frames are scripted; each 10 ms of the bot's audio have a value of
their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserBackchannelFrame,
    UserStartedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.tests.utils import SleepFrame
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.text.base_text_aggregator import TextType

from pipecat_bots.context.assistant import AssistantAggregator
from pipecat_bots.context.user import Conversation, UserAggregator
from pipecat_bots.frames import NothingSaidFrame, VoiceActivityFrame
from pipecat_bots.playout import LEAD_S, Playout
from pipecat_bots.speculation.gate import AnswerGate
from pipecat_bots.turn_text.phrases import BACKCHANNELS, STOP, phrases
from pipecat_bots.turns.barge_in import BargeInStrategy, StopWordsStrategy
from pipecat_bots.turns.prosody import TurnAudio
from pipecat_bots.turns.stop import TurnEndStrategy
from pipecat_bots.turns.strategies import NothingSaidStopStrategy
from tests.bots.fakes import Step, of_type, through

Samples = npt.NDArray[np.int16]

RATE = 24000
TICK = RATE // 100
WORD_MS = 200
WORDS = [f"w{number}" for number in range(30)]
"""Six seconds of answer."""
ANSWER_S = len(WORDS) * WORD_MS / 1000
QUESTION_S = 0.4


@dataclass(frozen=True)
class Voice:
    """A sound of the user's: how long it is, what is understood of it, and how long after its end."""

    ms: int
    text: str = ""
    interims: bool = True
    """Whether words are understood while they are spoken: after 300 ms."""
    final_s: float = 0.024
    answered: bool = True
    """Whether the recogniser says anything at all."""

    @property
    def is_confirmed(self) -> bool:
        """Whether the detector takes it for speech."""
        return self.ms >= 200

    def steps(self) -> list[Step]:
        steps: list[Step] = [VoiceActivityFrame(True)]
        words = self.text.split()
        for at in range(0, self.ms, 20):
            if at == 200 and self.is_confirmed:
                steps.append(VADUserStartedSpeakingFrame(start_secs=0.2))
            if at == 300 and words and self.interims:
                steps.append(InterimTranscriptionFrame(words[0], "", ""))
            steps += _sound(voiced=True)
        if self.ms == 200:
            steps.append(VADUserStartedSpeakingFrame(start_secs=0.2))
        steps.append(VoiceActivityFrame(False))
        if self.is_confirmed:
            steps += [
                *silence(180),
                VADUserStoppedSpeakingFrame(stop_secs=0.2),
                *silence(self.final_s * 1000),
            ]
            steps += self._final()
        return steps

    def _final(self) -> list[Step]:
        if not self.answered:
            return []
        if not self.text:
            return [NothingSaidFrame()]
        final = TranscriptionFrame(self.text, "", "")
        final.finalized = True
        return [final]


@dataclass(frozen=True)
class Late:
    """A transcript of what was said in a turn that has ended without it."""

    text: str

    def steps(self) -> list[Step]:
        final = TranscriptionFrame(self.text, "", "")
        final.finalized = True
        return [final]


def _sound(voiced: bool = False) -> list[Step]:
    return [InputAudioRawFrame(bytes([voiced]) * 640, 16000, 1), SleepFrame(0.02)]


def silence(ms: float) -> list[Step]:
    return [step for _ in range(max(1, round(ms / 20))) for step in _sound()]


class Bot(FrameProcessor):
    """Answers every question with WORDS, each of which leaves behind its sound."""

    def __init__(self, thinks_s: float = 0.0) -> None:
        super().__init__()
        self._thinks_s = thinks_s
        self.asked: list[list[Any]] = []
        self.tick = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        self.asked.append(list(frame.context.get_messages()))
        context_id = f"answer {len(self.asked)}"
        await self.push_frame(LLMFullResponseStartFrame())
        await asyncio.sleep(self._thinks_s)
        await self.push_frame(TTSStartedFrame(context_id=context_id))
        for word in WORDS:
            await self.push_frame(self._sound(context_id))
            await self.push_frame(_written(word, context_id))
        await self.push_frame(TTSStoppedFrame(context_id=context_id))
        await self.push_frame(LLMFullResponseEndFrame())

    def _sound(self, context_id: str) -> TTSAudioRawFrame:
        ticks = np.arange(self.tick, self.tick + WORD_MS // 10) + 1
        self.tick += WORD_MS // 10
        pcm = np.repeat(ticks, TICK).astype(np.int16).tobytes()
        return TTSAudioRawFrame(pcm, RATE, 1, context_id=context_id)


def _written(word: str, context_id: str) -> TTSTextFrame:
    frame = TTSTextFrame(word + " ", TextType.WORD, context_id=context_id)
    frame.includes_inter_frame_spaces = True
    return frame


class Line(BaseOutputTransport):
    """A transport at the pace of real time, which notes what was on the line when."""

    def __init__(self) -> None:
        super().__init__(TransportParams(audio_out_enabled=True, audio_out_sample_rate=RATE))
        self.ticks: list[tuple[float, int]] = []
        """Each 10 ms on the line: when, and its value; 0 is silence."""
        self._free_at = 0.0

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        loop = asyncio.get_running_loop()
        self._free_at = max(self._free_at, loop.time())
        for value in np.frombuffer(frame.audio, np.int16)[::TICK]:
            self.ticks.append((self._free_at, int(value)))
            self._free_at += 0.01
        await asyncio.sleep(self._free_at - loop.time())
        return True

    @property
    def heard(self) -> list[int]:
        """The bot's sounds in the order they were heard."""
        return [value for _, value in self.ticks if value]


class Ear:
    """A detector of turn ends that notes what it was asked about, and takes every turn for complete."""

    def __init__(self) -> None:
        self.heard: list[Samples] = []

    async def probability(self, audio: TurnAudio) -> float:
        self.heard.append(np.frombuffer(audio.window(), np.int16))
        return 0.9


@dataclass
class Scene:
    """What came of it. Times are seconds after the first sound of the first answer."""

    line: Line
    bot: Bot
    messages: list[Any]
    frames: list[Frame]
    ear: Ear

    @property
    def answers(self) -> list[str]:
        return [m["content"] for m in self.messages if m["role"] == "assistant"]

    @property
    def said(self) -> list[str]:
        """What the user said, as it is written down."""
        return [m["content"] for m in self.messages if m["role"] == "user"]

    @property
    def backchannels(self) -> list[str]:
        return [frame.text for frame in of_type(self.frames, UserBackchannelFrame)]

    @property
    def turns(self) -> int:
        return len(of_type(self.frames, UserStartedSpeakingFrame))

    def silent_from(self, after: float) -> float:
        """When the bot's last sound before the first pause after this moment was over."""
        times = [at for at, value in self._sounds if at >= after - 0.011]
        for this, next_ in zip(times, [*times[1:], float("inf")], strict=True):
            if next_ - this > 0.015:
                return this + 0.01
        raise AssertionError("no sound")

    def sounds_again(self, after: float) -> float:
        """When the first sound after this moment began."""
        return next(at for at, _ in self._sounds if at >= after)

    @property
    def _sounds(self) -> list[tuple[float, int]]:
        began = self.line.ticks[0][0]
        return [(at - began, value) for at, value in self.line.ticks if value]


Moment = tuple[float, Voice | Late]
"""Seconds after the first sound of the answer is due, and what the user does then."""


async def scene(
    moments: Sequence[Moment], rest_s: float = 8.0, lead_s: float = LEAD_S, thinks_s: float = 0.0
) -> Scene:
    """Ask a question; let the user break into the answer; wait until everything has been said.

    A bot that `thinks_s` may be broken into before it speaks.
    """
    context, line, bot, ear = Conversation(), Line(), Bot(thinks_s), Ear()
    strategies = UserTurnStrategies(
        start=[BargeInStrategy(phrases(None, "en", BACKCHANNELS))],
        stop=[
            NothingSaidStopStrategy(),
            StopWordsStrategy(phrases(None, "en", STOP)),
            TurnEndStrategy(ear),
        ],
    )
    params = LLMUserAggregatorParams(user_turn_strategies=strategies, empty_user_turn=None)
    processors = [
        UserAggregator(context, params=params),
        bot,
        AnswerGate(),
        Playout(lead_s),
        line,
        AssistantAggregator(context),
    ]

    steps = _played_out(line, bot, moments, rest_s, thinks_s)
    down, _ = await through(processors, steps)
    messages = [dict(m) for m in context.get_messages() if isinstance(m, dict)]
    return Scene(line, bot, messages, down, ear)


def _played_out(
    line: Line, bot: Bot, moments: Sequence[Moment], rest_s: float, thinks_s: float
) -> Iterator[Step]:
    """Yield what the user does, when it is time for it."""
    loop = asyncio.get_running_loop()
    yield SleepFrame(0.1)
    yield from Voice(int(QUESTION_S * 1000), "What is it?").steps()
    while not (bot.asked if thinks_s else line.ticks):
        yield from _sound()
    began = loop.time() + thinks_s if thinks_s else line.ticks[0][0]
    for at, voice in moments:
        while (left_s := began + at - loop.time()) > 1e-6:
            yield from _sound() if left_s >= 0.02 else [SleepFrame(left_s)]
        yield from voice.steps()
    yield from silence(rest_s * 1000)
