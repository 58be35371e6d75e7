"""The user's half of the conversation: what was said, written down as a perfect listener would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from loguru import logger
from pipecat.frames.frames import Frame, InputAudioRawFrame, LLMContextFrame, STTMuteFrame
from pipecat.processors.aggregators.llm_context import LLMContext, LLMContextMessage
from pipecat.processors.aggregators.llm_response_universal import (
    LLMUserAggregator,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.turns.types import UserTurnSpeculation
from pipecat.turns.user_start import BaseUserTurnStartStrategy, UserTurnStartedParams
from pipecat.turns.user_stop import BaseUserTurnStopStrategy, UserTurnStoppedParams
from pipecat.turns.user_turn_controller import UserTurnController

from pipecat_bots.frames import SilenceFrame, VoiceActivityFrame
from pipecat_bots.speculation.speculation import ProvisionalContext, Speculation
from pipecat_bots.turns.barge_in import StopWordsStrategy
from pipecat_bots.turns.vad import WatchfulVADAnalyzer

KEPT_SILENT = "—"
"""Assistant's message where the user told the bot to be silent: later words are no part of that order."""
COMMIT_S = 0.5
"""Longest time an interruption may take through the pipeline, in seconds; then it is lost."""


class Conversation(LLMContext):
    """A context in which what the user says before anything was answered is one message."""

    on_change: Callable[[], None] | None = None
    """Called whenever there is another message."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.committed = asyncio.Event()
        """Set while everything heard of the bot before the user's turn is written down."""
        self.committed.set()

    def set_messages(self, messages: list[LLMContextMessage]) -> None:
        super().set_messages(messages)
        if self.on_change is not None:
            self.on_change()

    def add_message(self, message: LLMContextMessage) -> None:
        self.set_messages(joined(self.messages, message))

    def add_messages(self, messages: list[LLMContextMessage]) -> None:
        for message in messages:
            self.add_message(message)


def joined(messages: Sequence[LLMContextMessage], message: LLMContextMessage) -> list[LLMContextMessage]:
    """Return the messages with one more; a second one of the user's in a row joins the first."""
    before = _user_text(messages[-1]) if messages else None
    text = _user_text(message)
    if before is None or text is None:
        return [*messages, message]
    return [*messages[:-1], cast(LLMContextMessage, {"role": "user", "content": f"{before} {text}"})]


def _user_text(message: Any) -> str | None:
    if not isinstance(message, dict) or message.get("role") != "user":
        return None
    content = message.get("content")
    return content if isinstance(content, str) else None


class UserAggregator(LLMUserAggregator):
    """Pipecat's aggregator, which also tells what the voice activity detector hears from window to window.

    Args:
        recorder: Takes the audio; nobody else behind this does, and it goes no further.
    """

    def __init__(
        self,
        context: LLMContext,
        *,
        params: LLMUserAggregatorParams,
        recorder: FrameProcessor | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(context, params=params, **kwargs)
        self._recorder = recorder
        if isinstance(params.vad_analyzer, WatchfulVADAnalyzer):
            params.vad_analyzer.on_change = self._on_voice_activity
            params.vad_analyzer.on_silence = self._on_silence
        self.add_event_handler("on_user_mute_started", partial(self._mute_recogniser, True))
        self.add_event_handler("on_user_mute_stopped", partial(self._mute_recogniser, False))

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if not isinstance(frame, InputAudioRawFrame):
            await super().push_frame(frame, direction)
        elif self._recorder is not None:
            await self._recorder.queue_frame(frame, direction)

    async def _mute_recogniser(self, mute: bool, *_: Any) -> None:
        """Keep what a muted user says out of the first transcript after it."""
        await self.push_frame(STTMuteFrame(mute), FrameDirection.UPSTREAM)

    async def _on_voice_activity(self, voiced: bool) -> None:
        await self._queued_broadcast_frame(VoiceActivityFrame, voiced=voiced)

    async def _on_silence(self) -> None:
        await self._queued_broadcast_frame(SilenceFrame)

    async def _on_user_turn_started(
        self,
        controller: UserTurnController,
        strategy: BaseUserTurnStartStrategy,
        params: UserTurnStartedParams,
    ) -> None:
        if params.enable_interruptions and isinstance(self._context, Conversation):
            self._context.committed.clear()
        await super()._on_user_turn_started(controller, strategy, params)

    async def _on_user_turn_stopped(
        self,
        controller: UserTurnController,
        strategy: BaseUserTurnStopStrategy,
        params: UserTurnStoppedParams,
    ) -> None:
        await super()._on_user_turn_stopped(controller, strategy, params)
        if isinstance(strategy, StopWordsStrategy):
            self._context.add_message({"role": "assistant", "content": KEPT_SILENT})

    async def _push_aggregation(self, *, run_llm: bool = True) -> str:
        """Write the turn behind what it interrupted, which may still be on its way."""
        await self._commit()
        return await super()._push_aggregation(run_llm=run_llm)

    async def _commit(self) -> None:
        if isinstance(self._context, Conversation):
            try:
                async with asyncio.timeout(COMMIT_S):
                    await self._context.committed.wait()
            except TimeoutError:
                logger.warning(f"{self}: the interruption did not reach the end of the pipeline")

    async def _run_speculative_inference(self, speculation: UserTurnSpeculation) -> None:
        """Ask for an answer to the conversation as it would be, written as `Conversation` writes it."""
        if not isinstance(speculation, Speculation):
            await super()._run_speculative_inference(speculation)
            return
        await self._commit()
        message = cast(LLMContextMessage, {"role": "user", "content": speculation.text})
        context = ProvisionalContext(
            speculation,
            messages=joined(self._context.messages, message),
            tools=self._context.tools,
            tool_choice=self._context.tool_choice,
        )
        await self.push_frame(LLMContextFrame(context=context, speculation=True))
