"""What only a genuine llama.cpp server with a model can show."""

from __future__ import annotations

import json

import pytest

from nemotron_speech.protocol.llama.api import (
    ChatRequest,
    CompletionRequest,
    Finish,
    FinishReason,
    Progress,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
)
from pipecat_bots.llm.cache.slots import AlternatingSlots, OwnSlot, SlotPolicy
from tests.llama.client import ask, events_of, finish_of, open_answer, text_of
from tests.llama.tiny_gguf import GREETING, SCRIPTS, STORY, THOUGHT

REPLIES = dict(SCRIPTS)
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def chat(text: str, **options: object) -> ChatRequest:
    return ChatRequest([{"role": "user", "content": text}], temperature=0.0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        ("hi", GREETING),
        ("your name?", REPLIES["name"]),
        ("story", STORY),
        ("coffee", REPLIES["coffee"]),
    ],
)
async def test_a_scripted_model_says_its_script(either_llama_server: str, asked: str, reply: str) -> None:
    assert text_of(await ask(either_llama_server, chat(asked))).strip() == reply


async def test_the_line_breaks_that_a_template_puts_first_are_told_from_the_models_words(
    either_llama_server: str,
) -> None:
    events = await ask(either_llama_server, chat("Tell me a story"))
    evaluated = max(n for n, event in enumerate(events) if isinstance(event, Progress))
    texts = [(n, event) for n, event in enumerate(events) if isinstance(event, TextDelta)]
    assert all(event.generated == (n > evaluated) for n, event in texts)
    assert "".join(event.text for _, event in texts if event.generated) == STORY
    assert text_of(events).strip() == STORY


async def test_thoughts_come_apart_from_the_answer_or_not_at_all(either_llama_server: str) -> None:
    thinking = await ask(either_llama_server, chat("hi", thinking=True))
    thoughts = "".join(event.text for event in thinking if isinstance(event, ThoughtDelta))
    assert thoughts.strip() == THOUGHT
    assert text_of(thinking).strip() == GREETING
    silent = await ask(either_llama_server, chat("hi", thinking=False))
    assert not [event for event in silent if isinstance(event, ThoughtDelta)]


async def test_thoughts_end_with_their_budget_and_the_answer_follows(either_llama_server: str) -> None:
    thinking = await ask(either_llama_server, chat("hi", thinking=True, thinking_tokens=3))
    thoughts = "".join(event.text for event in thinking if isinstance(event, ThoughtDelta))
    assert thoughts
    assert THOUGHT.startswith(thoughts.strip())
    assert len(thoughts.split()) <= 3
    assert text_of(thinking).strip() == GREETING


async def test_a_tool_call_arrives_in_pieces_that_make_its_arguments(either_llama_server: str) -> None:
    events = await ask(either_llama_server, chat("what is the weather", tools=[WEATHER_TOOL]))
    pieces = [event for event in events if isinstance(event, ToolCallDelta)]
    assert pieces[0].name == "get_weather"
    assert pieces[0].id
    assert len(pieces) >= 2
    assert json.loads("".join(piece.arguments for piece in pieces)) == {"city": "Paris"}
    assert finish_of(events).reason is FinishReason.TOOL_CALLS


