"""What the language model may do besides talking."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import InterruptionFrame, LLMContextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.services.llm_service import FunctionCallParams
from pipecat.tests.utils import SleepFrame

from nemotron_speech.errors import ConfigurationError
from pipecat_bots.llama_cpp_chunked_llm import LlamaCppChunkedLLMService
from pipecat_bots.llm.tools import BUILT_IN, TOOL_TIMEOUT_S, checked, converted, toolbox
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from tests.bots.fakes import FakeLlm, FakeTts, Step, free_port, through
from tests.llama.server import running_llama_server
from tests.llama.tiny_gguf import build
from tests.virtual_time import virtual_time

MCP_SERVER = """
import sys

from mcp.server import MCPServer

server = MCPServer("weights")


@server.tool()
def weigh(thing: str) -> str:
    "Say how heavy a thing is."
    return f"A {thing} weighs five pounds."


@server.tool()
async def measure(thing: str) -> str:
    "Say how long a thing is, after a long time."
    import anyio

    await anyio.sleep(600)
    return "It is long."


server.run(*sys.argv[1:2] or ["stdio"], **({"port": int(sys.argv[2])} if sys.argv[2:] else {}))
"""


async def converse(url: str, context: LLMContext, steps: list[Step], **options: Any) -> list[str]:
    """What the voice was asked to say while the bot answers into `context`."""
    llm = LlamaCppChunkedLLMService(base_url=url, **options)
    _, assistant = LLMContextAggregatorPair(context)
    async with FakeTts(delay_s=0.01) as tts:
        voice = MagpieWebSocketTTSService(url=tts.url)
        await through([llm, voice, assistant], [SleepFrame(0.3), LLMContextFrame(context), *steps])
        return [text for text, _ in tts.segments]


def asked(question: str, *tools: Any) -> LLMContext:
    return LLMContext([{"role": "user", "content": question}], tools=list(tools))


def replied(context: LLMContext) -> Callable[[], Awaitable[None]]:
    """A step that waits until the bot has said something."""

    async def wait() -> None:
        async with asyncio.timeout(20):
            while True:
                last = context.get_messages()[-1]
                if isinstance(last, dict) and last["role"] == "assistant" and last.get("content"):
                    return
                await asyncio.sleep(0.02)

    return wait


def results(context: LLMContext) -> list[Any]:
    return [
        json.loads(m["content"])  # type: ignore[index, arg-type]
        for m in context.get_messages()
        if isinstance(m, dict) and m.get("role") == "tool"
    ]


def calls(request: dict[str, Any]) -> list[dict[str, Any]]:
    """What the model had called when it was asked this."""
    return [call for message in request["messages"] for call in message.get("tool_calls", ())]


def slow(seconds: float, cancelled: list[bool] | None = None) -> Callable[..., Awaitable[None]]:
    async def look_up(params: FunctionCallParams, word: str) -> None:
        """Look a word up.

        Args:
            word: The word.
        """
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if cancelled is not None:
                cancelled.append(True)
            raise
        await params.result_callback({"meaning": word})

    return checked(look_up)


# --------------------------------------------------------------------------------------- built in


@pytest.mark.parametrize(
    ("value", "source", "target", "result"),
    [
        (5, "mile", "km", 8.04672),
        (100, "degF", "degC", 37.777778),
        (2, "pound", "gram", 907.18474),
        ("3", "cup", "liter", 0.709765),
    ],
)
def test_units_are_converted(value: Any, source: str, target: str, result: float) -> None:
    assert converted(value, source, target)["value"] == pytest.approx(result, rel=1e-5)


@pytest.mark.parametrize(("source", "target"), [("mile", "kg"), ("flurb", "km"), ("", "km"), ("1/0", "m")])
def test_a_conversion_that_cannot_be_made_says_why(source: str, target: str) -> None:
    assert "cannot convert" in converted(1, source, target)["error"]


def test_a_model_asks_for_the_time_and_answers_with_it(tmp_path: Path) -> None:
    call = '<tool_call>\n{"name": "get_current_time", "arguments": {"timezone": "Asia/Tokyo"}}\n</tool_call>'
    scripts = [("clock", call), ("Tokyo", "Late already, go to bed.")]
    context = asked("read the clock", BUILT_IN["time"])

    async def scenario(url: str) -> list[str]:
        return await converse(url, context, [replied(context), SleepFrame(0.1)])

    with running_llama_server(build(tmp_path / "time.gguf", scripts=scripts)) as url:
        said = asyncio.run(scenario(url))
    [result] = results(context)
    assert result["timezone"] == "Asia/Tokyo"
    assert result["time"].count(":") == 1
    assert said == ["Late already, go to bed."]


# ------------------------------------------------------------------------------------ conversation


@virtual_time
async def test_a_tool_that_takes_a_moment_is_spoken_over_and_a_quick_one_is_not() -> None:
    said = {}
    for seconds in (0.1, 3.0):
        async with FakeLlm("It means a lot.") as llm:
            llm.tool_call = ("look_up", '{"word": "love"}')
            context = asked("What is love?", slow(seconds))
            said[seconds] = await converse(
                llm.url, context, [replied(context), SleepFrame(9)], while_tools_run="One moment."
            )
        assert results(context) == [{"meaning": "love"}]
    assert said == {0.1: ["It means a lot."], 3.0: ["One moment.", "It means a lot."]}
    assert not any(m.get("content") == "One moment." for m in context.get_messages())  # type: ignore[union-attr]


@virtual_time
async def test_an_interruption_cancels_the_tool_and_what_would_be_said_of_it() -> None:
    cancelled: list[bool] = []
    async with FakeLlm() as llm:
        llm.tool_call = ("look_up", '{"word": "love"}')
        context = asked("What is love?", slow(60.0, cancelled))
        steps: list[Step] = [SleepFrame(0.4), InterruptionFrame(), SleepFrame(5)]
        said = await converse(llm.url, context, steps, while_tools_run="One moment.")
    assert cancelled == [True]
    assert said == []
    assert len(llm.requests) == 1


@virtual_time
@pytest.mark.parametrize(
    "thoughts",
    [
        pytest.param([{"reasoning_content": "Hm, "}, {"reasoning_content": "love."}], id="llama.cpp"),
        pytest.param([{"reasoning": "Hm, "}, {"reasoning": "love."}], id="vLLM"),
        pytest.param([{"content": "<think>Hm, "}, {"content": "love.</think>\n\n"}], id="tags"),
    ],
)
async def test_thoughts_before_a_call_and_before_its_answer_are_neither_said_nor_kept(
    thoughts: list[dict[str, str]],
) -> None:
    async with FakeLlm("It means a lot.") as llm:
        llm.tool_call, llm.thoughts = ("look_up", '{"word": "love"}'), tuple(thoughts)
        context = asked("What is love?", slow(0.1))
        settings = LlamaCppChunkedLLMService.Settings(thinking_tokens=64)
        said = await converse(llm.url, context, [replied(context), SleepFrame(5)], settings=settings)
    assert said == ["It means a lot."]
    assert results(context) == [{"meaning": "love"}]
    assert len(llm.requests) == 2
    assert "Hm" not in json.dumps([llm.requests, context.get_messages()])
    assert all(request["reasoning_budget_tokens"] == 64 for request in llm.requests)


@virtual_time
@pytest.mark.parametrize("arguments", ['{"wort": "love"}', "{}"])
async def test_a_wrong_call_is_told_to_the_model_which_goes_on(arguments: str) -> None:
    async with FakeLlm("Let me try again.") as llm:
        llm.tool_call = ("look_up", arguments)
        context = asked("What is love?", slow(0.0))
        said = await converse(llm.url, context, [replied(context), SleepFrame(5)])
    assert said == ["Let me try again."]
    assert "word" in json.dumps(results(context))


@virtual_time
@pytest.mark.parametrize("arguments", ["no json", '["love"]', '{"word": "lo', '{"word": "love"}}'])
async def test_a_call_with_broken_arguments_is_not_run_but_told_to_the_model(arguments: str) -> None:
    called: list[dict[str, Any]] = []

    async def look_up(params: FunctionCallParams) -> None:
        called.append(dict(params.arguments))
        await params.result_callback({"meaning": "nothing"})

    schema = FunctionSchema("look_up", "Look up.", {}, [], handler=look_up)
    async with FakeLlm("Let me try again.") as llm:
        llm.tool_call = ("look_up", arguments)
        context = asked("What is love?", schema)
        said = await converse(llm.url, context, [replied(context), SleepFrame(5)])
    assert said == ["Let me try again."]
    assert called == []
    assert results(context) == [{"error": f"not called: the arguments are no JSON object: {arguments}"}]
    assert len(llm.requests) == 2


@virtual_time
async def test_a_tool_that_does_not_exist_is_told_to_the_model() -> None:
    async with FakeLlm("I cannot do that.") as llm:
        llm.tool_call = ("fly", "{}")
        context = asked("Fly!", slow(0.0))
        said = await converse(llm.url, context, [replied(context), SleepFrame(5)])
    assert said == ["I cannot do that."]


@virtual_time
@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "raises"])
async def test_a_tool_that_hangs_or_raises_is_told_to_the_model_which_goes_on(hangs: bool) -> None:
    async def look_up(params: FunctionCallParams) -> None:
        await asyncio.sleep(1000.0 if hangs else 0.1)
        raise RuntimeError("the dictionary burns")

    schema = FunctionSchema("look_up", "Look up.", {}, [], handler=look_up)
    async with FakeLlm("I could not find it.") as llm:
        llm.tool_call = ("look_up", "{}")
        context = asked("What is love?", schema)
        said = await converse(llm.url, context, [SleepFrame(TOOL_TIMEOUT_S + 5)])
        [answer] = [m for m in llm.requests[-1]["messages"] if m["role"] == "tool"]
    assert said == ["I could not find it."]
    assert len(llm.requests) == 2
    assert answer["content"] not in ("IN_PROGRESS", "COMPLETED")


# -------------------------------------------------------------------------------------------- MCP


@asynccontextmanager
async def over_http(script: Path) -> AsyncIterator[dict[str, Any]]:
    """The script's server, as a process on loopback."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), "streamable-http", str(port), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield {"url": f"http://127.0.0.1:{port}/mcp"}
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def over_stdio(script: Path) -> AsyncIterator[dict[str, Any]]:
    yield {"command": sys.executable, "args": [str(script)]}


