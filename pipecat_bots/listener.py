"""The user's half of the conversation: what was said, written down as a perfect listener would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from pipecat.frames.frames import LLMContextFrame
from pipecat.processors.aggregators.llm_context import LLMContext, LLMContextMessage
from pipecat.processors.aggregators.llm_response_universal import (
    LLMUserAggregator,
    LLMUserAggregatorParams,
)
from pipecat.turns.types import UserTurnSpeculation

from pipecat_bots.frames import VoiceActivityFrame
from pipecat_bots.speculation import ProvisionalContext, Speculation
from pipecat_bots.voice_activity import WatchfulVADAnalyzer


class Conversation(LLMContext):
    """A context in which what the user says before anything was answered is one message."""

    on_change: Callable[[], None] | None = None
    """Called whenever there is another message."""

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


class Listener(LLMUserAggregator):
    """Pipecat's aggregator, which also tells what the voice activity detector hears from window to window."""

    def __init__(self, context: LLMContext, *, params: LLMUserAggregatorParams, **kwargs: Any) -> None:
        super().__init__(context, params=params, **kwargs)
        if isinstance(params.vad_analyzer, WatchfulVADAnalyzer):
            params.vad_analyzer.on_change = self._on_voice_activity

    async def _on_voice_activity(self, voiced: bool) -> None:
        await self._queued_broadcast_frame(VoiceActivityFrame, voiced=voiced)

    async def _run_speculative_inference(self, speculation: UserTurnSpeculation) -> None:
        """Ask for an answer to the conversation as it would be, written as `Conversation` writes it."""
        if not isinstance(speculation, Speculation):
            await super()._run_speculative_inference(speculation)
            return
        message = cast(LLMContextMessage, {"role": "user", "content": speculation.text})
        context = ProvisionalContext(
            speculation,
            messages=joined(self._context.messages, message),
            tools=self._context.tools,
            tool_choice=self._context.tool_choice,
        )
        await self.push_frame(LLMContextFrame(context=context, speculation=True))
