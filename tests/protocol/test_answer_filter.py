"""Thoughts, special tokens and written tool calls are told from words, wherever the stream is cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nemotron_speech.protocol.llama.answer_filter import AnswerFilter
from nemotron_speech.protocol.llama.answer_words import AnswerPart, SaidText, Unsaid
from nemotron_speech.protocol.llama.written_calls import WrittenCall

REPLY = "The blue lamp stands on the table."
PLAN = "The secret plan is to greet."
TIME, UNITS = "get_current_time", "convert_units"
TOOLS = {
    TIME: {"timezone": {"type": "string"}},
    UNITS: {"value": {"type": "number"}, "from_unit": {"type": "string"}, "to_unit": {"type": "string"}},
}


def parts_of(pieces: list[str], **options: Any) -> list[AnswerPart]:
    answer = AnswerFilter(TOOLS, **options)
    return [part for piece in pieces for part in answer.feed(piece)] + answer.finish()


def kept(parts: list[AnswerPart]) -> tuple[str, list[WrittenCall]]:
    """Return what is left of an answer at its end."""
    text = ""
    for part in parts:
        if isinstance(part, Unsaid):
            text = ""
        elif isinstance(part, SaidText):
            text += part.text
    return text, [part for part in parts if isinstance(part, WrittenCall)]


def in_any_pieces(text: str, **options: Any) -> tuple[str, list[WrittenCall]]:
    """Return what is left; it is the same for a whole text, words and characters."""
    words = [word + " " for word in text.split(" ")]
    words[-1] = words[-1][:-1]
    whole, in_words, in_characters = (
        kept(parts_of(pieces, **options)) for pieces in ([text], words, list(text))
    )
    assert whole == in_words == in_characters
    return whole


THOUGHTS = {
    "a tag": f"<think>{PLAN}</think>{REPLY}",
    "a tag and lines": f"<think>\n{PLAN}\n</think>\n\n{REPLY}",
    "capitals": f"<THINK>{PLAN}</Think>{REPLY}",
    "thinking": f"<thinking>{PLAN}</thinking>{REPLY}",
    "reasoning": f"<reasoning>{PLAN}</reasoning>\n{REPLY}",
    "thought": f"<thought>{PLAN}</thought>{REPLY}",
    "a namespace": f"<seed:think>{PLAN}</seed:think>{REPLY}",
    "an attribute": f'<think duration="3">{PLAN}</think>{REPLY}',
    "scratchpad": f"<scratchpad>{PLAN}</scratchpad>{REPLY}",
    "inner monologue": f"<inner_monologue>{PLAN}</inner_monologue>{REPLY}",
    "another tag within": f"<thinking>{PLAN} </think> {PLAN}</thinking>{REPLY}",
    "another end tag": f"<thinking>{PLAN}</think>{REPLY}",
    "a tag and an answer tag": f"<think>{PLAN}</think>\n<answer>{REPLY}</answer>",
    "empty thoughts": f"<think>\n\n</think>\n\n{REPLY}",
    "an empty tag": f"<think/>{REPLY}",
    "two in a row": f"<think>{PLAN}</think><think>{PLAN}</think>{REPLY}",
    "two end tags": f"<think>{PLAN}</think></think>{REPLY}",
    "brackets": f"[THINK]{PLAN}[/THINK]{REPLY}",
    "triangles": f"◁think▷{PLAN}◁/think▷{REPLY}",
    "special tokens": (
        f"<|begin_of_thought|>{PLAN}<|end_of_thought|><|begin_of_solution|>{REPLY}<|end_of_solution|>"
    ),
    "special tokens in capitals": (
        f"<|START_THINKING|>{PLAN}<|END_THINKING|><|START_RESPONSE|>{REPLY}<|END_RESPONSE|>"
    ),
    "a prefix and a suffix": f"<|inner_prefix|>{PLAN}<|inner_suffix|>{REPLY}",
    "unused tokens": f"<unused94>thought\n{PLAN}<unused95>{REPLY}",
    "channels": (
        f"<|channel|>analysis<|message|>{PLAN}<|end|><|start|>assistant<|channel|>final<|message|>{REPLY}"
    ),
    "channels with an end": (
        f"<|start|>assistant<|channel|>analysis<|message|>{PLAN}<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{REPLY}<|return|>"
    ),
    "channels without their beginning": (
        f"analysis<|message|>{PLAN}<|end|><|start|>assistant<|channel|>final<|message|>{REPLY}"
    ),
    "channels without tokens": f"analysis{PLAN}assistantfinal{REPLY}",
    "channels with one bar": f"<|channel>thought\n{PLAN}<channel|>{REPLY}",
    "an orphan": f"Okay, the secret plan is to greet the user.\n</think>\n\n{REPLY}",
    "an orphan behind a page": f"Okay, so. {'The user wants a lamp. ' * 30}</think>{REPLY}",
    "an orphan behind what sounds like an answer": f"A lamp is a lamp. I like lamps, {PLAN}</think>{REPLY}",
    "an orphan of another name": f"{PLAN}</reasoning>{REPLY}",
    "an orphan behind thoughts": f"<think>{PLAN}</think>{PLAN}</think>{REPLY}",
    "an orphan token": f"{PLAN}<|end_of_thought|>{REPLY}",
    "an orphan at the end of an answer": f"<think>{PLAN}</think>{REPLY}</think>",
    "a label": f"Reasoning: the secret plan is to greet.\n\nAnswer: {REPLY}",
    "a label in bold": f"**Reasoning:** the secret plan is to greet.\n\n**Answer:** {REPLY}",
    "a label in one line": f"Thought: the secret plan is to greet. Final Answer: {REPLY}",
    "headings": f"## Reasoning\n{PLAN}\n\n## Answer\n{REPLY}",
    "a label and a response": f"Thinking: {PLAN}\nResponse: {REPLY}",
    "a thought process": (
        f"Here is my thought process:\n{PLAN}\n\nHere is my response:\n{REPLY}"
    ),
    "a label without an answer's": f"Reasoning: {PLAN}\n\n{REPLY}",
    "a soft label": f"Analysis: {PLAN}\n\nAnswer: {REPLY}",
    "special tokens around": f"<|im_start|>assistant\n{REPLY}<|im_end|><|endoftext|></s>",
    "special tokens of another model": (
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{REPLY}<|eot_id|>"
    ),
    "turns": f"<start_of_turn>model\n{REPLY}<end_of_turn>",
    "wide bars": f"<｜Assistant｜>{REPLY}<｜end▁of▁sentence｜>",
    "instruction marks": f"[/INST] {REPLY}</s>",
    "a turn of the user's that the model made up": (
        f"{REPLY}<|im_end|>\n<|im_start|>user\n{PLAN}<|im_end|>\n"
    ),
    "a result that the model made up": f"<tool_response>{PLAN}</tool_response>{REPLY}",
}  # fmt: skip


@pytest.mark.parametrize("shape", THOUGHTS)
def test_nothing_but_the_answer_is_kept(shape: str) -> None:
    text, calls = in_any_pieces(THOUGHTS[shape])
    assert text.strip() == REPLY
    assert text.lstrip() == text, "no line breaks before the first word"
    assert not calls


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Sure. <think>The secret plan.</think> The lamp.", "Sure. The lamp."),
        ("Sure.<think>The secret plan.</think>\nThe lamp.", "Sure.\nThe lamp."),
        ("<think>never ends", ""),
        ("Sure. <think>never ends", "Sure. "),
        ("Reasoning: never ends", ""),
        ("<|channel|>analysis<|message|>never ends", ""),
        ("Only thoughts of the user.</think>", ""),
    ],
)
def test_thoughts_may_stand_anywhere(text: str, answer: str) -> None:
    assert in_any_pieces(text) == (answer, [])


@pytest.mark.parametrize(
    "text",
    [
        "Hello.",
        "\n\nHello there. This came after two new lines.",
        "",
        "If a < b and b > c, then <b>a</b> is small, x <y z.",
        "I <3 you, 5 <6, a<b, <thinker>, <thin ice>, <thi",
        "Use [1] and [see below], [A], `code`, ``two``, {braces}, {a: 1}.",
        "Analysis: this is a strong poem.",
        "The time (as far as I know) is noon.",
        "Okay, I will do that. The first thing is a lamp, then a table.",
        "Okay",
        "Hmm.",
        "Let me think about that. A lamp it is.",
        "```python\nprint(1)\n```",
        "Here:\n```json\n{\"a\": 1}\n```\nThat is it.",
        "get_current_time is a tool, get_current_time(x) another.",
        '{"a": 1}',
        '{"a": ',
        "Finally, the answer: it depends.",
        "The answer\nis simple.",
        "<div class='think'>Hello</div>",
        "你好，我是你的助手。今天天气很好。",
        "Thoughtful people think: this is it.",
    ],
)  # fmt: skip
def test_what_is_no_mark_is_kept_as_it_is(text: str) -> None:
    assert in_any_pieces(text) == (text, [])


TIME_CALL = WrittenCall(TIME, '{"timezone": "Europe/Paris"}')
JSON = json.dumps({"name": TIME, "arguments": {"timezone": "Europe/Paris"}})
ARGUMENTS = '{"timezone": "Europe/Paris"}'
CALLS = {
    "a tag": f"<tool_call>\n{JSON}\n</tool_call>",
    "a tag that does not end": f"<tool_call>{JSON}",
    "a tag around a list": f"<tool_calls>[{JSON}]</tool_calls>",
    "capitals": f"<TOOLCALL>[{JSON}]</TOOLCALL>",
    "function_call": f"<function_call>{JSON}</function_call>",
    "functioncall": f"<functioncall> {JSON} </functioncall>",
    "parameters": json.dumps({"name": TIME, "parameters": {"timezone": "Europe/Paris"}}),
    "a bare object": JSON,
    "a bare object in lines": json.dumps(json.loads(JSON), indent=2),
    "a bare list": f"[{JSON}]",
    "a bare object as Python writes it": str(json.loads(JSON)),
    "arguments as text": json.dumps({"name": TIME, "arguments": ARGUMENTS}),
    "OpenAI's form": json.dumps({"type": "function", "function": {"name": TIME, "arguments": ARGUMENTS}}),
    "OpenAI's list": json.dumps({"tool_calls": [{"function": {"name": TIME, "arguments": ARGUMENTS}}]}),
    "tool_name": json.dumps({"tool_name": TIME, "parameters": json.loads(ARGUMENTS)}),
    "action": json.dumps({"action": TIME, "action_input": json.loads(ARGUMENTS)}),
    "a module's name": json.dumps({"name": f"functions.{TIME}", "arguments": json.loads(ARGUMENTS)}),
    "a fence": f"```json\n{JSON}\n```",
    "a fence of calls": f"```tool_call\n{JSON}\n```",
    "a fence of code": f'```tool_code\n{TIME}(timezone="Europe/Paris")\n```',
    "a fence of code that prints": f'```tool_code\nprint(default_api.{TIME}(timezone="Europe/Paris"))\n```',
    "Python": f'{TIME}(timezone="Europe/Paris")',
    "Python by position": f'{TIME}("Europe/Paris")',
    "Python in a list": f'[{TIME}(timezone="Europe/Paris")]',
    "Python in tokens": f'<|tool_call_start|>[{TIME}(timezone="Europe/Paris")]<|tool_call_end|>',
    "TOOL_CALLS": f"[TOOL_CALLS][{JSON}]",
    "TOOL_CALLS and a name": f"[TOOL_CALLS]{TIME}[ARGS]{ARGUMENTS}",
    "TOOL_CALLS, a name and nothing between": f"[TOOL_CALLS]{TIME}{ARGUMENTS}</s>",
    "a python tag": f"<|python_tag|>{JSON}<|eom_id|>",
    "a python tag and Python": f'<|python_tag|>{TIME}(timezone="Europe/Paris")<|eom_id|>',
    "a function tag": f"<function={TIME}>{ARGUMENTS}</function>",
    "a function tag with parameters": (
        f"<tool_call>\n<function={TIME}>\n<parameter=timezone>\nEurope/Paris\n</parameter>\n</function>\n</tool_call>"
    ),
    "a function tag alone": f"<function={TIME}>\n<parameter=timezone>Europe/Paris</parameter>\n</function>",
    "invoke": (
        f'<function_calls>\n<invoke name="{TIME}">\n<parameter name="timezone">Europe/Paris</parameter>\n'
        "</invoke>\n</function_calls>"
    ),
    "invoke alone": f'<invoke name="{TIME}"><parameter name="timezone">Europe/Paris</parameter></invoke>',
    "keys and values": (
        f"<tool_call>{TIME}\n<arg_key>timezone</arg_key>\n<arg_value>Europe/Paris</arg_value>\n</tool_call>"
    ),
    "wide bars": (
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>{TIME}\n```json\n{ARGUMENTS}\n```"
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    ),
    "a section": (
        f"<|tool_calls_section_begin|><|tool_call_begin|>functions.{TIME}:0<|tool_call_argument_begin|>"
        f"{ARGUMENTS}<|tool_call_end|><|tool_calls_section_end|>"
    ),
    "an action": f'<|START_ACTION|>[{{"tool_name": "{TIME}", "parameters": {ARGUMENTS}}}]<|END_ACTION|>',
    "one token": f"<|tool_call|>[{JSON}]<|/tool_call|>",
    "functools": f"functools[{JSON}]",
    "a channel": (
        f"<|channel|>commentary to=functions.{TIME} <|constrain|>json<|message|>{ARGUMENTS}<|call|>"
    ),
    "a channel behind its recipient": (
        f"<|start|>assistant to=functions.{TIME}<|channel|>commentary json<|message|>{ARGUMENTS}<|call|>"
    ),
    "a channel behind thoughts": (
        f"<|channel|>analysis<|message|>{PLAN}<|end|><|start|>assistant<|channel|>commentary "
        f"to=functions.{TIME} <|constrain|>json<|message|>{ARGUMENTS}<|call|>"
    ),
    "an action of a labelled thought": (
        f"Thought: {PLAN}\nAction: {TIME}\nAction Input: {ARGUMENTS}\nObservation: noon\n"
        f"Thought: I know.\nFinal Answer: It is noon."
    ),
    "behind thoughts": f"<think>{PLAN}</think>\n<tool_call>{JSON}</tool_call>",
    "behind an orphan": f"{PLAN}\n</think>\n<tool_call>{JSON}</tool_call>",
}  # fmt: skip


@pytest.mark.parametrize("shape", CALLS)
def test_a_call_that_is_written_as_text_is_read_and_not_kept(shape: str) -> None:
    text, calls = in_any_pieces(CALLS[shape])
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [(TIME, json.loads(ARGUMENTS))]
    assert not text.strip()


@pytest.mark.parametrize("shape", CALLS)
def test_words_before_a_call_are_kept(shape: str) -> None:
    if shape in ("behind an orphan", "an action of a labelled thought"):
        pytest.skip("what stands before it is a thought")
    text, calls = in_any_pieces(f"Let me check.\n{CALLS[shape]}")
    assert len(calls) == 1
    assert text.strip() == "Let me check."


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "order_pizza", "arguments": {"size": "big"}}</tool_call>',
        '{"name": "order_pizza", "arguments": {"size": "big"}}',
        "<tool_call>this is no call</tool_call>",
        '<tool_call>{"name": "get_current_time", "arguments": {"timez',
        '{"name": "get_current_time", "arguments": {"timez',
        "```tool_code\nimport os\nos.system('ls')\n```",
        "[TOOL_CALLS] nothing",
        "<function=order_pizza>{}</function>",
        "<|channel|>commentary to=functions.order_pizza<|message|>{}<|call|>",
    ],
)
def test_a_call_that_makes_no_sense_is_neither_kept_nor_run(text: str) -> None:
    assert in_any_pieces(text) == ("", [])


def test_two_calls_are_two() -> None:
    units = json.dumps({"name": UNITS, "arguments": {"value": 5, "from_unit": "mile", "to_unit": "km"}})
    for text in (
        f"<tool_call>{JSON}</tool_call>\n<tool_call>{units}</tool_call>",
        f"[{JSON}, {units}]",
        f"[TOOL_CALLS][{JSON}, {units}]",
        f'[{TIME}(timezone="Europe/Paris"), {UNITS}(value=5, from_unit="mile", to_unit="km")]',
    ):
        left, calls = in_any_pieces(text)
        assert not left.strip()
        assert [call.name for call in calls] == [TIME, UNITS]
        assert json.loads(calls[1].arguments)["value"] == 5


def test_values_without_quotes_are_of_the_kind_that_the_tool_declares() -> None:
    text = (
        f"<function={UNITS}><parameter=value>5</parameter><parameter=from_unit>1</parameter>"
        "<parameter=to_unit>km</parameter></function>"
    )
    [call] = in_any_pieces(text)[1]
    assert json.loads(call.arguments) == {"value": 5, "from_unit": "1", "to_unit": "km"}


def test_broken_arguments_of_a_whole_call_are_passed_on_as_they_are() -> None:
    [call] = in_any_pieces(f'<function={TIME}>{{"timezone": </function>')[1]
    assert call == WrittenCall(TIME, '{"timezone":')


# ----------------------------------------------------------------------------------------- streaming


def given_at_once(text: str) -> str:
    """Return what was given of a text before its answer ended."""
    answer = AnswerFilter(TOOLS)
    return "".join(p.text for c in text for p in answer.feed(c) if isinstance(p, SaidText))


@pytest.mark.parametrize("text", ["Hello", "Sure, why not", "A lamp", "It is noon", "I am fine, tha"])
def test_an_answer_is_not_held_back(text: str) -> None:
    assert given_at_once(text) == text


def test_what_sounds_like_thoughts_is_held_for_a_sentence_only() -> None:
    assert given_at_once("Okay, here is what I know of") == ""
    assert given_at_once("Okay, here is what I know of it. A").startswith("Okay, here")
    assert given_at_once("Okay, the user wants me to tell what I know of it. A lamp is a") == ""


def test_an_orphan_behind_spoken_words_takes_them_back() -> None:
    parts = parts_of(list(f"A plan of lamps. {PLAN}</think>{REPLY}"))
    assert Unsaid() in parts
    assert kept(parts) == (REPLY, [])


def test_a_model_that_always_thinks_first_is_not_spoken_until_it_has() -> None:
    parts = parts_of(list(f"A plan of lamps. {PLAN}</think>{REPLY}"), expects_thoughts=True)
    assert Unsaid() not in parts
    assert kept(parts) == (REPLY, [])
    assert kept(parts_of([REPLY], expects_thoughts=True)) == (REPLY, [])


def test_an_answer_that_goes_on_is_read_from_its_last_word() -> None:
    answer = AnswerFilter(TOOLS)
    given = [*answer.feed("A lamp. "), *answer.feed("<thi")]
    answer.resume()
    given += [*answer.feed("<think>Hm.</think>And "), *answer.feed("a table."), *answer.finish()]
    assert kept(given) == ("A lamp. And a table.", [])


# ------------------------------------------------------------------------------------------ any text

PIECES = st.sampled_from(
    [
        "<think>", "</think>", "</thinking>", "Okay, ", "the user ", "a ", "\n",
        "<|channel|>analysis<|message|>",
        "<|channel|>final<|message|>", "<|end|>", "assistant", "Reasoning: ", "Answer: ", "{", "}", '"',
        "<tool_call>", "</tool_call>", JSON, "```", "[TOOL_CALLS]", f"{TIME}(", ")", "<", "[",
        "<|im_end|>", ". ",
    ]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=3), max_size=14), st.lists(st.integers(0, 200), max_size=8))
def test_the_cut_of_the_stream_does_not_matter(pieces: list[str], cuts: list[int]) -> None:
    text = "".join(pieces)
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    cut = [text[a:b] for a, b in pairwise(bounds)]
    assert kept(parts_of(cut)) == kept(parts_of([text]))


@given(st.lists(PIECES | st.text(max_size=3), max_size=14))
def test_no_mark_of_thoughts_is_ever_kept(pieces: list[str]) -> None:
    assume(not any(sign in "".join(pieces) for sign in ("```", "{")))  # code is code, and never spoken
    text, _ = kept(parts_of(pieces))
    for mark in ("<think>", "</think>", "</thinking>", "<tool_call>", "<|channel|>", "<|im_end|>"):
        assert mark not in text
