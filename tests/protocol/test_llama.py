from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.errors import PeerError
from nemotron_speech.protocol.llama.api import (
    ChatAnswer,
    ChatRequest,
    CompletionAnswer,
    CompletionRequest,
    Event,
    Finish,
    FinishReason,
    Progress,
    Props,
    ServerError,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    parse_error,
    parse_props,
)

USER = {"role": "user", "content": "hi"}


def sse(*chunks: dict[str, Any] | str) -> bytes:
    texts = [chunk if isinstance(chunk, str) else json.dumps(chunk, ensure_ascii=False) for chunk in chunks]
    return "".join(f"data: {text}\n\n" for text in texts).encode()


def chat_chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


# -------------------------------------------------------------------------------------- requests


def test_a_chat_request_streams_without_thoughts_and_can_be_stopped_during_the_prompt() -> None:
    body = ChatRequest([USER], id_slot=1, max_tokens=24, temperature=0.0, stop=("\n",)).body()
    assert body["stream"] is True
    assert body["return_progress"] is True
    assert body["cache_prompt"] is True
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert (body["id_slot"], body["max_tokens"], body["temperature"], body["stop"]) == (1, 24, 0.0, ["\n"])
    assert json.loads(json.dumps(body)) == body


def test_fields_that_are_not_set_are_left_to_the_server() -> None:
    body = ChatRequest([USER], thinking=None).body()
    unset = {"id_slot", "max_tokens", "temperature", "stop", "tools", "chat_template_kwargs", "seed"}
    assert not unset & body.keys()
    assert not {"continue_final_message", "add_generation_prompt"} & body.keys()


def test_a_continuation_ends_with_the_text_so_far_and_continuing_again_replaces_it() -> None:
    request = ChatRequest([USER], max_tokens=24)
    first = request.continuation("Hello")
    second = first.continuation("Hello there")
    assert first.body()["messages"] == [USER, {"role": "assistant", "content": "Hello"}]
    assert second.body()["messages"] == [USER, {"role": "assistant", "content": "Hello there"}]
    assert second.body()["continue_final_message"] is True
    assert second.body()["add_generation_prompt"] is False
    assert request.body()["messages"] == [USER]


def test_a_warm_up_evaluates_the_messages_and_begins_no_answer() -> None:
    body = ChatRequest([USER], max_tokens=24).warm_up().body()
    assert (body["max_tokens"], body["add_generation_prompt"]) == (0, False)


def test_a_completion_continues_after_its_chunks() -> None:
    request = CompletionRequest("a", n_predict=4, id_slot=0).continuation(" b").continuation(" c")
    assert request.body()["prompt"] == "a b c"
    assert request.body()["n_predict"] == 4


def test_extra_fields_go_along_as_they_are() -> None:
    assert ChatRequest([USER], extra={"min_p": 0.1}).body()["min_p"] == 0.1
    assert CompletionRequest("a", extra={"min_p": 0.1}).body()["min_p"] == 0.1


# ----------------------------------------------------------------------------------- chat answers

ANSWER = sse(
    chat_chunk({"role": "assistant", "content": None}),
    chat_chunk(
        {"content": None}, prompt_progress={"total": 28, "cache": 20, "processed": 28, "time_ms": 1.5}
    ),
    chat_chunk({"reasoning_content": "Greet."}),
    chat_chunk({"content": "Hello,"}),
    chat_chunk({"content": " \u2615 friend"}),
    chat_chunk({}, "length"),
    {
        "choices": [],
        "usage": {
            "prompt_tokens": 28,
            "completion_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 20},
        },
        "timings": {"cache_n": 20, "prompt_n": 8, "predicted_n": 6},
    },
    "[DONE]",
)
EVENTS: list[Event] = [
    Progress(total=28, cached=20, processed=28, time_ms=2),
    ThoughtDelta("Greet."),
    TextDelta("Hello,"),
    TextDelta(" \u2615 friend"),
    Finish(FinishReason.LENGTH, prompt_tokens=28, cached_tokens=20, completion_tokens=6, states_cache=True),
]


@given(st.lists(st.integers(0, len(ANSWER)), max_size=12))
def test_a_chat_answer_in_any_pieces_gives_the_same_events(cuts: list[int]) -> None:
    answer, events, start = ChatAnswer(), [], 0
    for cut in [*sorted(cuts), len(ANSWER)]:
        events += answer.feed(ANSWER[start:cut])
        start = cut
    assert events + answer.end() == EVENTS
    assert answer.ended


def test_a_server_that_counts_only_in_timings_or_only_in_usage_is_understood() -> None:
    timings = {"cache_n": 5, "prompt_n": 2, "predicted_n": 3}
    answer = ChatAnswer()
    assert answer.feed(sse(chat_chunk({}, "stop", timings=timings), "[DONE]")) == [
        Finish(FinishReason.STOP, 7, 5, 3, states_cache=True)
    ]
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": None}
    answer = ChatAnswer()
    assert answer.feed(sse(chat_chunk({}, "stop"), {"choices": [], "usage": usage}, "[DONE]")) == [
        Finish(FinishReason.STOP, 9, 0, 4)
    ]


