"""What a llama.cpp server does, asked of the genuine one and of the built-in responder alike."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from nemotron_speech.protocol.llama.api import (
    ChatRequest,
    CompletionRequest,
    FinishReason,
    Progress,
    ServerError,
    TextDelta,
    parse_error,
    parse_props,
)
from tests.llama.client import (
    ask,
    events_of,
    finish_of,
    get_json,
    only,
    open_answer,
    post,
    text_of,
    until,
)

STORY = ({"role": "user", "content": "tell me a story"},)
ENDLESS = ChatRequest(STORY, id_slot=0, extra={"ignore_eos": True})
LONG = "<|im_start|>user\ntell me a story<|im_end|>\n<|im_start|>assistant\n<think></think>"


def chat(text: str = "hello", **options: object) -> ChatRequest:
    return ChatRequest([{"role": "user", "content": text}], temperature=0.0, **options)  # type: ignore[arg-type]


async def test_it_says_what_it_is(server: str) -> None:
    assert (await get_json(f"{server}/health"))["status"] == "ok"
    _, body = await post_get(f"{server}/props")
    props = parse_props(body)
    assert props.total_slots == 2
    assert props.n_ctx >= 4096
    models = await get_json(f"{server}/v1/models")
    assert models["data"][0]["id"] == props.model
    assert [slot["id"] for slot in await get_json(f"{server}/slots")] == [0, 1]


async def post_get(url: str) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.read()


@pytest.mark.parametrize(
    "name", ["prompt_tokens_total", "tokens_predicted_total", "requests_processing", "requests_deferred"]
)
async def test_metrics_have_llama_cpps_names(server: str, name: str) -> None:
    status, body = await post_get(f"{server}/metrics")
    assert status == 200
    assert f"\nllamacpp:{name} ".encode() in body


async def test_a_chat_answer_is_streamed_in_pieces_and_counted(server: str) -> None:
    events = await ask(server, chat("hello", id_slot=0))
    pieces = [event for event in events if isinstance(event, TextDelta)]
    finish = finish_of(events)
    assert text_of(events).startswith("Hello")
    assert len(pieces) >= 5
    assert finish.reason is FinishReason.STOP
    assert finish.completion_tokens >= len(pieces)
    assert finish.prompt_tokens > 0
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[-1].processed == progress[-1].total == finish.prompt_tokens


async def test_the_same_answer_comes_in_one_piece(server: str) -> None:
    streamed = text_of(await ask(server, chat("hello")))
    body = chat("hello").body() | {"stream": False}
    status, answer = await post(f"{server}/v1/chat/completions", json.dumps(body).encode())
    assert status == 200
    whole = json.loads(answer)
    assert whole["choices"][0]["message"]["content"] == streamed
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["total_tokens"] == (
        whole["usage"]["prompt_tokens"] + whole["usage"]["completion_tokens"]
    )


async def test_the_token_limit_ends_an_answer_with_length(server: str) -> None:
    finish = finish_of(await ask(server, chat("tell me a story", max_tokens=3)))
    assert (finish.reason, finish.completion_tokens) == (FinishReason.LENGTH, 3)


async def test_chunks_put_together_are_the_whole_answer_and_each_evaluates_one_token(server: str) -> None:
    request = chat("tell me a story", id_slot=1)
    whole = text_of(await ask(server, request))
    text, reason, evaluated = "", FinishReason.LENGTH, []
    chunk = ChatRequest(request.messages, temperature=0.0, id_slot=1, max_tokens=9)
    while reason is FinishReason.LENGTH and len(evaluated) < 60:
        events = await ask(server, chunk.continuation(text) if text else chunk)
        text += text_of(events)
        finish = finish_of(events)
        reason = finish.reason
        evaluated.append(finish.prompt_tokens - finish.cached_tokens)
    assert text == whole
    assert len(evaluated) >= 4
    assert set(evaluated[1:]) == {1}


async def test_completion_chunks_by_prompt_are_the_whole_answer_too(server: str) -> None:
    request = CompletionRequest(LONG, id_slot=1, temperature=0.0)
    whole = text_of(await ask(server, request))
    chunk = CompletionRequest(LONG, id_slot=1, n_predict=7, temperature=0.0)
    text, reason, evaluated = "", FinishReason.LENGTH, []
    while reason is FinishReason.LENGTH and len(evaluated) < 60:
        events = await ask(server, chunk)
        finish = finish_of(events)
        reason, text, chunk = finish.reason, text + text_of(events), chunk.continuation(text_of(events))
        evaluated.append(finish.prompt_tokens - finish.cached_tokens)
    assert text == whole
    assert set(evaluated[1:]) == {1}


async def test_a_stop_word_ends_a_completion_before_itself(server: str) -> None:
    whole = text_of(await ask(server, CompletionRequest(LONG, temperature=0.0)))
    stop = whole.split()[6]
    events = await ask(server, CompletionRequest(LONG, temperature=0.0, stop=[stop]))
    assert finish_of(events).reason is FinishReason.STOP
    assert text_of(events) == whole[: whole.index(stop)]


async def test_the_next_turn_finds_the_former_one_in_the_cache(server: str) -> None:
    first = [{"role": "user", "content": "hello, first turn"}]
    answer = text_of(await ask(server, ChatRequest(first, id_slot=0, temperature=0.0)))
    second = [*first, {"role": "assistant", "content": answer}, {"role": "user", "content": "hello again"}]
    finish = finish_of(await ask(server, ChatRequest(second, id_slot=0, temperature=0.0)))
    new_tokens = finish.prompt_tokens - finish.cached_tokens
    assert finish.cached_tokens > 20
    assert new_tokens < 40


async def test_the_same_prompt_again_evaluates_one_token(server: str) -> None:
    request = chat("hello, the same twice", id_slot=0, max_tokens=1)
    await ask(server, request)
    finish = finish_of(await ask(server, request))
    assert finish.prompt_tokens - finish.cached_tokens == 1


async def test_without_the_cache_the_whole_prompt_is_evaluated(server: str) -> None:
    request = chat("hello, no cache", id_slot=0, cache_prompt=False)
    await ask(server, request)
    assert finish_of(await ask(server, request)).cached_tokens == 0


async def test_a_warm_up_leaves_the_messages_in_the_cache(server: str) -> None:
    request = chat("hello, these words have been evaluated before they are asked", id_slot=1)
    await ask(server, request.warm_up())
    finish = finish_of(await ask(server, request))
    assert finish.prompt_tokens - finish.cached_tokens < finish.prompt_tokens / 2


async def test_two_conversations_on_two_slots_do_not_mix(server: str) -> None:
    texts = ("hello", "tell me a story")
    alone = [text_of(await ask(server, chat(text))) for text in texts]
    for _ in range(5):
        both = await asyncio.gather(*(ask(server, chat(text, id_slot=i)) for i, text in enumerate(texts)))
        assert [text_of(events) for events in both] == alone


async def predicted_total(url: str) -> int:
    _, body = await post_get(f"{url}/metrics")
    (line,) = [line for line in body.decode().splitlines() if line.startswith(PREDICTED_TOTAL)]
    return int(line.split()[1])


PREDICTED_TOTAL = "llamacpp:tokens_predicted_total "


@pytest.mark.e2e
async def test_closing_the_connection_stops_the_answer_and_frees_the_slot(long_server: str) -> None:
    whole = finish_of(await ask(long_server, ENDLESS)).completion_tokens
    assert whole > 100
    before = await predicted_total(long_server)
    for _ in range(3):
        async with open_answer(long_server, ENDLESS) as events:
            while not isinstance(await anext(events), TextDelta):
                pass
        assert await until(long_server, lambda busy: not busy) < 5
    assert await predicted_total(long_server) - before < 3 * whole / 2


async def test_a_request_for_a_busy_slot_waits_and_the_other_slot_serves(long_server: str) -> None:
    ended: list[str] = []

    async def story() -> None:
        async with open_answer(long_server, ENDLESS) as events:
            await anext(events)
            started.set()
            await release.wait()
        ended.append("story")

    async def short(name: str, slot: int) -> None:
        assert finish_of(await ask(long_server, chat("hello", id_slot=slot, max_tokens=2)))
        ended.append(name)

    started, release = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(story())
        await started.wait()
        tasks.create_task(short("same slot", 0))
        await short("other slot", 1)
        assert ended == ["other slot"]
        release.set()
    assert sorted(ended[1:]) == ["same slot", "story"]


async def test_many_interruptions_in_a_row_leave_a_server_that_answers(server: str) -> None:
    expected = text_of(await ask(server, chat("hello", id_slot=0)))
    for number in range(40):
        async with open_answer(server, ChatRequest(STORY, id_slot=0, temperature=0.0)) as events:
            for _ in range(number % 4):
                await anext(events)
    assert text_of(await ask(server, chat("hello", id_slot=0))) == expected


async def test_a_prompt_longer_than_a_slot_is_refused_with_the_numbers(server: str) -> None:
    (error,) = await ask(server, chat("word " * 9000))
    assert isinstance(error, ServerError)
    assert error.is_context_overflow
    assert error.code == 400
    assert error.prompt_tokens > error.context_tokens > 0


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/v1/chat/completions", b"{", "invalid_request_error"),
        ("/v1/chat/completions", b"{}", "invalid_request_error"),
        ("/v1/chat/completions", b'{"messages":"hi"}', "invalid_request_error"),
        (
            "/v1/chat/completions",
            b'{"messages":[{"role":"user","content":"x"}],"max_tokens":"x"}',
            "invalid_request_error",
        ),
        ("/completion", b"{}", "invalid_request_error"),
        ("/nowhere", b"{}", "not_found_error"),
    ],
)
async def test_bad_requests_are_refused_in_llama_cpps_words(
    server: str, path: str, body: bytes, kind: str
) -> None:
    status, answer = await post(server + path, body)
    error = parse_error(status, answer)
    assert (status, error.type) == (404 if kind == "not_found_error" else 400, kind)
    assert error.code == status


async def test_the_template_rendered_is_the_prompt_of_the_chat(server: str) -> None:
    body = json.dumps(chat("hello").body()).encode()
    _, answer = await post(f"{server}/apply-template", body)
    prompt = json.loads(answer)["prompt"]
    by_prompt = text_of(await ask(server, CompletionRequest(prompt, temperature=0.0)))
    assert by_prompt == text_of(await ask(server, chat("hello")))


async def test_an_answer_that_is_not_read_to_its_end_can_be_asked_again(server: str) -> None:
    first = [event async for event in events_of(server, chat("hello"))]
    again = [event async for event in events_of(server, chat("hello"))]
    assert text_of(first) == text_of(again)
    assert only(type(finish_of(again)), again)
