"""The language model's double keeps what it was asked."""

from __future__ import annotations

import msgspec
from aiohttp.test_utils import TestClient, TestServer

from benchmarks.doubles.plain_llm import LlmScript, PlainServer
from benchmarks.outside.model import keep
from benchmarks.outside.plan import Asked


async def test_what_it_was_asked_is_told_in_order_and_answered_as_before() -> None:
    app = PlainServer(LlmScript(replies=("Hi there.",), request_ms=0, tokens_per_second=0)).app()
    keep(app)
    messages = [{"role": "user", "content": "hello"}]
    async with TestClient(TestServer(app)) as client:
        for limit in (0, 100):
            body = {"messages": messages, "max_tokens": limit}
            response = await client.post("/v1/chat/completions", json=body)
            answer = (await response.json())["choices"][0]["message"]["content"]
        asked = msgspec.json.decode(await (await client.get("/asked")).read(), type=list[Asked])
        counted = (await (await client.get("/counts")).json())["records"]
    assert answer == "Hi there."
    assert [request.wants_answer for request in asked] == [False, True]
    assert [record["kind"] for record in counted] == ["warm-up", "answer"]
    assert asked[1].messages == tuple(messages)
    assert asked[0].at <= asked[1].at