def test_tool_calls_come_in_pieces() -> None:
    pieces = [
        {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
    ]
    answer = ChatAnswer()
    events = answer.feed(sse(*map(chat_chunk, pieces), chat_chunk({}, "tool_calls"), "[DONE]"))
    assert events == [
        ToolCallDelta(0, "c1", "f", ""),
        ToolCallDelta(0, "", "", '{"a":'),
        Finish(FinishReason.TOOL_CALLS),
    ]


def test_a_character_cut_in_half_is_left_out() -> None:
    answer = ChatAnswer()
    events = answer.feed(
        sse(chat_chunk({"content": "Hi,\ufffd"}), chat_chunk({"content": "\ufffd"}), chat_chunk({}, "length"))
    )
    assert events == [TextDelta("Hi,")]
    completion = CompletionAnswer()
    assert completion.feed(sse({"content": "a\ufffd"}, {"content": "\ufffd\ufffd"})) == [TextDelta("a")]


def test_an_error_in_the_middle_of_an_answer_ends_it() -> None:
    refused = {"error": {"code": 500, "message": "out of memory", "type": "server_error"}}
    for data in (sse(refused), b'error: {"code":500,"message":"out of memory","type":"server_error"}\n\n'):
        answer = ChatAnswer()
        assert answer.feed(data + sse(chat_chunk({"content": "late"}))) == [
            ServerError("out of memory", "server_error", 500)
        ]
        assert answer.end() == []


def test_an_answer_that_breaks_off_is_the_peers_fault() -> None:
    answer = ChatAnswer()
    answer.feed(sse(chat_chunk({"role": "assistant", "content": ""})))
    with pytest.raises(PeerError):
        answer.end()
    completion = CompletionAnswer()
    completion.feed(sse({"content": "Hello"}))
    with pytest.raises(PeerError):
        completion.end()


def test_an_answer_whose_body_ends_behind_words_has_finished() -> None:
    answer = ChatAnswer()
    answer.feed(sse(chat_chunk({"content": "Hello"})))
    assert answer.end() == [Finish(FinishReason.OTHER)]


def test_an_answer_whose_body_ends_within_a_tool_call_broke_off() -> None:
    answer = ChatAnswer()
    function = {"name": "look_up", "arguments": '{"word": '}
    answer.feed(sse(chat_chunk({"content": "Well", "tool_calls": [{"index": 0, "function": function}]})))
    with pytest.raises(PeerError):
        answer.end()


def test_a_server_that_closes_instead_of_saying_done_has_finished() -> None:
    answer = ChatAnswer()
    answer.feed(sse(chat_chunk({"content": "Hello"}), chat_chunk({}, "stop")))
    assert answer.end() == [Finish(FinishReason.STOP)]


@pytest.mark.parametrize(
    "data", ["not json", '{"choices": 3}', "[]", '{"choices":[{"delta":{"tool_calls":5}}]}']
)
def test_what_is_no_answer_is_the_peers_fault(data: str) -> None:
    with pytest.raises(PeerError):
        ChatAnswer().feed(sse(data))


# ---------------------------------------------------------------------------- completions and the rest


def test_a_completion_gives_text_progress_and_finish() -> None:
    answer = CompletionAnswer()
    events = answer.feed(
        sse(
            {"content": "", "prompt_progress": {"total": 23, "cache": 6, "processed": 23, "time_ms": 1}},
            {"content": "Hello", "stop": False},
            {
                "content": "",
                "stop": True,
                "stop_type": "limit",
                "timings": {"cache_n": 6, "prompt_n": 17, "predicted_n": 4},
            },
        )
    )
    assert events == [
        Progress(23, 6, 23, 1),
        TextDelta("Hello"),
        Finish(FinishReason.LENGTH, 23, 6, completion_tokens=4, states_cache=True),
    ]
    assert answer.end() == []


@pytest.mark.parametrize(("stop_type", "reason"), [("eos", "stop"), ("word", "stop"), ("limit", "length")])
def test_each_way_a_completion_stops_has_a_reason(stop_type: str, reason: str) -> None:
    events = CompletionAnswer().feed(sse({"content": "", "stop": True, "stop_type": stop_type}))
    assert events == [Finish(FinishReason(reason))]


def test_a_prompt_that_is_too_long_can_be_told_from_other_refusals() -> None:
    body = {
        "error": {
            "code": 400,
            "message": "too long",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 9000,
            "n_ctx": 4096,
        }
    }
    error = parse_error(400, json.dumps(body).encode())
    assert error.is_context_overflow
    assert (error.prompt_tokens, error.context_tokens) == (9000, 4096)
    other = parse_error(400, b'{"error":{"message":"x","type":"invalid_request_error"}}')
    assert (other.is_context_overflow, other.code) == (False, 400)


@pytest.mark.parametrize("body", [b"", b"<html>\xff", b'{"error":"busy"}', b'{"detail":"x"}', b"[1]"])
def test_any_error_body_gives_a_message_worth_showing(body: bytes) -> None:
    assert parse_error(503, body).message


def test_props_say_how_many_slots_of_which_size_there_are() -> None:
    body = b'{"total_slots":2,"default_generation_settings":{"n_ctx":4096},"model_alias":"m","extra":1}'
    assert parse_props(body) == Props(total_slots=2, n_ctx=4096, model="m")
    for wrong in (b"{}", b"nope", b'{"total_slots":"two"}'):
        with pytest.raises(PeerError):
            parse_props(wrong)
