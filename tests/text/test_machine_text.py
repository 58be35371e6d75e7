"""Tool calls and thoughts in a text are not spoken; what only looks like them is."""

from __future__ import annotations

import pytest

from nemotron_speech.text import say, speakable

CALL = '{"name": "get_current_time", "arguments": {}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"<tool_call>{CALL}",
        f"<TOOLCALL>[{CALL}]</TOOLCALL>",
        f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>",
        "<tool_call><function=look_up><parameter=word>love</parameter></function></tool_call>",
        "<function=look_up>{}</function>",
        f"[TOOL_CALLS][{CALL}]",
        CALL,
        f"[{CALL}]",
        "<think>The secret plan.</think>",
    ],
)
def test_text_for_machines_is_not_spoken(text: str) -> None:
    assert speakable(text) == ""
    assert say(text, "en").text == ""
    assert say(f"It is noon. {text}" if text[0] == "<" else text, "en").text in ("", "It is noon.")


@pytest.mark.parametrize("text", ["Think of a tool call.", "My name is {name}.", "A think tank, 5 < 6."])
def test_text_for_people_is_spoken(text: str) -> None:
    assert "".join(filter(str.isalpha, speakable(text))) == "".join(filter(str.isalpha, text))
