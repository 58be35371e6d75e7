"""What a language model is sent of the conversation: what fits, in its own words."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.protocol.llama.api import Message
from pipecat_bots.context.window import SHRINK_TO, Verbatim, Window

SYSTEM: Message = {"role": "system", "content": "Be brief."}


def exchanges(count: int, words: int = 20) -> list[Message]:
    messages: list[Message] = [SYSTEM]
    for n in range(count):
        messages += [
            {"role": "user", "content": f"question {n} " * words},
            {"role": "assistant", "content": f"answer {n} " * words},
        ]
    return messages


# ----------------------------------------------------------------------------------------- window


def test_a_conversation_that_fits_is_sent_whole() -> None:
    assert Window().fit(exchanges(3), context_tokens=100_000) == exchanges(3)
    assert Window().fit(exchanges(300)) == exchanges(300), "nothing is known of the server"


def test_the_oldest_exchanges_leave_whole_and_the_instructions_stay() -> None:
    window = Window()
    sent = window.fit([*exchanges(20), {"role": "user", "content": "last"}], context_tokens=1000)
    assert sent[0] == SYSTEM
    assert sent[1]["role"] == "user"
    assert sent[-1]["content"] == "last"
    assert len(sent) < 41


def test_a_long_conversation_keeps_its_beginning_for_many_turns() -> None:
    window = Window()
    beginnings = [window.fit(exchanges(turn), context_tokens=2000)[1]["content"] for turn in range(1, 60)]
    changes = sum(a != b for a, b in pairwise(beginnings))
    fits_once = 2000 * (1 - SHRINK_TO) / 250
    assert 1 <= changes <= 60 / fits_once


def test_tool_calls_leave_with_their_results() -> None:
    messages = exchanges(1)
    for n in range(10):
        messages += [
            {"role": "user", "content": f"time {n}" * 30},
            {"role": "assistant", "tool_calls": [{"id": str(n)}]},
            {"role": "tool", "tool_call_id": str(n), "content": "noon"},
            {"role": "assistant", "content": "It is noon."},
        ]
    sent = Window().fit(messages, context_tokens=400)
    assert sent[1]["role"] == "user"
    calls = [m["tool_calls"][0]["id"] for m in sent if "tool_calls" in m]
    assert calls == [m["tool_call_id"] for m in sent if m["role"] == "tool"]
    assert 0 < len(calls) < 10


def test_the_newest_exchange_is_never_left_out() -> None:
    window = Window()
    messages = [SYSTEM, {"role": "user", "content": "word " * 5000}]
    assert window.fit(messages, context_tokens=100) == messages
    assert not window.shrink(messages, target=10)


def test_what_messages_cost_is_learned_from_the_server() -> None:
    window = Window()
    window.counted(exchanges(10), tokens=10_000)
    assert len(window.fit(exchanges(10), context_tokens=9000)) < len(exchanges(10))


def test_tools_take_room_but_make_no_message_longer() -> None:
    tools = [
        {"type": "function", "function": {"name": f"tool {n}", "description": "x" * 300}} for n in range(20)
    ]
    window = Window()
    window.fit(exchanges(1), 4000, tools=tools)
    window.counted(exchanges(1), tokens=2000)
    assert window.fit(exchanges(10), 4000, tools=tools) == exchanges(10)
    assert len(window.fit(exchanges(60), 4000, tools=tools)) < len(exchanges(60))


def test_another_conversation_begins_whole() -> None:
    window = Window()
    window.fit(exchanges(50), context_tokens=1000)
    assert window.fit(exchanges(1), context_tokens=1000) == exchanges(1)


# --------------------------------------------------------------------------------------- verbatim


def restored(answer: str, text: str) -> str:
    verbatim = Verbatim()
    verbatim.generated(answer)
    [message] = verbatim.restore([{"role": "assistant", "content": text}])
    return message["content"]


@pytest.mark.parametrize(
    ("answer", "text", "sent"),
    [
        ("\n\nHello  there.\nHow are you? ", "Hello there. How are you?", "\n\nHello  there.\nHow are you? "),
        ("Hello  there. How are you?", "Hello there.", "Hello  there."),
        ("Hello  there. How are you?", "Hello there. …", "Hello  there. …"),
        ("Hello  there. How are you?", "Hello there. [interrupted]", "Hello  there. [interrupted]"),
        ("Something else.", "Hello there.", "Hello there."),
        (
            "Hello there.",
            "Hello dear listener, this goes on for long.",
            "Hello dear listener, this goes on for long.",
        ),
    ],
)
def test_an_answer_goes_back_as_it_was_generated(answer: str, text: str, sent: str) -> None:
    assert restored(answer, text) == sent


@given(st.text("ab .\n", min_size=1, max_size=60), st.integers(0, 60))
def test_what_was_heard_of_an_answer_goes_back_as_its_beginning(answer: str, cut: int) -> None:
    heard = " ".join(answer[:cut].split())
    sent = restored(answer, heard)
    assert answer.startswith(sent) or not heard
    assert "".join(sent.split()) == "".join(heard.split())


def test_only_answers_are_touched() -> None:
    verbatim = Verbatim()
    verbatim.generated("Yes.  No.")
    messages: list[Message] = [
        {"role": "user", "content": "Yes. No."},
        {"role": "assistant", "tool_calls": []},
    ]
    assert verbatim.restore(messages) == messages
