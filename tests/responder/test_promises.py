"""Fields that a language model might keep to: kept or refused by the responder, never ignored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
from aiohttp import web

from nemotron_speech.responder.app import ResponderOptions, build_app
from nemotron_speech.responder.generation import TokenPace

TOOL = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    options = ResponderOptions(pace=TokenPace(tokens_per_second=0))
    runner = web.AppRunner(build_app(options), handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


@pytest.fixture
async def client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def ask(url: str, path: str = "/v1/chat/completions", **fields: Any) -> tuple[int, Any]:
    body = fields if "prompt" in fields else {"messages": HELLO, **fields}
    async with aiohttp.ClientSession(url) as http, http.post(path, json=body) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL]},
        {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": "none"},
        {
            "tools": None,
            "tool_choice": None,
            "response_format": None,
            "stream": None,
            "n": None,
            "stop": None,
        },
        {"response_format": {"type": "text"}, "logprobs": False, "modalities": ["text"]},
    ],
)
async def test_tools_that_are_only_offered_are_answered_in_words(url: str, fields: dict[str, Any]) -> None:
    status, answer = await ask(url, **fields)
    assert status == 200
    [choice] = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"].startswith("Hello")
    assert "tool_calls" not in choice["message"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"tools": [TOOL], "tool_choice": "required"}, "'tool_choice' cannot be required here"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get_time"}}},
            "calls no tools; allowed: none, auto",
        ),
        ({"functions": [{"name": "f"}], "function_call": {"name": "f"}}, "'function_call' cannot be"),
        ({"tools": [{"type": "web_search"}]}, "a tool is a 'function'"),
        ({"tools": {"name": "get_time"}}, "array"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "allowed: text, json_object"),
        ({"response_format": "json"}, "response_format"),
        ({"grammar": "root ::= [a-z]"}, "'grammar'"),
        ({"json_schema": {"type": "object"}}, "'json_schema'"),
        ({"logprobs": True}, "'logprobs'"),
        ({"modalities": ["text", "audio"]}, "'modalities'"),
        ({"messages": []}, "'messages' is empty"),
        ({"messages": None}, "messages"),
        ({"n": 2}, "'n' is 2"),
    ],
)
async def test_what_cannot_be_kept_is_refused_with_what_can(
    url: str, fields: dict[str, Any], says: str
) -> None:
    status, answer = await ask(url, **fields)
    assert status == 400
    assert says in answer["error"]["message"]
    assert answer["error"]["type"] == "invalid_request_error"


async def test_native_completions_refuse_alike(url: str) -> None:
    status, answer = await ask(url, "/completion", prompt="hello", grammar="root ::= [a-z]")
    assert (status, "'grammar'" in answer["error"]["message"]) == (400, True)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_can_be_a_json_object(client: openai.AsyncOpenAI, stream: bool) -> None:
    messages = [{"role": "user", "content": 'say "well" \\ done'}]
    asked = {"model": "any", "messages": messages, "response_format": {"type": "json_object"}}
    if stream:
        chunks = await client.chat.completions.create(**asked, stream=True)  # type: ignore[call-overload]
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])
    else:
        whole = await client.chat.completions.create(**asked)  # type: ignore[call-overload]
        text = whole.choices[0].message.content
    [(name, answer)] = json.loads(text).items()
    assert name == "answer"
    assert "ell" in answer


async def test_a_model_is_found_by_its_id(client: openai.AsyncOpenAI) -> None:
    [listed] = [model async for model in client.models.list()]
    assert (await client.models.retrieve(listed.id)).id == listed.id
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-7'; there is built-in-responder"):
        await client.models.retrieve("gpt-7")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", None, 404),
        ("GET", "/v1/chat/completions", None, 405),
        ("POST", "/v1/responses", b"{}", 404),
        ("POST", "/v1/chat/completions", b"", 400),
        ("POST", "/v1/chat/completions", b"null", 400),
        ("POST", "/v1/chat/completions", b"[]", 400),
        ("POST", "/v1/chat/completions", b"7", 400),
        ("POST", "/v1/chat/completions", b"\xff", 400),
        ("POST", "/v1/chat/completions", b"[" * 100_000, 400),
        ("POST", "/v1/chat/completions", b'{"messages": [7]}', 400),
        ("POST", "/v1/chat/completions", b'{"messages": "hello"}', 400),
        ("POST", "/v1/chat/completions", b'{"messages": [{"content": "hello"}]}', 400),
        ("POST", "/completion", b"{}", 400),
        ("POST", "/tokenize", b"[]", 400),
    ],
)
async def test_odd_requests_are_answered_with_an_error_in_json(
    url: str, method: str, path: str, body: bytes | None, status: int
) -> None:
    async with aiohttp.ClientSession(url) as http, http.request(method, path, data=body) as answer:
        error = (await answer.json())["error"]
    assert (answer.status, error["code"]) == (status, status)
    assert (status == 405) == ("Allow" in answer.headers)


async def test_a_bug_is_answered_in_json() -> None:
    def broken(turns: object, now: object) -> str:
        raise ZeroDivisionError

    runner = web.AppRunner(build_app(respond=broken))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        status, answer = await ask(f"http://{host}:{port}")
        assert (status, answer["error"]["message"]) == (500, "internal error")
    finally:
        await runner.cleanup()
