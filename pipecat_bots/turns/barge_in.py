"""Start of the user's turn, above all while the bot speaks: `Interjection` decides, the playout obeys."""

from __future__ import annotations

from collections.abc import Iterable

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EagerTranscriptionFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    UserBackchannelFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy
from pipecat.turns.user_stop.base_user_turn_stop_strategy import BaseUserTurnStopStrategy

from pipecat_bots.frames import HeldFrame, HoldFrame, NothingSaidFrame, ResumeFrame, VoiceActivityFrame
from pipecat_bots.turn_text.phrases import BESIDE_STOP, Phrases
from pipecat_bots.turns.interruption import Interjection, InterruptionTimeouts, InterruptionVerdict


class BargeInStrategy(BaseUserTurnStartStrategy):
    """Begin the user's turn with the first sign of a voice, or, while the bot speaks, when it interrupts.

    Until that is known the bot is held. Assent leaves no trace: no turn, no words, no answer. A transcript
    that comes after the turn it belongs to, while that is answered, begins a turn when the bot has spoken.
    """

    def __init__(self, assent: Phrases, patience: InterruptionTimeouts | None = None) -> None:
        super().__init__()
        self._interjection = Interjection(assent, patience)
        self._late: list[TranscriptionFrame] = []

    async def handle_user_turn_started(self) -> None:
        self._interjection.turn_begins()
        await self._bring_in_late()

    async def handle_user_turn_stopped(self) -> None:
        self._interjection.turn_ends()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        verdict = self._take(frame)
        match verdict:
            case InterruptionVerdict.HOLD:
                await self.push_frame(HoldFrame())
            case InterruptionVerdict.RESUME:
                await self.push_frame(ResumeFrame())
            case InterruptionVerdict.ASSENT:
                await self.push_frame(ResumeFrame())
                await self._acknowledge(frame)
            case InterruptionVerdict.INTERRUPT:
                await self.trigger_user_turn_started()
            case InterruptionVerdict.LATER:
                await self._put_off(frame)
        if isinstance(frame, BotStoppedSpeakingFrame):
            await self._bring_in_late()
        return (
            ProcessFrameResult.STOP
            if verdict is InterruptionVerdict.INTERRUPT
            else ProcessFrameResult.CONTINUE
        )

    def _take(self, frame: Frame) -> InterruptionVerdict:
        interjection, verdict = self._interjection, InterruptionVerdict.NOTHING
        match frame:
            case InputAudioRawFrame():
                verdict = interjection.audio(len(frame.audio) / 2 / frame.sample_rate * 1000)
            case VoiceActivityFrame():
                interjection.voice(frame.voiced)
            case VADUserStartedSpeakingFrame():
                verdict = interjection.speaks()
            case VADUserStoppedSpeakingFrame():
                interjection.pauses()
            case InterimTranscriptionFrame() | EagerTranscriptionFrame():
                verdict = interjection.text(frame.text, is_last=False)
            case TranscriptionFrame():
                verdict = interjection.text(frame.text, is_last=True)
            case NothingSaidFrame():
                verdict = interjection.nothing_said()
            case HeldFrame():
                interjection.held(frame.left_s)
            case BotStartedSpeakingFrame():
                interjection.bot_speaks()
            case BotStoppedSpeakingFrame():
                verdict = interjection.bot_stops()
        return verdict

    async def _put_off(self, frame: Frame) -> None:
        """Take words that come too late out of the conversation until they interrupt nothing."""
        assert isinstance(frame, TranscriptionFrame)
        await self.trigger_reset_aggregation()
        frame.finalized = False
        self._late.append(frame)

    async def _bring_in_late(self) -> None:
        late, self._late = self._late, []
        for frame in late:
            await self.push_frame(frame)

    async def _acknowledge(self, frame: Frame) -> None:
        """Take the words out of the turn that has not begun."""
        assert isinstance(frame, TranscriptionFrame)
        await self.trigger_reset_aggregation()
        await self.push_frame(UserBackchannelFrame(frame.text, frame.user_id, frame.timestamp))


class StopWordsStrategy(BaseUserTurnStopStrategy):
    """End a turn that says no more than "stop": it is kept, and never answered.

    Stands before the strategies that would answer it.
    """

    def __init__(self, stop: Phrases) -> None:
        super().__init__()
        self._stop = stop
        self._with_others = stop | BESIDE_STOP
        self._words: list[str] | None = None
        """Words of the current turn; None outside one."""

    async def handle_user_turn_started(self) -> None:
        self._words = []

    async def handle_user_turn_stopped(self) -> None:
        self._words = None

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        words = self._words
        if words is None:
            return ProcessFrameResult.CONTINUE
        match frame:
            case EagerTranscriptionFrame() if self._is_stop([*words, frame.text]):
                return ProcessFrameResult.STOP
            case TranscriptionFrame():
                words.append(frame.text)
                await self._end_if_stop(words)
            case NothingSaidFrame():
                await self._end_if_stop(words)
        has_ended = self._words is None
        return ProcessFrameResult.STOP if has_ended else ProcessFrameResult.CONTINUE

    async def _end_if_stop(self, words: Iterable[str]) -> None:
        """End the turn, unless the user has begun to speak again."""
        if self._is_stop(words):
            await self.trigger_user_turn_finalized(confirms_speculation=True)

    def _is_stop(self, words: Iterable[str]) -> bool:
        text = " ".join(words)
        return self._with_others.make_up(text) and self._stop.occur_in(text)
