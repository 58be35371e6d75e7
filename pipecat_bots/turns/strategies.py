"""Start and end of the user's turn."""

from __future__ import annotations

from pipecat.frames.frames import Frame, TranscriptionFrame
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_stop.base_user_turn_stop_strategy import BaseUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from pipecat_bots.frames import NothingSaidFrame
from pipecat_bots.settings import BotSettings
from pipecat_bots.speculation.speculation import SpeculationBudget
from pipecat_bots.turn_text.phrases import BACKCHANNELS, STOP, phrases
from pipecat_bots.turns.barge_in import BargeInStrategy, StopWordsStrategy
from pipecat_bots.turns.endpointing import EndpointingDelays
from pipecat_bots.turns.prosody import ThreadedDetector, shared_model
from pipecat_bots.turns.stop import TurnEndStrategy

WORDLESS_TURN_S = 8.0
"""Seconds after which a turn without words ends: later than the recogniser gives up a lost server."""


class NothingSaidStopStrategy(BaseUserTurnStopStrategy):
    """End a turn without words (a cough) as soon as the recogniser says so, not after a timeout."""

    def __init__(self) -> None:
        super().__init__()
        self._has_words = False

    async def handle_user_turn_started(self) -> None:
        self._has_words = False

    async def handle_user_turn_stopped(self) -> None:
        self._has_words = False

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        if isinstance(frame, TranscriptionFrame):
            self._has_words = True
        elif isinstance(frame, NothingSaidFrame) and not self._has_words:
            await self.trigger_user_turn_finalized()
        return ProcessFrameResult.CONTINUE


def smart_turns(settings: BotSettings) -> UserTurnStrategies:
    """Return strategies for turns that end by silence, prosody and words (docs/decisions/turn-end.md)."""
    patience = EndpointingDelays(
        sure_ms=settings.bot_vad_stop_secs * 1000, longest_ms=settings.bot_turn_wait_secs * 1000
    )
    waste = SpeculationBudget(settings.bot_speculation)
    detector = ThreadedDetector(shared_model(settings.bot_turn_model))
    return _strategies(settings, TurnEndStrategy(detector, patience, waste, settings.bot_language))


def timed_turns(settings: BotSettings) -> UserTurnStrategies:
    """Return strategies that end a turn after a fixed silence, the first part of it the VAD's."""
    rest = max(0.0, settings.bot_simple_vad_secs - settings.bot_vad_stop_secs)
    return _strategies(settings, SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=rest))


def _strategies(settings: BotSettings, stop: BaseUserTurnStopStrategy) -> UserTurnStrategies:
    assent = phrases(settings.bot_backchannels, settings.user_language, BACKCHANNELS)
    quiet = phrases(settings.bot_stop_words, settings.user_language, STOP)
    return UserTurnStrategies(
        start=[BargeInStrategy(assent)],
        stop=[NothingSaidStopStrategy(), StopWordsStrategy(quiet), stop],
    )
