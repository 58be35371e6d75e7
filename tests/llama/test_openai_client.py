"""The official OpenAI client against both servers: what a bot on an OpenAI-compatible service relies on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest


@pytest.fixture
async def client(server: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="not-needed", max_retries=0) as client:
        yield client


THINKING_OFF = {"chat_template_kwargs": {"enable_thinking": False}}


async def test_a_stream_gives_text_a_reason_and_the_usage(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="any",
        messages=[{"role": "user", "content": "hello"}],
        stream=True,
        stream_options={"include_usage": True},
        temperature=0,
        extra_body=THINKING_OFF,
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    usage = chunks[-1].usage
    assert text.startswith("Hello")
    assert reasons == ["stop"]
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


async def test_an_answer_in_one_piece_has_the_same_shape(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="any",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
        max_tokens=4,
        temperature=0,
        extra_body=THINKING_OFF,
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4


async def test_the_models_are_listed(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()]


async def test_a_refusal_is_the_clients_own_error(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "word " * 9000}], extra_body=THINKING_OFF
        )
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["type"] == "exceed_context_size_error"


async def test_closing_a_stream_early_leaves_the_server_ready(client: openai.AsyncOpenAI) -> None:
    for _ in range(3):
        stream = await client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "tell me a story"}], stream=True, temperature=0
        )
        async for _chunk in stream:
            break
        await stream.close()
    assert [model.id async for model in client.models.list()]