Way = Callable[[Path], AbstractAsyncContextManager[dict[str, Any]]]


@asynccontextmanager
async def weighing(way: Way, folder: Path) -> AsyncIterator[tuple[list[Any], FakeLlm]]:
    """Tools, among them those of MCP_SERVER, and a model to use them."""
    script = folder / "weights.py"
    script.write_text(MCP_SERVER)
    async with (
        way(script) as server,
        toolbox(["units"], {"weights": server}) as tools,
        FakeLlm("Five pounds.") as llm,
    ):
        yield tools, llm


@pytest.mark.parametrize("way", [over_stdio, over_http])
async def test_tools_of_an_mcp_server_are_used_like_any_other(tmp_path: Path, way: Way) -> None:
    async with weighing(way, tmp_path) as (tools, llm):
        assert len(tools) == 3
        llm.tool_call = ("weigh", '{"thing": "cat"}')
        context = asked("How heavy is a cat?", *tools)
        said = await converse(llm.url, context, [replied(context), SleepFrame(0.2)])
    assert said == ["Five pounds."]
    assert "A cat weighs five pounds." in json.dumps(results(context))
    offered = [tool["function"]["name"] for tool in llm.requests[0]["tools"]]
    assert offered == ["convert_units", "weigh", "measure"]


@pytest.mark.parametrize("way", [over_stdio, over_http])
async def test_an_interruption_gives_up_a_call_of_an_mcp_server_which_takes_the_next(
    tmp_path: Path, way: Way
) -> None:
    async with weighing(way, tmp_path) as (tools, llm):
        llm.tool_call = ("measure", '{"thing": "snake"}')
        context = asked("How long is a snake?", *tools)

        async def ask_something_else() -> None:
            assert len(llm.requests) == 1, "the first call is not over"
            llm.tool_call = ("weigh", '{"thing": "snake"}')
            context.add_message({"role": "user", "content": "How heavy is it then?"})

        steps = [SleepFrame(0.5), InterruptionFrame(), SleepFrame(0.2), ask_something_else]
        said = await converse(llm.url, context, [*steps, LLMContextFrame(context), replied(context)])
    assert said == ["Five pounds."]
    assert [call["function"]["name"] for call in calls(llm.requests[-1])] == ["measure", "weigh"]
    answers = [m["content"] for m in llm.requests[-1]["messages"] if m["role"] == "tool"]
    assert "CANCELLED" in answers[0]
    assert "five pounds" in answers[1]


async def test_an_mcp_server_that_is_away_costs_its_tools_only(warnings: list[str]) -> None:
    servers = {"away": {"command": sys.executable, "args": ["-c", "raise SystemExit(3)"]}}
    async with toolbox(["time"], servers) as tools:
        assert tools == [BUILT_IN["time"]]
    assert any("away" in message for message in warnings)


async def test_a_server_that_makes_no_sense_is_refused_with_what_does() -> None:
    with pytest.raises(ConfigurationError, match="command"):
        async with toolbox([], {"odd": {"commando": "x"}}):
            pass
