"""The responder's tokenizer and chat template: words, and ChatML as Nemotron models use it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nemotron_speech.responder.talk.replies import Turn

START, END = "<|im_start|>", "<|im_end|>"
NO_THOUGHTS = "<think></think>"

_TOKEN = re.compile(r"<\|im_start\|>|<\|im_end\|>|</?think>|\s?\w+|\s?[^\w\s<]+|\s?<|\s")
_TURN = re.compile(r"<\|im_start\|>(\w+)\n(.*?)(?:<\|im_end\|>\n?|(?=<\|im_start\|>)|\Z)", re.DOTALL)


def tokenize(text: str) -> list[str]:
    """Cut text into words with the space before them; joined they give the text again.

    A text cut between two tokens gives the same tokens when its halves are tokenized and joined.
    """
    return _TOKEN.findall(text)


def render(turns: Sequence[Turn], *, open_answer: bool, final_is_open: bool) -> str:
    """Write a conversation as a prompt.

    `open_answer` begins the next answer; `final_is_open` leaves the last turn, an assistant's, unfinished.
    """
    parts = [_rendered(turn) for turn in turns]
    if final_is_open:
        parts[-1] = parts[-1].removesuffix(f"{END}\n")
    elif open_answer:
        parts.append(f"{START}assistant\n{NO_THOUGHTS}")
    return "".join(parts)


def _rendered(turn: Turn) -> str:
    thoughts = NO_THOUGHTS if turn.role == "assistant" and "</think>" not in turn.text else ""
    return f"{START}{turn.role}\n{thoughts}{turn.text}{END}\n"


def parse(prompt: str) -> tuple[list[Turn], str]:
    """Read a prompt back: the finished turns, and the beginning of the answer it leaves open.

    Text that is not ChatML counts as one thing the caller said.
    """
    if START not in prompt:
        return [Turn("user", prompt)], ""
    turns = [Turn(role, _without_thoughts(text)) for role, text in _TURN.findall(prompt)]
    if turns and turns[-1].role == "assistant" and not prompt.rstrip().endswith(END):
        return turns[:-1], turns[-1].text
    return turns, ""


def _without_thoughts(text: str) -> str:
    return text.rpartition("</think>")[2].removeprefix("<think>\n")
