"""Answers of language model servers in odd shapes: a good answer is read, a dangerous one is told apart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.errors import PeerError
from nemotron_speech.protocol.llama import (
    ChatAnswer,
    Event,
    Finish,
    FinishReason,
    ServerError,
    TextDelta,
    ToolCallDelta,
)

REPLY = "The blue lamp stands on the table."
WORDS = ["The ", "blue ", "lamp ", "stands ", "on ", "the ", "table."]


def chunk(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def framed(*chunks: Any, before: str = "", done: bool = True) -> bytes:
    lines = [one if isinstance(one, str) else json.dumps(one) for one in chunks]
    return "".join(f"{before}data: {line}\n\n" for line in [*lines, *(["[DONE]"] * done)]).encode()


def told(form: Any = lambda word: {"content": word}) -> list[dict[str, Any]]:
    return [chunk(form(word)) for word in WORDS]


STOP = chunk({}, "stop")
NULL_USAGE = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": 0}
FLOAT_USAGE = {
    "prompt_tokens": 9.0,
    "completion_tokens": 7.5,
    "prompt_tokens_details": {"cached_tokens": 3.5},
}
SHAPES: dict[str, bytes] = {
    "plain": framed(*told(), STOP),
    "usage that is null": framed(*told(), chunk({}, "stop", usage=NULL_USAGE)),
    "usage in floats": framed(*told(), chunk({}, "stop", usage=FLOAT_USAGE)),
    "choices that are null": framed({"choices": None}, *told(), STOP),
    "a delta that is null": framed(*told(), chunk(None, "stop")),
    "empty data": framed(*told(), STOP, before="data:\n\n"),
    "content in parts": framed(*told(lambda word: {"content": [{"type": "text", "text": word}]}), STOP),
    "pings": framed(*told(), STOP, before='event: ping\ndata: {"type": "ping"}\n\n'),
    "a finish reason that is empty": framed(*[chunk({"content": w}, "") for w in WORDS], STOP),
    "no finish reason": framed(*told()),
    "no end mark": framed(*told(), STOP, done=False),
    "one piece": json.dumps(
        {"object": "chat.completion", "choices": [{"message": {"content": REPLY}, "finish_reason": "stop"}]}
    ).encode(),
    "one piece in lines": json.dumps(
        {"choices": [{"message": {"role": "assistant", "content": REPLY}, "finish_reason": "stop"}]}, indent=1
    ).encode(),
}


def read(body: bytes, size: int = 10**9) -> list[Event]:
    answer = ChatAnswer()
    events: list[Event] = []
    for start in range(0, len(body), size):
        events += answer.feed(body[start : start + size])
    return events + answer.end()


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize("size", [1, 7, 10**9])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_good_answer_is_read_whatever_its_shape(shape: str, size: int) -> None:
    events = read(SHAPES[shape], size)
    assert text_of(events) == REPLY
    assert isinstance(events[-1], Finish)
    assert [type(event) for event in events].count(Finish) == 1


def test_counts_in_floats_are_rounded() -> None:
    finish = read(SHAPES["usage in floats"])[-1]
    assert isinstance(finish, Finish)
    assert (finish.prompt_tokens, finish.completion_tokens, finish.cached_tokens) == (9, 8, 4)


@pytest.mark.parametrize("size", [1, 10**9])
def test_halves_of_a_character_are_joined(size: int) -> None:
    halves = [
        '{"choices":[{"delta":{"content":"\\ud83d"}}]}',
        '{"choices":[{"delta":{"content":"\\ude00"}}]}',
    ]
    assert (
        text_of(read(framed(chunk({"content": "Well "}), *halves, *told(), STOP), size)) == f"Well 😀{REPLY}"
    )


def test_half_a_character_alone_is_left_out_of_speech() -> None:
    lone = '{"choices":[{"delta":{"content":"a\\udc00b"}}]}'
    said = text_of(read(framed(lone, STOP)))
    assert said.encode() == "a\ufffdb".encode()


def test_an_error_in_one_piece_keeps_its_reason() -> None:
    message = "request (9000 tokens) exceeds the available context size (4096 tokens)"
    error = {"error": {"code": 400, "message": message, "type": "exceed_context_size_error"}}
    (event,) = read(json.dumps(error).encode())
    assert isinstance(event, ServerError)
    assert event.is_context_overflow


@pytest.mark.parametrize("body", [b"data: [1]\n\n", b'data: "x"\n\n', b"data: {\n\n", b"{", b'{"choices": 3'])
def test_what_is_no_answer_is_the_peers_fault(body: bytes) -> None:
    with pytest.raises(PeerError):
        read(body)


# --------------------------------------------------------------------------------------- tool calls


def call(arguments: Any = None, **fields: Any) -> dict[str, Any]:
    function = {"arguments": arguments} if arguments is not None else {}
    if name := fields.pop("name", None):
        function["name"] = name
    return {**fields, "function": function}


def calls_of(*pieces: dict[str, Any]) -> list[tuple[str, str]]:
    events = read(framed(*[chunk({"tool_calls": [piece]}) for piece in pieces], chunk({}, "tool_calls")))
    found: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            name, arguments = found.setdefault(event.index, ["", ""])
            found[event.index] = [name or event.name, arguments + event.arguments]
    assert isinstance(events[-1], Finish)
    assert events[-1].reason is FinishReason.TOOL_CALLS
    return [(name, arguments) for name, arguments in found.values()]


def test_calls_are_put_together_by_their_index() -> None:
    assert calls_of(
        call(index=0, id="a", name="time", arguments=""),
        call(index=1, id="b", name="units", arguments=""),
        call(index=0, arguments="{}"),
        call(index=1, arguments='{"n": 1}'),
    ) == [("time", "{}"), ("units", '{"n": 1}')]


def test_calls_without_an_index_are_put_together_by_their_id_and_order() -> None:
    assert calls_of(
        call(id="a", name="time", arguments='{"p":'),
        call(arguments=' "x"}'),
        call(id="b", name="units", arguments="{"),
        call(id="b", arguments="}"),
    ) == [("time", '{"p": "x"}'), ("units", "{}")]


def test_two_calls_with_one_index_are_two() -> None:
    assert calls_of(
        call(index=0, id="a", name="time", arguments="{}"),
        call(index=0, id="b", name="units", arguments="{}"),
    ) == [("time", "{}"), ("units", "{}")]


def test_arguments_at_another_index_than_their_id_are_of_the_call_that_was_begun() -> None:
    assert calls_of(call(index=0, id="a", name="time"), call(index=1, arguments="{}")) == [("time", "{}")]


def test_arguments_as_an_object_are_written_as_json() -> None:
    assert calls_of(call(index=0, id="a", name="time", arguments={"place": "Paris"})) == [
        ("time", '{"place": "Paris"}')
    ]


# ---------------------------------------------------------------------------------------- any shape

NULLS = st.none() | st.just("") | st.integers(0, 9) | st.floats(0, 9)
ODD = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.none()
        | st.just([])
        | st.just([{"delta": None}])
        | st.just([{"delta": {"content": None}}]),
        "usage": st.none() | st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens"]), NULLS),
        "timings": st.none(),
        "id": NULLS,
    },
)


@given(st.lists(ODD, max_size=6), st.integers(1, 50))
def test_odd_chunks_between_good_ones_lose_no_word(odd: list[dict[str, Any]], size: int) -> None:
    chunks: list[Any] = []
    for place, one in enumerate(told()):
        chunks += [one, *odd[place : place + 1]]
    try:
        assert text_of(read(framed(*chunks, STOP), size)) == REPLY
    except PeerError:  # a count that is a word is no count
        assert any(isinstance(v, str) for one in odd for v in (one.get("usage") or {}).values())