async def test_a_tool_result_is_answered(either_llama_server: str) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    }
    messages = [
        {"role": "user", "content": "what is the weather"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    request = ChatRequest(messages, temperature=0.0, tools=[WEATHER_TOOL])
    assert text_of(await ask(either_llama_server, request)).strip() == REPLIES["sunny"]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
async def test_chunks_that_end_inside_a_character_make_the_whole_text(
    either_llama_server: str, size: int
) -> None:
    """The cup is three tokens of one byte each; every chunk size below four cuts it somewhere.

    With chunks shorter than a character nothing new ever comes, so the caller must ask for more tokens.
    """
    chunk = chat("coffee", id_slot=0, max_tokens=size)
    text, reason, rounds = "", FinishReason.LENGTH, 0
    while reason is FinishReason.LENGTH and rounds < 30:
        events = await ask(either_llama_server, chunk.continuation(text) if text else chunk)
        new, reason, rounds = text_of(events), finish_of(events).reason, rounds + 1
        assert "\ufffd" not in new
        text += new
        if not new and reason is FinishReason.LENGTH:
            chunk = chat("coffee", id_slot=0, max_tokens=(chunk.max_tokens or 0) + 4)
    assert text.strip() == REPLIES["coffee"]


async def test_a_completion_cut_inside_a_character_goes_on_exactly(either_llama_server: str) -> None:
    prompt = "<|im_start|>user\ncoffee<|im_end|>\n<|im_start|>assistant\n<think></think>" + "\n" * 6
    whole = text_of(await ask(either_llama_server, CompletionRequest(prompt, temperature=0.0)))
    assert whole == REPLIES["coffee"]
    for size in (2, 3):
        cut = CompletionRequest(prompt, n_predict=size, id_slot=0, temperature=0.0)
        first = text_of(await ask(either_llama_server, cut))
        rest = CompletionRequest(prompt, id_slot=0, temperature=0.0).continuation(first)
        assert first + text_of(await ask(either_llama_server, rest)) == whole


async def test_interrupted_answers_leave_no_trace_in_later_ones(random_llama_server: str) -> None:
    """The random model's text depends on every token before it: a damaged cache would change it."""
    messages = [{"role": "user", "content": "one two three four five six seven"}]
    asked = ChatRequest(messages, temperature=0.0, id_slot=0, max_tokens=24)
    undisturbed = text_of(await ask(random_llama_server, asked))
    for number in range(12):
        other = ChatRequest(
            [{"role": "user", "content": f"something else {number}"}], temperature=0.0, id_slot=0
        )
        async with open_answer(random_llama_server, other) as events:
            for _ in range(number % 5):
                await anext(events)
        assert text_of(await ask(random_llama_server, asked)) == undisturbed


async def test_the_same_prompt_twice_after_one_token_does_not_crash_a_hybrid_model(
    either_llama_server: str,
) -> None:
    request = chat("story", id_slot=0, max_tokens=1)
    finishes = [finish_of(await ask(either_llama_server, request)) for _ in range(3)]
    assert finishes[-1].prompt_tokens - finishes[-1].cached_tokens <= 4
    assert [event async for event in events_of(either_llama_server, chat("hi"))]


async def test_a_user_turn_sent_again_longer_reuses_what_came_before_it(either_llama_server: str) -> None:
    system = {"role": "system", "content": "You answer briefly. " * 60}
    first = ChatRequest([system, {"role": "user", "content": "what is your"}], temperature=0.0, id_slot=1)
    async with open_answer(either_llama_server, first) as events:
        while not isinstance(await anext(events), TextDelta):
            pass
    messages = [system, {"role": "user", "content": "what is your name"}]
    longer = ChatRequest(messages, temperature=0.0, id_slot=1)
    finish = finish_of(await ask(either_llama_server, longer))
    assert finish.prompt_tokens > 1000
    assert finish.prompt_tokens - finish.cached_tokens <= 80


async def test_an_empty_chat_is_an_answer_and_not_a_crash(either_llama_server: str) -> None:
    events = await ask(either_llama_server, ChatRequest([{"role": "system", "content": ""}], temperature=0.0))
    assert [event for event in events if isinstance(event, Finish)]


async def in_chunks(url: str, policy: SlotPolicy) -> tuple[str, list[int]]:
    """The story in chunks of nine tokens, and how many tokens of prompt each evaluated."""
    text, reason, evaluated, now = "", FinishReason.LENGTH, [], 0.0
    while reason is FinishReason.LENGTH:
        lease = policy.acquire(now)
        now += lease.wait_s
        chunk = chat("story", id_slot=lease.slot, max_tokens=9)
        events = await ask(url, chunk.continuation(text) if text else chunk)
        policy.release(lease.slot, now)
        finish = finish_of(events)
        text, reason = text + text_of(events), finish.reason
        evaluated.append(finish.prompt_tokens - finish.cached_tokens)
    return text, evaluated


async def test_alternating_slots_say_the_same_and_evaluate_more(either_llama_server: str) -> None:
    single, once = await in_chunks(either_llama_server, OwnSlot())
    alternating, twice = await in_chunks(either_llama_server, AlternatingSlots())
    assert single == alternating
    assert single.strip() == STORY
    assert set(once[1:]) == {1}
    assert min(twice[2:-1]) >= 9
