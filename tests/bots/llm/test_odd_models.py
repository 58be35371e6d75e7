"""Language models that answer oddly, say nothing, or hang: what the caller hears and the model is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import Frame, InterruptionFrame, LLMContextFrame
from pipecat.services.llm_service import FunctionCallParams
from pipecat.tests.utils import SleepFrame

from nemotron_speech.protocol.llama.answer_words import NOTHING_TO_SAY
from pipecat_bots.context.assistant import AssistantAggregator
from pipecat_bots.context.user import Conversation
from pipecat_bots.llama_cpp_chunked_llm import APOLOGY, LlamaCppChunkedLLMService
from pipecat_bots.llm.backpressure import streamed
from pipecat_bots.llm.waiting import NOTICE, ModelPatience
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from pipecat_bots.openai_llm import NvidiaOpenAILLMService
from tests.bots.fakes import FakeServer, FakeTts, Step, through
from tests.virtual_time import virtual_time

REPLY = "The blue lamp stands on the table."
Script = Callable[["OddLlm", web.StreamResponse, dict[str, Any]], Any]


class OddLlm(FakeServer):
    """A server that answers as its scripts say, one after the other, the last one again and again."""

    def __init__(self, *scripts: Script) -> None:
        super().__init__()
        self._scripts = list(scripts)
        self.requests: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://{self.authority}"

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self._fine),
            web.get("/v1/models", self._fine),
            web.post("/v1/chat/completions", self._chat),
        ]

    async def _fine(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
        self.requests.append(body)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await script(self, response, body)
        return response


async def send(response: web.StreamResponse, *chunks: Any) -> None:
    for chunk in chunks:
        text = chunk if isinstance(chunk, str) else json.dumps(chunk)
        await response.write(f"data: {text}\n\n".encode())


def chunk(delta: Any, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def says(text: str, *, token_s: float = 0.02) -> Script:
    """Answer with a text, word by word."""

    async def script(_: OddLlm, response: web.StreamResponse, __: dict[str, Any]) -> None:
        for word in text.split(" ") if text else ():
            await send(response, chunk({"content": f"{word} "}))
            await asyncio.sleep(token_s)
        await send(response, chunk({}, "stop"), "[DONE]")

    return script


def sends(*chunks: Any) -> Script:
    """Answer with chunks as they are."""

    async def script(_: OddLlm, response: web.StreamResponse, __: dict[str, Any]) -> None:
        await send(response, *chunks)

    return script


def hangs(*chunks: Any, ping_s: float | None = None) -> Script:
    """Answer with chunks and nothing more, but comments if a time between them is given."""

    async def script(_: OddLlm, response: web.StreamResponse, __: dict[str, Any]) -> None:
        await send(response, *chunks)
        for _ in range(30):
            await asyncio.sleep(ping_s or 10.0)
            with suppress(ConnectionError):
                await response.write(b": ping\n\n" if ping_s else b"")

    return script


def llama_cpp(llm: OddLlm, **options: Any) -> LlamaCppChunkedLLMService:
    return LlamaCppChunkedLLMService(base_url=llm.url, strategy=streamed(), **options)


def chunked(llm: OddLlm, **options: Any) -> LlamaCppChunkedLLMService:
    return LlamaCppChunkedLLMService(base_url=llm.url, **options)


def vllm(llm: OddLlm, **options: Any) -> LlamaCppChunkedLLMService:
    return NvidiaOpenAILLMService(base_url=f"{llm.url}/v1", model="m", **options)


SERVICES = pytest.mark.parametrize("service", [llama_cpp, chunked, vllm])


class Call:
    """A conversation with a model, and what was heard of it."""

    def __init__(self, *tools: Any) -> None:
        self.context = Conversation([], tools=list(tools)) if tools else Conversation([])
        self.frames: list[Frame] = []
        self.asked_of_the_voice: list[str] = []
        self.looks: list[list[str]] = []
        self._tts: FakeTts | None = None

    async def look(self) -> None:
        """Note what the voice was asked for so far."""
        assert self._tts is not None
        self.looks.append([text for text, _ in self._tts.segments])

    async def run(self, service: LlamaCppChunkedLLMService, *steps: Step) -> None:
        async with FakeTts(delay_s=0.02) as self._tts:
            tts = self._tts
            voice = MagpieWebSocketTTSService(url=tts.url)
            speaker = AssistantAggregator(self.context)
            self.frames, _ = await through([service, voice, speaker], [SleepFrame(0.3), *steps])
            self.asked_of_the_voice = [text for text, _ in tts.segments]

    def asks(self, text: str = "What is there?") -> Callable[[], Any]:
        async def ask() -> None:
            self.context.add_message({"role": "user", "content": text})

        return ask

    @property
    def spoken(self) -> str:
        return " ".join(self.asked_of_the_voice)

    @property
    def answers(self) -> list[str]:
        return [
            str(m["content"])
            for m in self.context.get_messages()
            if isinstance(m, dict) and m.get("role") == "assistant" and m.get("content")
        ]


async def one_turn(
    service: Callable[..., LlamaCppChunkedLLMService], script: Script, wait_s: float = 12.0, **options: Any
) -> Call:
    """Ask one question."""
    call = Call()
    async with OddLlm(script) as llm:
        steps: list[Step] = [call.asks(), LLMContextFrame(call.context), SleepFrame(wait_s)]
        await call.run(service(llm, **options), *steps)
    return call


# ---------------------------------------------------------------------------------- nothing to say

STOP = chunk({}, "stop")
WORDLESS: dict[str, Script] = {
    "an empty text": says(""),
    "no chunks": sends("[DONE]"),
    "spaces": sends(chunk({"content": " \n  \n "}), STOP, "[DONE]"),
    "an ellipsis": says("..."),
    "an emoji": says("👍 🎉"),
    "code": says("```python\nprint(1)\n```"),
    "thoughts": sends(chunk({"reasoning_content": "Hm, the secret."}), chunk({}, "length"), "[DONE]"),
    "a refusal": sends(chunk({"content": None, "refusal": "I cannot."}), STOP, "[DONE]"),
    "thoughts in tags": says("<think>The secret plan.</think>"),
    "a call of no tool": says('<tool_call>{"name": "secret", "arguments": {}}</tool_call>'),
    "special tokens": says("<|im_end|></s>"),
}


@SERVICES
@pytest.mark.parametrize("shape", WORDLESS)
@virtual_time
async def test_an_answer_without_words_is_said_to_be_one(
    shape: str, service: Callable[..., LlamaCppChunkedLLMService]
) -> None:
    call = await one_turn(service, WORDLESS[shape])
    assert call.asked_of_the_voice == [NOTHING_TO_SAY]
    assert call.answers[-1].endswith(NOTHING_TO_SAY)
    assert call.answers[-1].removesuffix(NOTHING_TO_SAY)[-1:] in ("", " ")


@virtual_time
async def test_what_is_said_in_place_of_nothing_is_a_setting() -> None:
    call = await one_turn(llama_cpp, says("..."), nothing_to_say="Pardon?")
    assert call.asked_of_the_voice == ["Pardon?"]
    call = await one_turn(llama_cpp, says("..."), nothing_to_say="")
    assert call.asked_of_the_voice == []


# ----------------------------------------------------------------------------------------- hanging

HANGING: dict[str, Script] = {
    "nothing comes": hangs(),
    "only comments come": hangs(ping_s=3.0),
    "only empty chunks come": hangs(chunk({"role": "assistant", "content": ""})),
}


@SERVICES
@pytest.mark.parametrize("shape", HANGING)
@virtual_time
async def test_a_model_that_hangs_is_spoken_for_after_8_s_and_given_up_after_20(
    shape: str, service: Callable[..., LlamaCppChunkedLLMService]
) -> None:
    call = Call()
    async with OddLlm(HANGING[shape]) as llm:
        steps: list[Step] = [call.asks(), LLMContextFrame(call.context)]
        for pause_s in (7.0, 2.5, 9.5, 3.0, 60.0):
            steps += [SleepFrame(pause_s), call.look]
        await call.run(service(llm), *steps)
    both = [NOTICE, APOLOGY]
    assert call.looks == [[], [NOTICE], [NOTICE], both, both], "and who hangs is not asked again"


@SERVICES
@virtual_time
async def test_a_model_that_hangs_within_an_answer_is_given_up_as_soon(
    service: Callable[..., LlamaCppChunkedLLMService],
) -> None:
    words = [chunk({"content": f"{word} "}) for word in REPLY.split()]
    call = Call()
    async with OddLlm(hangs(*words), hangs()) as llm:
        steps: list[Step] = [call.asks(), LLMContextFrame(call.context), SleepFrame(60)]
        await call.run(service(llm), *steps)
    assert call.spoken == f"The blue lamp stands on the {NOTICE} {APOLOGY}", "what may be half a word is not"


@SERVICES
@virtual_time
async def test_a_model_that_is_slow_is_waited_for(
    service: Callable[..., LlamaCppChunkedLLMService],
) -> None:
    async def script(_: OddLlm, response: web.StreamResponse, body: dict[str, Any]) -> None:
        await asyncio.sleep(12.0)
        await says(REPLY)(_, response, body)

    call = await one_turn(service, script, 30.0)
    assert call.spoken == f"{NOTICE} {REPLY}"
    assert call.answers == [REPLY]


@virtual_time
async def test_limits_of_the_wait_are_settings() -> None:
    patience = ModelPatience(2.0, 4.0, "Moment.")
    call = await one_turn(llama_cpp, hangs(), 6.0, patience=patience)
    assert call.asked_of_the_voice == ["Moment.", APOLOGY]
    call = await one_turn(llama_cpp, hangs(), 6.0, patience=ModelPatience(2.0, 4.0, ""))
    assert call.asked_of_the_voice == [APOLOGY]


@virtual_time
async def test_thoughts_that_go_on_are_a_sign_of_the_model() -> None:
    async def script(_: OddLlm, response: web.StreamResponse, body: dict[str, Any]) -> None:
        for _ in range(10):
            await send(response, chunk({"reasoning_content": "Hm. "}))
            await asyncio.sleep(4.0)
        await says(REPLY)(_, response, body)  # type: ignore[arg-type]

    call = await one_turn(llama_cpp, script, 60.0)
    assert call.spoken == f"{NOTICE} {REPLY}"


@virtual_time
async def test_a_server_that_keeps_an_ended_answer_open_has_answered() -> None:
    call = await one_turn(llama_cpp, hangs(chunk({"content": REPLY}), STOP), 40.0)
    assert call.asked_of_the_voice == [REPLY]


# ---------------------------------------------------------------------------------------- thoughts

PLAN = "The secret plan is to greet."
THOUGHTS = {
    "tags": f"<think>\n{PLAN}\n</think>\n\n{REPLY}",
    "tags within": f"Sure. <think>{PLAN}</think> {REPLY}",
    "thinking": f"<thinking>{PLAN}</thinking>{REPLY}",
    "reasoning": f"<reasoning>{PLAN}</reasoning>\n{REPLY}",
    "capitals": f"<THINK>{PLAN}</THINK>{REPLY}",
    "an orphan": f"Okay, the secret plan is to greet the user.\n</think>\n\n{REPLY}",
    "channels": (
        f"<|channel|>analysis<|message|>{PLAN}<|end|><|start|>assistant<|channel|>final<|message|>{REPLY}"
    ),
    "a label": f"Reasoning: the secret plan is to greet.\n\nAnswer: {REPLY}",
    "special tokens": f"{REPLY}<|im_end|><|endoftext|></s>",
    "a call": f'{REPLY} <tool_call>{{"name": "secret", "arguments": {{}}}}</tool_call>',
}


@SERVICES
@pytest.mark.parametrize("shape", THOUGHTS)
@virtual_time
async def test_thoughts_are_neither_spoken_nor_kept(
    shape: str, service: Callable[..., LlamaCppChunkedLLMService]
) -> None:
    call = await one_turn(service, says(THOUGHTS[shape]))
    said = f"Sure. {REPLY}" if shape == "tags within" else REPLY
    assert call.spoken == said
    assert [answer.strip() for answer in call.answers] == [said]


ORPHAN = f"A lamp is wanted by them. {PLAN} It has to be a blue one.</think>{REPLY}"


@virtual_time
async def test_an_unforeseen_end_of_thoughts_stops_them_and_the_model_never_sees_them_again() -> None:
    call = Call()
    async with OddLlm(says(ORPHAN, token_s=0.2), says(ORPHAN)) as llm:
        turn: list[Step] = [call.asks(), LLMContextFrame(call.context), SleepFrame(20)]
        await call.run(llama_cpp(llm), *turn, *turn)
    assert call.asked_of_the_voice[0].startswith("A lamp"), "nobody could know"
    assert call.spoken.endswith(REPLY)
    assert call.spoken.count(REPLY) == 2
    assert "secret" not in json.dumps(llm.requests[1]["messages"])
    assert [m["content"].strip() for m in llm.requests[1]["messages"] if m["role"] == "assistant"] == [REPLY]
    first, second = call.spoken.split(REPLY)[:2]
    assert not second.strip(), "this model's answers begin with thoughts, as is known by now"
    assert len(first) < len(ORPHAN) / 2


# ------------------------------------------------------------------------------------------ tools


def look_up(called: list[dict[str, Any]], seconds: float = 0.0) -> FunctionSchema:
    async def handler(params: FunctionCallParams) -> None:
        called.append(dict(params.arguments))
        await asyncio.sleep(seconds)
        await params.result_callback({"meaning": "much"})

    word = {"word": {"type": "string"}}
    return FunctionSchema("look_up", "Look a word up.", word, ["word"], handler=handler)


WRITTEN = {
    "a tag": '<tool_call>\n{"name": "look_up", "arguments": {"word": "love"}}\n</tool_call>',
    "an object": '{"name": "look_up", "parameters": {"word": "love"}}',
    "TOOL_CALLS": '[TOOL_CALLS][{"name": "look_up", "arguments": {"word": "love"}}]',
    "a function": "<function=look_up><parameter=word>love</parameter></function>",
    "a fence": '```tool_code\nlook_up(word="love")\n```',
    "Python": '[look_up(word="love")]',
}


@SERVICES
@pytest.mark.parametrize("shape", WRITTEN)
@virtual_time
async def test_a_call_written_as_text_is_run_and_not_spoken(
    shape: str, service: Callable[..., LlamaCppChunkedLLMService]
) -> None:
    called: list[dict[str, Any]] = []
    call = Call(look_up(called))
    async with OddLlm(says(WRITTEN[shape]), says(REPLY)) as llm:
        await call.run(service(llm), call.asks(), LLMContextFrame(call.context), SleepFrame(12))
    assert called == [{"word": "love"}]
    assert call.spoken == REPLY
    assert call.answers == [REPLY]
    [result] = [m for m in llm.requests[1]["messages"] if m["role"] == "tool"]
    assert json.loads(result["content"]) == {"meaning": "much"}


def calls(*made: tuple[str | None, str, str]) -> Script:
    """Call tools: id, name and arguments of each."""
    pieces = [
        {"index": n, "id": id, "function": {"name": name, "arguments": arguments}}
        for n, (id, name, arguments) in enumerate(made)
    ]
    return sends(*(chunk({"tool_calls": [piece]}) for piece in pieces), chunk({}, "tool_calls"), "[DONE]")


LOVE, HATE = '{"word": "love"}', '{"word": "hate"}'


@virtual_time
async def test_calls_without_ids_or_with_used_ones_get_their_own() -> None:
    called: list[dict[str, Any]] = []
    call = Call(look_up(called))
    scripts = [calls((None, "look_up", LOVE), ("", "look_up", HATE)), says(REPLY)]
    scripts += [calls(("c1", "look_up", LOVE), ("c1", "look_up", HATE)), says(REPLY)]
    scripts += [calls(("c1", "look_up", LOVE)), says(REPLY)]
    async with OddLlm(*scripts) as llm:
        turn: list[Step] = [call.asks(), LLMContextFrame(call.context), SleepFrame(8)]
        await call.run(llama_cpp(llm), *turn, *turn, *turn)
    assert [arguments["word"] for arguments in called] == ["love", "hate", "love", "hate", "love"]
    messages = llm.requests[-1]["messages"]
    ids = [c["id"] for m in messages for c in m.get("tool_calls", ())]
    assert len(set(ids)) == 5
    assert all(ids)
    assert [m["tool_call_id"] for m in messages if m["role"] == "tool"] == ids


@virtual_time
async def test_a_broken_call_beside_a_whole_one_is_told_and_the_model_asked_once() -> None:
    called: list[dict[str, Any]] = []
    call = Call(look_up(called))
    async with OddLlm(calls(("a", "look_up", '{"word": "lo'), ("b", "look_up", HATE)), says(REPLY)) as llm:
        await call.run(llama_cpp(llm), call.asks(), LLMContextFrame(call.context), SleepFrame(12))
    assert called == [{"word": "hate"}]
    assert len(llm.requests) == 2
    told = {m["tool_call_id"]: m["content"] for m in llm.requests[1]["messages"] if m["role"] == "tool"}
    assert "no JSON object" in told["a"]
    assert "much" in told["b"]
    assert call.spoken == REPLY


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8, 1.2])
@pytest.mark.parametrize("broken", [False, True])
@virtual_time
async def test_nothing_stays_in_progress_whenever_the_user_interrupts(after_s: float, broken: bool) -> None:
    call = Call(look_up([], seconds=0.4))
    first = [chunk({"content": "Let me look that up for you. "})]
    piece = {"index": 0, "id": "a", "function": {"name": "look_up", "arguments": "{" if broken else LOVE}}
    script = sends(*first, chunk({"tool_calls": [piece]}), chunk({}, "tool_calls"), "[DONE]")
    async with OddLlm(script, says(REPLY)) as llm:
        ask: list[Step] = [call.asks(), LLMContextFrame(call.context)]
        rest: list[Step] = [SleepFrame(after_s), InterruptionFrame(), SleepFrame(6)]
        await call.run(llama_cpp(llm), *ask, *rest, *ask, SleepFrame(8))
    assert "IN_PROGRESS" not in json.dumps(call.context.get_messages())
    assert "IN_PROGRESS" not in json.dumps(llm.requests[-1]["messages"])
