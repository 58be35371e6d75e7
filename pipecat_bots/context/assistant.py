"""The bot's half of the conversation: what was heard of it, and where it was interrupted."""

from __future__ import annotations

from typing import Any

from pipecat.frames.frames import (
    AudioRawFrame,
    Frame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    InterruptionFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator
from pipecat.processors.frame_processor import FrameCallback, FrameDirection
from pipecat.utils.string import TextPartForConcatenation

from pipecat_bots.context.user import Conversation

CUT_OFF = " —"
"""Ends an answer that the user interrupted, as print does with speech that breaks off."""


class AssistantAggregator(LLMAssistantAggregator):
    """Pipecat's aggregator, which marks an answer that was cut off.

    The mark follows what was heard: the model's cache of what is before it stays of use.
    """

    def __init__(self, context: LLMContext, *, mark: str = CUT_OFF, **kwargs: Any) -> None:
        super().__init__(context, **kwargs)
        self._mark = mark
        self._cancelled: dict[str, FunctionCallCancelFrame] = {}
        """Calls cancelled while the words before them still played: they come here behind those words."""

    async def queue_frame(
        self,
        frame: Frame,
        direction: FrameDirection = FrameDirection.DOWNSTREAM,
        callback: FrameCallback | None = None,
    ) -> None:
        """Take everything but audio, of which nothing is written down: it ends here."""
        if not isinstance(frame, AudioRawFrame):
            await super().queue_frame(frame, direction, callback)

    async def _handle_interruptions(self, frame: InterruptionFrame) -> None:
        heard = self.aggregation_string()
        if heard.strip():
            await self.reset()
            parts = heard.rstrip() + self._mark
            self._aggregation.append(TextPartForConcatenation(parts, includes_inter_part_spaces=True))
        # What the user says now is answered, and a tool's result with it: not each on its own.
        self._push_context_on_bot_stopped_speaking = self._context_push_owed = False
        await super()._handle_interruptions(frame)
        if isinstance(self._context, Conversation):
            self._context.committed.set()

    async def _handle_function_call_in_progress(self, frame: FunctionCallInProgressFrame) -> None:
        """Write what was said before a tool was called before the call, as the model wrote it."""
        await self._add_aggregation_to_context()
        await super()._handle_function_call_in_progress(frame)
        if cancel := self._cancelled.pop(frame.tool_call_id, None):
            await super()._handle_function_call_cancel(cancel)

    async def _handle_function_call_cancel(self, frame: FunctionCallCancelFrame) -> None:
        if self._function_calls_in_progress.get(frame.tool_call_id) is None:
            self._cancelled[frame.tool_call_id] = frame
        else:
            await super()._handle_function_call_cancel(frame)
