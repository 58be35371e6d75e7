"""The end of the user's turn in the pipeline: `TurnEnd` decides, and the answer is begun before it has."""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    EagerEndOfTurnCancelFrame,
    EagerTranscriptionFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_stop.base_user_turn_stop_strategy import BaseUserTurnStopStrategy

from pipecat_bots.frames import NothingSaidFrame, VoiceActivityFrame
from pipecat_bots.speculation.speculation import Speculation, SpeculationBudget
from pipecat_bots.turn_text.completeness import cue, same_words
from pipecat_bots.turn_text.vocabulary import LEFT_OPEN
from pipecat_bots.turns.endpointing import EndpointingDelays, TurnEnd
from pipecat_bots.turns.prosody import TurnAudio, TurnDetector


class TurnEndStrategy(BaseUserTurnStopStrategy):
    """End the turn when silence, prosody and words say so together; speculate on it as soon as it is quiet.

    Args:
        detector: How complete a turn sounds; None leaves it to silence and words.
        patience: How long silences are waited for.
        waste: True if a speculation can be afforded.
        language: Language of the words, as long as the transcripts do not name another.
    """

    def __init__(
        self,
        detector: TurnDetector | None,
        patience: EndpointingDelays | None = None,
        waste: SpeculationBudget | None = None,
        language: str = "en",
    ) -> None:
        super().__init__()
        self.waste = waste or SpeculationBudget(0)
        self._detector = detector
        self._turn = TurnEnd(patience, language)
        self._audio = TurnAudio(16000)
        self._active = False
        self._speculation: Speculation | None = None
        self._refused = ""
        """Text whose answer wants to call a tool: it waits for the turn's end."""
        self._judging: asyncio.Task[None] | None = None

    async def setup(self, setup: FrameProcessorSetup) -> None:
        await super().setup(setup)
        self._audio = TurnAudio(setup.audio_in_sample_rate)

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._stop_judging()

    async def handle_user_turn_started(self) -> None:
        await self._clear()
        self.waste.turn_began()
        self._audio.begin()
        self._turn.begin()
        self._active = True
        if self._turn.is_quiet:
            await self._judge()

    async def handle_user_turn_stopped(self) -> None:
        await self._clear()
        self._audio.end()
        self._turn.end()
        self._active = False

    async def _clear(self) -> None:
        await self._withdraw()
        await self._stop_judging()
        self._refused = ""

    # ----------------------------------------------------------------------------- what happens

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        match frame:
            case InputAudioRawFrame():
                self._audio.add(frame.audio)
                self._turn.audio(len(frame.audio) / 2 / frame.sample_rate * 1000)
            case VoiceActivityFrame():
                await self._on_voice(frame.voiced)
            case VADUserStartedSpeakingFrame():
                await self._on_speech()
            case VADUserStoppedSpeakingFrame():
                await self._on_pause(frame.stop_secs)
            case EagerTranscriptionFrame():
                self._turn.language = frame.language or self._turn.language
                await self._on_words(frame.text)
            case TranscriptionFrame():
                self._turn.language = frame.language or self._turn.language
                await self._on_text(frame)
            case NothingSaidFrame():
                await self._on_nothing_said()
            case EagerEndOfTurnCancelFrame():
                self._refuse()
            case BotStartedSpeakingFrame():
                self.waste.heard(asyncio.get_running_loop().time())
            case InterruptionFrame():
                await self._withdraw()
            case _:
                return ProcessFrameResult.CONTINUE
        if self._active and self._turn.over:
            await self._end()
        return ProcessFrameResult.CONTINUE

    async def _on_voice(self, voiced: bool) -> None:
        was_speaking = self._turn.is_speaking
        self._turn.voice(voiced)
        if not was_speaking:
            return
        if voiced:
            await self._withdraw()
            await self._stop_judging()
        else:
            await self._judge()

    async def _on_speech(self) -> None:
        self._turn.speaks()
        if not self._active:
            self._audio.spoken()
        await self._withdraw()

    async def _on_pause(self, stop_secs: float) -> None:
        unwatched = self._turn.is_voiced
        self._turn.pauses(stop_secs * 1000)
        if unwatched:
            await self._judge()

    async def _on_text(self, frame: TranscriptionFrame) -> None:
        self._turn.said(frame.text, frame.finalized)
        self._disregard()
        await self._disown(self._turn.text)
        if frame.finalized and not self._turn.over:
            await self._speculate("")

    async def _on_nothing_said(self) -> None:
        self._turn.said_nothing()
        self._disregard()
        if not self._turn.over:
            await self._speculate("")

    def _disregard(self) -> None:
        """Drop speech that has come to no turn: assent, or a cough."""
        if not (self._active or self._turn.is_speaking):
            self._audio.disregard()

    # ----------------------------------------------------------------------------- prosody

    async def _judge(self) -> None:
        await self._stop_judging()
        if self._detector is not None and self._active:
            self._judging = self.create_task(self._judge_now(self._detector), "judging")

    async def _judge_now(self, detector: TurnDetector) -> None:
        self._turn.judged(await detector.probability(self._audio))
        self._judging = None
        if self._active and self._turn.over:
            await self._end()

    async def _stop_judging(self) -> None:
        task, self._judging = self._judging, None
        if task is not None and task is not asyncio.current_task():
            await self.cancel_task(task)

    # ----------------------------------------------------------------------------- speculation

    async def _on_words(self, heard: str) -> None:
        """Begin another answer at once for words beyond those that the last one was begun to."""
        await self._disown(self._turn.text_with(heard))
        await self._speculate(heard)

    async def _disown(self, text: str) -> None:
        """Withdraw the answer to other words than these."""
        if self._speculation is not None and not same_words(self._speculation.text, text):
            await self._withdraw()

    async def _speculate(self, heard: str) -> None:
        """Begin the answer to the turn as it would be, if it were over with what was heard."""
        text = self._turn.text_with(heard)
        now = asyncio.get_running_loop().time()
        unwanted = not self._active or self._turn.is_voiced or self._speculation is not None
        if (
            unwanted
            or not text
            or same_words(text, self._refused)
            or cue(text, self._turn.language) in LEFT_OPEN
        ):
            return
        if self.waste.allows(now):
            self._speculation = Speculation(text)
            await self.trigger_user_turn_inference_triggered(speculation=self._speculation)

    async def _withdraw(self) -> None:
        speculation, self._speculation = self._speculation, None
        if speculation is not None:
            speculation.withdraw()
            self._settle(speculation)
            await self.trigger_user_turn_speculation_cancelled()

    def _refuse(self) -> None:
        """Put off an answer for which the model wants to use a tool: it begins when the turn is over."""
        speculation, self._speculation = self._speculation, None
        if speculation is not None:
            self._refused = speculation.text
            speculation.withdraw()
            self._settle(speculation)

    def _settle(self, speculation: Speculation) -> None:
        self.waste.settled(speculation, asyncio.get_running_loop().time())

    # ----------------------------------------------------------------------------- the end

    async def _end(self) -> None:
        self._active = False
        self.waste.turn_over(asyncio.get_running_loop().time())
        speculation = self._speculation
        if speculation is not None and same_words(speculation.text, self._turn.text):
            self._speculation = None
            stands = speculation.confirm()
            self._settle(speculation)
            if stands:
                await self.trigger_user_turn_finalized(confirms_speculation=True)
                return
        await self._withdraw()
        await self.trigger_user_turn_stopped()
