"""The model is told of a conversation what Pipecat's own adapter would tell it, and nobody imports OpenAI."""

from __future__ import annotations

import subprocess
import sys

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.adapters.llm.services.open_ai_adapter import OpenAILLMAdapter
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_bots.llm.chat_adapter import ChatAdapter

TOOL = FunctionSchema("now", "Tell the time.", {"zone": {"type": "string"}}, ["zone"])
MESSAGES = [
    {"role": "developer", "content": "Greet the user."},
    {"role": "user", "content": [{"type": "text", "text": "What time is it?"}]},
    {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "now"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "noon"},
]


async def test_it_says_what_pipecats_adapter_says() -> None:
    context = LLMContext([*MESSAGES], tools=ToolsSchema([TOOL]))  # type: ignore[arg-type, list-item]
    for developer in (True, False):
        ours = await ChatAdapter().get_llm_invocation_params(
            context, system_instruction="Be brief.", convert_developer_to_user=developer
        )
        theirs = await OpenAILLMAdapter().get_llm_invocation_params(
            context, system_instruction="Be brief.", convert_developer_to_user=developer
        )
        assert ours["messages"] == theirs["messages"]
        assert ours["tools"] == theirs["tools"]
    assert context.get_messages()[0]["role"] == "developer", "the conversation is as it was"  # type: ignore[index]


async def test_without_tools_there_are_none() -> None:
    assert (await ChatAdapter().get_llm_invocation_params(LLMContext()))["tools"] is None


def test_a_bots_service_is_made_without_openais_client() -> None:
    script = (
        "import sys\n"
        "from pipecat_bots.services import BotSettings, chunked_llm\n"
        "chunked_llm(BotSettings())\n"
        "sys.exit('openai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0
