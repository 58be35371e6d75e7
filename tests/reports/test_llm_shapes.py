"""Answers of language model servers in odd shapes: a good answer is read, a dangerous one is told apart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.errors import PeerError
from nemotron_speech.protocol.llama.api import (
    ChatAnswer,
    Event,
    Finish,
    FinishReason,
    ServerError,
    TextDelta,
    ToolCallDelta,
)
from nemotron_speech.protocol.llama.tool_calls import read_arguments

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
    "neither finish reason nor end mark": framed(*told(), done=False),
    "no empty lines between events": framed(*told(), STOP).replace(b"\n\n", b"\n"),
    "no frames, one chunk a line": b"".join(json.dumps(one).encode() + b"\n" for one in [*told(), STOP]),
    "an end mark without an empty line": framed(*told(), STOP).removesuffix(b"\n\n"),
    "spaces around the end mark": framed(*told(), STOP, " [DONE] ", done=False),
    "one choice alone": framed(*[{"choices": one["choices"][0]} for one in told()], STOP),
    "one part of content alone": framed(*told(lambda word: {"content": {"text": word}}), STOP),
    "usage in words": framed(*told(), chunk({}, "stop", usage={"prompt_tokens": "many"})),
    "usage in a list": framed(*told(), chunk({}, "stop", usage=[1, 2])),
    "a finish reason that is an object": framed(*told(), chunk({}, {"type": "stop"})),  # type: ignore[arg-type]
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
            found[event.index] = [name + event.name, arguments + event.arguments]
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


TIME, UNITS = ("time", '{"place": "Paris"}'), ("units", '{"n": 1}')
ASSEMBLED: dict[str, list[dict[str, Any]]] = {
    "whole": [
        call(index=0, id="a", name=TIME[0], arguments=TIME[1]),
        call(index=1, id="b", name=UNITS[0], arguments=UNITS[1]),
    ],
    "one id for all": [
        call(index=0, id="a", name=TIME[0], arguments=TIME[1]),
        call(index=1, id="a", name=UNITS[0], arguments=UNITS[1]),
    ],
    "one id and one index for all": [
        call(index=0, id="a", name=TIME[0], arguments=TIME[1]),
        call(index=0, id="a", name=UNITS[0], arguments=UNITS[1]),
    ],
    "neither ids nor indexes": [
        call(name=TIME[0], arguments='{"place": '),
        call(arguments='"Paris"}'),
        call(name=UNITS[0], arguments=UNITS[1]),
    ],
    "one index and no ids": [
        call(index=0, name=TIME[0], arguments=TIME[1]),
        call(index=0, name=UNITS[0], arguments=UNITS[1]),
    ],
    "another id with each piece": [
        call(index=0, id="a", name=TIME[0], arguments='{"place": '),
        call(index=0, id="b", arguments='"Paris"}'),
        call(index=1, id="c", name=UNITS[0], arguments='{"n": '),
        call(index=1, id="d", name=UNITS[0], arguments="1}"),
    ],
    "name and id again with each piece": [
        call(index=0, id="a", name=TIME[0], arguments=""),
        call(index=0, id="a", name=TIME[0], arguments='{"place": '),
        call(index=0, id="a", name=TIME[0], arguments='"Paris"}'),
        call(index=1, id="b", name=UNITS[0], arguments=UNITS[1]),
    ],
    "a call again as a whole": [
        call(index=0, id="a", name=TIME[0], arguments='{"place": '),
        call(index=0, id="a", arguments='"Paris"}'),
        call(index=0, id="a", name=TIME[0], arguments=TIME[1]),
        call(index=1, id="b", name=UNITS[0], arguments=UNITS[1]),
    ],
    "names in pieces": [
        call(index=0, id="a", name="ti"),
        call(index=0, id="a", name="me", arguments=TIME[1]),
        call(index=1, id="b", name="uni"),
        call(index=1, id="b", name="ts", arguments=UNITS[1]),
    ],
    "pieces in turn": [
        call(index=0, id="a", name=TIME[0], arguments='{"place": '),
        call(index=1, id="b", name=UNITS[0], arguments='{"n": '),
        call(index=0, arguments='"Paris"}'),
        call(index=1, arguments="1}"),
    ],
    "pieces in turn without an index": [
        call(id="a", name=TIME[0], arguments='{"place": '),
        call(id="b", name=UNITS[0], arguments='{"n": '),
        call(id="a", arguments='"Paris"}'),
        call(id="b", arguments="1}"),
    ],
    "indexes as text": [
        call(index="0", id="a", name=TIME[0], arguments=TIME[1]),
        call(index="1", id="b", name=UNITS[0], arguments=UNITS[1]),
    ],
    "indexes in floats, ids in numbers": [
        call(index=0.0, id=7, name=TIME[0], arguments=TIME[1]),
        call(index=1.0, id=8, name=UNITS[0], arguments=UNITS[1]),
    ],
    "name and id in pieces of their own": [
        call(index=0, id="a"),
        call(index=0, name=TIME[0]),
        call(index=0, arguments=TIME[1]),
        call(index=1, id="b"),
        call(index=1, name=UNITS[0]),
        call(index=1, arguments=UNITS[1]),
    ],
}


@pytest.mark.parametrize("shape", ASSEMBLED)
def test_two_calls_are_told_apart_whatever_their_shape(shape: str) -> None:
    assert calls_of(*ASSEMBLED[shape]) == [TIME, UNITS]


@pytest.mark.parametrize("arguments", ['{"place": "Paris"}', {"place": "Paris"}])
def test_the_older_form_of_a_call_is_one_call(arguments: Any) -> None:
    function = {"name": "time", "arguments": arguments}
    events = read(framed(chunk({"function_call": function}), chunk({}, "function_call")))
    assert [(e.name, e.arguments) for e in events if isinstance(e, ToolCallDelta)] == [TIME]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        ("null", {}),
        ("{}", {}),
        ('{"a": 1}', {"a": 1}),
        (' {"a": 1}\n', {"a": 1}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('{}{"a": 1}', {"a": 1}),
        ('{"a": ', None),
        ("[1]", None),
        ("7", None),
        ('{"a": 1}{"a": 2}', None),
        ("{'a': 1}", None),
        ("[" * 100_000, None),
    ],
)
def test_arguments_are_a_json_object_or_broken(text: str, arguments: dict[str, object] | None) -> None:
    assert read_arguments(text) == arguments


ARGUMENTS = st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), min_size=1, max_size=3)
CALLS = st.lists(st.tuples(st.sampled_from(["time", "units", "look_up"]), ARGUMENTS), min_size=1, max_size=4)


@given(
    CALLS,
    st.integers(1, 9),
    st.sampled_from(["index", "id", "both", "neither", "index 0", "names"]),
)
def test_calls_survive_any_way_of_naming_their_pieces(
    calls: list[tuple[str, dict[str, Any]]], size: int, way: str
) -> None:
    pieces: list[dict[str, Any]] = []
    for number, (name, arguments) in enumerate(calls):
        text = json.dumps(arguments)
        names: dict[str, Any] = {}
        if way in ("index", "both", "names"):
            names["index"] = number
        if way == "index 0":
            names["index"] = 0
        if way in ("id", "both", "names", "index 0"):
            names["id"] = f"c{number}"
        for start in range(0, len(text), size):
            named = {"name": name} if start == 0 or way == "names" else {}
            pieces.append(call(text[start : start + size], **names, **named))
    assert calls_of(*pieces) == [(name, json.dumps(arguments)) for name, arguments in calls]


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
    assert text_of(read(framed(*chunks, STOP), size)) == REPLY
