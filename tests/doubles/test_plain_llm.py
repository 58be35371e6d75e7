"""Plain language model servers of the benchmarks: caches, slots and fields as the real ones have them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from benchmarks.doubles.plain_llm import KINDS, LlmScript, PlainServer, ToolReply, read_script
from tests.virtual_time import virtual_time

INSTRUCTIONS = "You are a voice agent. " + "Answer briefly and kindly. " * 20
SCRIPT = LlmScript(replies=("The first answer is this one.", "And the second is that one."))


@asynccontextmanager
async def serving(server: PlainServer) -> AsyncIterator[Asker]:
    host = TestServer(server.app())
    await host.start_server()
    async with aiohttp.ClientSession() as http:
        yield Asker(server, str(host.make_url("/v1/chat/completions")), http)
    await host.close()


class Asker:
    """A client of one server."""

    def __init__(self, server: PlainServer, url: str, http: aiohttp.ClientSession) -> None:
        self.server, self.url, self.http = server, url, http

    async def ask(self, *texts: str, fetch: int | None = None, **fields: Any) -> str:
        """Send a conversation that takes turns after the instructions; return the answer's text.

        Args:
            texts: The user's and the model's, in turn.
            fetch: Hang up after so many pieces of text.
            fields: Of the request.
        """
        roles = ["user", "assistant"] * len(texts)
        spoken = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
        body = {"messages": [{"role": "system", "content": INSTRUCTIONS}, *spoken], "stream": True}
        pieces: list[str] = []
        async with self.http.post(self.url, json={**body, "return_progress": True, **fields}) as response:
            assert response.status == 200, await response.text()
            async for line in response.content:
                pieces += _texts(line)
                if fetch is not None and len(pieces) >= fetch:
                    break
        return "".join(pieces)

    @property
    def last(self) -> Any:
        return self.server.counts()["records"][-1]


def _texts(line: bytes) -> list[str]:
    if not line.startswith(b"data: {"):
        return []
    deltas = [choice["delta"] for choice in json.loads(line[6:])["choices"]]
    return [delta["content"] for delta in deltas if delta.get("content")]


@pytest.mark.parametrize("kind", KINDS)
@virtual_time
async def test_the_next_turn_evaluates_what_is_new(kind: str) -> None:
    async with serving(PlainServer(SCRIPT, kind)) as one:
        first = await one.ask("What is first?")
        assert first == SCRIPT.replies[0]
        assert one.last["evaluated"] == one.last["prompt_tokens"] > 100
        assert await one.ask("What is first?", first, "And what is second?") == SCRIPT.replies[1]
        assert one.last["evaluated"] < 32
        assert one.server.counts()["requests"] == {"answers": 2, "warm_ups": 0}


@pytest.mark.parametrize(("kind", "evaluated"), [("hybrid", 124), ("attention", 1), ("vllm", 12)])
@virtual_time
async def test_an_identical_prompt_costs_what_the_cache_cannot_go_back_by(kind: str, evaluated: int) -> None:
    async with serving(PlainServer(SCRIPT, kind)) as one:
        answers = [await one.ask("What is first?") for _ in range(2)]
        assert answers[0] == answers[1]
        assert one.last["evaluated"] == evaluated


@virtual_time
async def test_a_warm_up_leaves_its_prompt_and_no_token_of_an_answer() -> None:
    async with serving(PlainServer(SCRIPT, "hybrid")) as one:
        await one.ask(max_tokens=0, add_generation_prompt=False)
        assert one.last["kind"] == "warm-up"
        await one.ask("What is first?")
        assert one.last["evaluated"] < 20
        await one.ask("What is first?", max_tokens=0, add_generation_prompt=False)
        assert one.last["evaluated"] == one.last["prompt_tokens"], "it is shorter than what the slot holds"


@virtual_time
async def test_a_dropped_request_frees_its_slot_after_the_batch_in_hand() -> None:
    loop = asyncio.get_running_loop()
    async with serving(PlainServer(SCRIPT, "attention")) as one:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await one.ask("word " * 700)
        began = loop.time()
        await one.ask("What is first?", fetch=1)
        records = one.server.counts()["records"]
        assert [records[0]["evaluated"], records[0]["cancelled"]] == [512, True]
        assert loop.time() - began > 0.4


@virtual_time
async def test_vllm_answers_two_at_once_and_a_slot_one_after_the_other() -> None:
    loop = asyncio.get_running_loop()
    took = {}
    for kind in ("vllm", "attention"):
        async with serving(PlainServer(SCRIPT, kind)) as one:
            began = loop.time()
            await asyncio.gather(one.ask("What is first?", id_slot=0), one.ask("And now?", id_slot=0))
            took[kind] = loop.time() - began
    assert took["attention"] > 1.4 * took["vllm"]


@virtual_time
async def test_vllm_refuses_no_token_and_two_ways_to_go_on_and_ignores_what_it_does_not_know() -> None:
    async with serving(PlainServer(SCRIPT, "vllm")) as one:
        for fields in ({"max_tokens": 0}, {"continue_final_message": True}):
            with pytest.raises(AssertionError, match="BadRequestError"):
                await one.ask("Hi", **fields)
        assert await one.ask("Hi", id_slot=7, cache_prompt=True, max_tokens=2) == "The first"


@virtual_time
async def test_a_reply_may_call_a_tool_and_speak_when_it_has_answered() -> None:
    script = LlmScript(replies=(ToolReply("get_time", "It is noon.", {"zone": "UTC"}),))
    async with serving(PlainServer(script, "hybrid")) as one:
        assert await one.ask("What time is it?") == ""
        call = {
            "id": "1",
            "type": "function",
            "function": {"name": "get_time", "arguments": '{"zone": "UTC"}'},
        }
        messages = [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": "What time is it?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "12:00"},
        ]
        assert await one.ask(messages=messages) == "It is noon."
        assert one.last["evaluated"] < 20


def test_the_section_of_the_scripted_engines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"asr": {"final_ms": 1}, "llm": {"replies": ["One."], "first_token_ms": 60}}))
    script = read_script(path)
    assert script.replies == ("One.",)
    assert (script.first_token_ms, script.prompt_tokens_per_second, script.request_ms) == (60, 1000, 15)
