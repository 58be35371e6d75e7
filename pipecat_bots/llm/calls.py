"""Tool calls of an answer on their way to Pipecat: named, and told to the model where they are broken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from loguru import logger
from pipecat.frames.frames import (
    FunctionCallFromLLM,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import LLMService

from pipecat_bots.llm.reply import ReplyToolCall


class BrokenArguments(dict[str, Any]):
    """No arguments, in place of text that is no JSON object.

    Args:
        text: The text, as the model wrote it.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    @property
    def report(self) -> dict[str, str]:
        """Result of a call with them."""
        return {"error": f"not called: the arguments are no JSON object: {self.text}"}


def named(calls: Iterable[ReplyToolCall], context: LLMContext) -> list[FunctionCallFromLLM]:
    """Return the calls as Pipecat takes them, each with an id that no other call of the conversation has."""
    ids = {
        call["id"]
        for message in context.get_messages()
        if isinstance(message, dict)
        for call in message.get("tool_calls") or ()
    }
    taken: list[FunctionCallFromLLM] = []
    for call in calls:
        own = call.id if call.id and call.id not in ids else f"call_{uuid4().hex[:12]}"
        ids.add(own)
        arguments = call.parsed()
        if arguments is None:
            logger.warning(f"the model called {call.name} with arguments that are no JSON object")
            arguments = BrokenArguments(call.arguments)
        taken.append(FunctionCallFromLLM(call.name, own, arguments, context))
    return taken


class ToldCalls(LLMService[Any]):
    """Answer calls with broken arguments in place of their tools: the model is told, and may call again."""

    async def run_function_calls(self, function_calls: Sequence[FunctionCallFromLLM]) -> None:
        broken = [call for call in function_calls if isinstance(call.arguments, BrokenArguments)]
        whole = [call for call in function_calls if not isinstance(call.arguments, BrokenArguments)]
        if broken:
            await self.broadcast_frame(FunctionCallsStartedFrame, function_calls=broken)
        for call in broken:
            # The model goes on when the last of its calls is settled; these are, before the others begin.
            await self._tell(call, goes_on=not whole and call is broken[-1])
        await super().run_function_calls(whole)

    async def _tell(self, call: FunctionCallFromLLM, *, goes_on: bool) -> None:
        assert isinstance(call.arguments, BrokenArguments)
        about: dict[str, Any] = {
            "function_name": call.function_name,
            "tool_call_id": call.tool_call_id,
            "arguments": call.arguments,
        }
        await self.broadcast_frame(FunctionCallInProgressFrame, **about, cancel_on_interruption=True)
        result = call.arguments.report
        await self.broadcast_frame(FunctionCallResultFrame, **about, result=result, run_llm=goes_on)
