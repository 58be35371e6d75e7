"""Stock clients of OpenAI's chat interface against the built-in responder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from nemotron_speech.responder.app import build_app
from tests.foreign.conftest import Foreign

pytestmark = pytest.mark.foreign


@pytest.fixture
async def url() -> AsyncIterator[str]:
    runner = web.AppRunner(build_app(), handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


async def test_openais_library_is_answered_or_refused_by_name(foreign: Foreign, url: str) -> None:
    assert await foreign("openai_chat", url) == {
        "plain": "words",
        "streamed": "words and usage",
        "parts": "words",
        "limit": "length",
        "stop": "",
        "tools offered": "words",
        "tools, auto": "words",
        "tools, required": "BadRequestError",
        "tools, named": "BadRequestError",
        "json object": "dict",
        "json schema": "BadRequestError",
        "no messages": "BadRequestError",
        "two answers": "BadRequestError",
        "logprobs": "BadRequestError",
        "model": "model",
        "no such model": "NotFoundError",
        "responses": "NotFoundError",
    }


async def test_livekits_model_is_answered_with_and_without_tools(foreign: Foreign, url: str) -> None:
    said = await foreign("livekit_llm", url)
    assert said["plain"].startswith("Hello")
    assert said["tools"] == said["plain"]
