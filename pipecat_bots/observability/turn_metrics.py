"""Latency of each answer, stage by stage: for the log, the page and a file of JSON lines."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EagerEndOfTurnCancelFrame,
    Frame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    InterruptionFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import LLMUsageMetricsData
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.processors.frame_processor import FrameDirection

from pipecat_bots.frames import LLMChunkFrame, SoundLeftFrame
from pipecat_bots.speculation.speculation import Speculation, speculation_of

ORDER = ("endpointing", "transcription", "turn detection", "llm", "tools", "tts", "output")


@dataclass(frozen=True, slots=True)
class Speculated:
    """Totals of a session's answers begun before the end of a turn, so far.

    Tokens are those the model counts; audio is what the voice made before an answer was settled, and work the
    time from the model's first sign of it until then.
    """

    confirmed: int = 0
    withdrawn: int = 0
    tokens: int = 0
    withdrawn_tokens: int = 0
    audio_ms: int = 0
    withdrawn_audio_ms: int = 0
    work_ms: int = 0
    withdrawn_work_ms: int = 0


@dataclass(frozen=True, slots=True)
class TurnMetrics:
    """One answered turn: the last sample of the user's speech to the first audible one of the answer, in ms.

    As the caller would measure it at the transport's end, with a jitter buffer of no length: what the network
    and the codec take is not in it (docs/decisions/voice-to-voice.md).

    `stages` are what was waited for, one after the other, and add up to `voice_to_voice_ms`. Nobody waited
    for the work of a stage before the turn was over; `ahead_ms` is when the answer was begun before that.
    """

    turn: int
    voice_to_voice_ms: int
    stages: tuple[tuple[str, int], ...]
    interrupted: bool = False
    ahead_ms: int = 0
    speculated: Speculated = Speculated()

    def message(self) -> dict[str, Any]:
        """Return the turn as the page receives it."""
        return {
            "type": "turn-metrics",
            "turn": self.turn,
            "voice_to_voice_ms": self.voice_to_voice_ms,
            "interrupted": self.interrupted,
            "stages": [{"name": name, "ms": ms} for name, ms in self.stages],
            "ahead_ms": self.ahead_ms,
            "speculated": asdict(self.speculated),
        }

    def line(self) -> str:
        """Return the turn as the log has it."""
        stages = ", ".join(f"{name} {ms}" for name, ms in self.stages)
        ahead = f"; begun {self.ahead_ms} ms ahead" if self.ahead_ms else ""
        end = "; interrupted" if self.interrupted else ""
        return f"turn {self.turn}: voice to voice {self.voice_to_voice_ms} ms ({stages}){ahead}{end}"


@dataclass
class Moments:
    """Moments of the things that an answer has to wait for, in seconds on one clock."""

    silence: float
    """The user's last sound."""
    pause: float
    """Beginning of the pause."""
    transcript: float = 0.0
    turn_end: float = 0.0
    request: float = 0.0
    """Time at which the answer was asked for; before `turn_end` for a speculation."""
    text: float = 0.0
    """First text to say."""
    tools: float = 0.0
    """Seconds of tools before that."""
    audio: float = 0.0
    heard: float = 0.0
    """The first audible sample had left."""

    def metrics(self, turn: int, speculated: Speculated) -> TurnMetrics:
        """Divide the time from silence to speech among what was waited for. No stage ends before it began."""
        ends = (self.pause, self.transcript, self.turn_end, self.text - self.tools, self.text)
        at, ms = self.silence, []
        for end in (*ends, self.audio, self.heard):
            before = round((at - self.silence) * 1000)
            at = max(at, end)
            ms.append(round((at - self.silence) * 1000) - before)
        stages = tuple((name, n) for name, n in zip(ORDER, ms, strict=True) if n or name != "tools")
        ahead = round(max(0.0, self.turn_end - self.request) * 1000)
        return TurnMetrics(turn, sum(ms), stages, ahead_ms=ahead, speculated=speculated)


