"""When the user's turn begins, above all while the bot speaks: `Interjection` decides, the playout obeys."""

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
from pipecat_bots.interruptions.interjection import Interjection, Patience, Verdict
from pipecat_bots.interruptions.phrases import BESIDE_STOP, Phrases


class BargeInStrategy(BaseUserTurnStartStrategy):
    """Begin the user's turn with the first sign of a voice, or, while the bot speaks, when it interrupts.

    Until that is known the bot is held. Assent leaves no trace: no turn, no words, no answer.
    """

    def __init__(self, assent: Phrases, patience: Patience | None = None) -> None:
        super().__init__()
        self._interjection = Interjection(assent, patience)

    async def handle_user_turn_started(self) -> None:
        self._interjection.turn_begins()

    async def handle_user_turn_stopped(self) -> None:
        self._interjection.turn_ends()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        verdict = self._take(frame)
        match verdict:
            case Verdict.HOLD:
                await self.push_frame(HoldFrame())
            case Verdict.RESUME:
                await self.push_frame(ResumeFrame())
            case Verdict.ASSENT:
                await self.push_frame(ResumeFrame())
                await self._acknowledge(frame)
            case Verdict.INTERRUPT:
                await self.trigger_user_turn_started()
        return ProcessFrameResult.STOP if verdict is Verdict.INTERRUPT else ProcessFrameResult.CONTINUE

    def _take(self, frame: Frame) -> Verdict:
        interjection, verdict = self._interjection, Verdict.NOTHING
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

    async def _acknowledge(self, frame: Frame) -> None:
        """Take the words out of the turn that has not begun."""
        assert isinstance(frame, TranscriptionFrame)
        await self.trigger_reset_aggregation()
        await self.push_frame(UserBackchannelFrame(frame.text, frame.user_id, frame.timestamp))


class StopWordsStrategy(BaseUserTurnStopStrategy):
    """End a turn that stops the bot, or the answer it prepares, and says no more than "stop".

    It is kept, and gets no answer. Stands before the strategies that would answer it.
    """

    def __init__(self, stop: Phrases) -> None:
        super().__init__()
        self._stop = stop
        self._with_others = stop | BESIDE_STOP
        self._bot_acts = self._interrupts = False
        """Whether the bot speaks, or is about to; whether the turn began then."""
        self._words: list[str] = []

    async def handle_user_turn_started(self) -> None:
        self._interrupts, self._words = self._bot_acts, []
        self._bot_acts = False

    async def handle_user_turn_stopped(self) -> None:
        self._bot_acts = bool(self._words) and not self._is_stop(self._words)
        self._interrupts = False

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        match frame:
            case BotStartedSpeakingFrame():
                self._bot_acts = True
            case BotStoppedSpeakingFrame():
                self._bot_acts = False
            case EagerTranscriptionFrame() if self._is_stop([*self._words, frame.text]):
                return ProcessFrameResult.STOP
            case TranscriptionFrame():
                self._words.append(frame.text)
                if self._is_stop(self._words):
                    await self.trigger_user_turn_finalized(confirms_speculation=True)
                    return ProcessFrameResult.STOP
        return ProcessFrameResult.CONTINUE

    def _is_stop(self, words: Iterable[str]) -> bool:
        text = " ".join(words)
        return self._interrupts and self._with_others.make_up(text) and self._stop.occur_in(text)
