"""A conversation of Pipecat's as the messages and tools of a chat completion.

Pipecat's own adapter does the same and imports OpenAI's client for the names of its types: a second in which
the first caller's event loop stands still, 550 modules and 14 MB.
"""

from __future__ import annotations

from typing import Any, TypedDict

from pipecat.adapters.llm.base_llm_adapter import BaseLLMAdapter
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage


class ChatParams(TypedDict):
    """Arguments of a chat completion. `tools` is None where there are none."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None


class ChatAdapter(BaseLLMAdapter[ChatParams]):
    """Text, calls of tools and their results; what else a message may hold goes on as it is."""

    @property
    def id_for_llm_specific_messages(self) -> str:
        return "openai"

    async def get_llm_invocation_params(
        self,
        context: LLMContext,
        *,
        system_instruction: str | None = None,
        convert_developer_to_user: bool = True,
        **_: Any,
    ) -> ChatParams:
        messages = [self._message(each) for each in self.get_messages(context)]
        if convert_developer_to_user:
            messages = [{**m, "role": "user"} if m.get("role") == "developer" else m for m in messages]
        if system_instruction:
            messages.insert(0, {"role": "system", "content": system_instruction})
        tools = self.from_standard_tools(context.tools)
        return {"messages": messages, "tools": tools if isinstance(tools, list) else None}

    def _message(self, message: Any) -> dict[str, Any]:
        return dict(message.message if isinstance(message, LLMSpecificMessage) else message)

    def to_provider_tools_format(self, tools_schema: ToolsSchema) -> list[dict[str, Any]]:
        functions = tools_schema.standard_tools
        return [{"type": "function", "function": each.to_default_dict()} for each in functions]

    def get_messages_for_logging(self, context: LLMContext) -> list[dict[str, Any]]:
        return [self._message(each) for each in self.get_messages(context, truncate_large_values=True)]
