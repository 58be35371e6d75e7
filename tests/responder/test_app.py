from __future__ import annotations

import asyncio
import json
import logging

import aiohttp
import pytest
from aiohttp import web

from nemotron_speech.responder.app import ResponderOptions, build_app
from nemotron_speech.responder.generation import TokenPace

STORY = {"messages": [{"role": "user", "content": "tell me a story"}], "stream": True, "id_slot": 0}


@pytest.fixture
async def url():
    options = ResponderOptions(pace=TokenPace(tokens_per_second=1000))
    runner = web.AppRunner(build_app(options), handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


async def test_callers_who_leave_free_the_slot_and_are_no_error(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for number in range(40):
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/v1/chat/completions", json=STORY) as response,
        ):
            for _ in range(number % 3):
                await response.content.readany()
    async with asyncio.timeout(10), aiohttp.ClientSession() as session:
        async with session.post(f"{url}/v1/chat/completions", json=STORY | {"stream": False}) as response:
            answer = json.loads(await response.read())
        async with session.get(f"{url}/slots") as response:
            slots = json.loads(await response.read())
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert not any(slot["is_processing"] for slot in slots)
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


async def test_a_body_that_is_too_large_is_refused(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        body = b'{"prompt": "' + b"x" * (9 * 1024 * 1024) + b'"}'
        async with session.post(f"{url}/completion", data=body) as response:
            assert response.status == 413
            assert (await response.json())["error"]["code"] == 413