class TurnMetricsObserver(BaseObserver):
    """Report each answered turn when the bot is heard, and again if it is interrupted.

    Args:
        report: Takes a turn's metrics as they become known.
        finished: Takes them once, when the answer is over.
        clock: Seconds as in the frames' timestamps.
        silence_s: How long it had been silent when the newest pause was reported; without it, the detector's
            own time.
    """

    def __init__(
        self,
        report: Callable[[TurnMetrics], Awaitable[None]],
        finished: Callable[[TurnMetrics], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.time,
        silence_s: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(observe_every_push=False)
        self._report = report
        self._finished = finished
        self._now = clock
        self._silence_s = silence_s
        self._turn = 0
        self._speaking = False
        self._moments: Moments | None = None
        self._answer = _Answer()
        self.speculated = Speculated()
        """Totals of the session so far."""
        self._current: TurnMetrics | None = None

    async def on_push_frame(self, data: FramePushed) -> None:
        if data.direction is not FrameDirection.DOWNSTREAM:
            return
        self._answer_moves(data.frame)
        self._turn_moves(data.frame)
        match data.frame:
            case InterruptionFrame():
                await self._end(interrupted=self._speaking)
            case BotStartedSpeakingFrame():
                self._speaking = True
            case SoundLeftFrame():
                await self._begin(data.frame.at)
            case BotStoppedSpeakingFrame():
                self._speaking = False

    async def close(self) -> None:
        """Finish the last turn."""
        await self._end(interrupted=False)
        logger.info(f"answers before the end of a turn: {asdict(self.speculated)}")

    # ------------------------------------------------------------------------------------ watching

    def _turn_moves(self, frame: Frame) -> None:
        match frame:
            case VADUserStartedSpeakingFrame():
                self._moments = None
            case VADUserStoppedSpeakingFrame():
                silence_s = self._silence_s() if self._silence_s else frame.stop_secs
                self._moments = Moments(frame.timestamp - silence_s, frame.timestamp)
            case TranscriptionFrame() if self._moments is not None and not self._moments.turn_end:
                self._moments.transcript = self._now()
            case UserStoppedSpeakingFrame() if self._moments is not None:
                self._moments.turn_end = self._now()

    def _answer_moves(self, frame: Frame) -> None:
        answer, now = self._answer, self._now()
        match frame:
            case LLMFullResponseStartFrame():
                self._settle()
                self._answer = answer.after_tools() if answer.tools else _Answer(request=now)
                self._answer.speculation = speculation_of(frame)
            case LLMTextFrame() | LLMChunkFrame() if not answer.text:
                answer.text = now
            case TTSAudioRawFrame() if answer.text:
                answer.audio = answer.audio or now
                answer.add_audio(frame)
            case FunctionCallInProgressFrame():
                answer.tools_began = answer.tools_began or now
            case FunctionCallResultFrame() if answer.tools_began:
                answer.tools, answer.tools_began = answer.tools + now - answer.tools_began, 0.0
            case MetricsFrame():
                self._count_tokens(frame)
            case UserStoppedSpeakingFrame() | EagerEndOfTurnCancelFrame():
                self._settle()
            case InterruptionFrame():
                self._settle()
                self._answer = _Answer()

    def _count_tokens(self, frame: MetricsFrame) -> None:
        tokens = sum(d.value.completion_tokens for d in frame.data if isinstance(d, LLMUsageMetricsData))
        speculation, so_far = self._answer.speculation, self.speculated
        if speculation is not None and speculation.withdrawn:
            tokens_for_nothing = so_far.withdrawn_tokens + tokens
            self.speculated = replace(so_far, withdrawn_tokens=tokens_for_nothing)
        elif speculation is not None:
            self.speculated = replace(so_far, tokens=so_far.tokens + tokens)

    def _settle(self) -> None:
        """Take account of a speculation when its fate is known."""
        answer, so_far = self._answer, self.speculated
        if answer.speculation is None or answer.counted or answer.speculation.pending:
            return
        answer.counted = True
        audio_ms, work_ms = round(answer.audio_ms), round((self._now() - answer.request) * 1000)
        if answer.speculation.withdrawn:
            self.speculated = replace(
                so_far,
                withdrawn=so_far.withdrawn + 1,
                withdrawn_audio_ms=so_far.withdrawn_audio_ms + audio_ms,
                withdrawn_work_ms=so_far.withdrawn_work_ms + work_ms,
            )
            answer.text = answer.audio = 0.0
        else:
            self.speculated = replace(
                so_far,
                confirmed=so_far.confirmed + 1,
                audio_ms=so_far.audio_ms + audio_ms,
                work_ms=so_far.work_ms + work_ms,
            )

    # ----------------------------------------------------------------------------------- reporting

    async def _begin(self, heard: float) -> None:
        """Note that the bot is heard. Words on its own account are no answer."""
        moments, answer = self._moments, self._answer
        if moments is None or not moments.turn_end or not answer.audio:
            return
        self._moments = None
        moments.request, moments.text, moments.audio = answer.request, answer.text, answer.audio
        moments.tools, moments.heard = answer.tools, heard
        await self._end(interrupted=False)
        self._turn += 1
        self._current = moments.metrics(self._turn, self.speculated)
        logger.info(self._current.line())
        await self._report(self._current)

    async def _end(self, interrupted: bool) -> None:
        current, self._current = self._current, None
        if current is None:
            return
        if interrupted:
            current = replace(current, interrupted=True)
            await self._report(current)
        if self._finished is not None:
            await self._finished(current)


@dataclass
class _Answer:
    """One answer of the model as it is made."""

    request: float = 0.0
    text: float = 0.0
    audio: float = 0.0
    audio_ms: float = 0.0
    tools: float = 0.0
    tools_began: float = 0.0
    speculation: Speculation | None = field(default=None)
    counted: bool = False

    def after_tools(self) -> _Answer:
        """Return a measure of the answer as it is asked for again, with the tools' results."""
        return _Answer(request=self.request, text=self.text, audio=self.audio, tools=self.tools)

    def add_audio(self, frame: TTSAudioRawFrame) -> None:
        if self.speculation is not None and self.speculation.pending:
            self.audio_ms += len(frame.audio) / 2 / frame.sample_rate * 1000


class JsonLines:
    """Append each turn to a file."""

    def __init__(self, path: Path, session_id: str | None) -> None:
        self._path = path
        self._session_id = session_id

    async def __call__(self, metrics: TurnMetrics) -> None:
        await asyncio.to_thread(self._append, {"session": self._session_id, **metrics.message()})

    def _append(self, record: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
