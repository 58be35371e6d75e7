"""LiveKit's `openai.LLM` against a language model: livekit_llm.py http://HOST:PORT/v1

Prints a JSON object: what was said, without tools and with one on offer.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from livekit.agents import ChatContext, function_tool
from livekit.plugins import openai


@function_tool
async def get_time() -> str:
    """Tell the time."""
    return "noon"


async def said(llm: openai.LLM, **asked: Any) -> str:
    context = ChatContext()
    context.add_message(role="user", content="hello")
    async with llm.chat(chat_ctx=context, **asked) as stream:
        return "".join([chunk.delta.content or "" async for chunk in stream if chunk.delta])


async def main(base_url: str) -> None:
    llm = openai.LLM(model="any", base_url=base_url, api_key="none")
    print(json.dumps({"plain": await said(llm), "tools": await said(llm, tools=[get_time])}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
