"""Thoughts between tags are told from the answer, wherever the stream is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.protocol.thoughts import ThinkTags


def taken_apart(pieces: list[str]) -> tuple[str, str]:
    tags = ThinkTags()
    parts = [tags.feed(piece) for piece in pieces] + [tags.finish()]
    return "".join(thought for thought, _ in parts), "".join(answer for _, answer in parts)


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("Hello.", "", "Hello."),
        ("<think>Hm.</think>\n\nHello.", "Hm.", "Hello."),
        ("\n<think>\nHm. <b></think>Hello <think> there.", "\nHm. <b>", "Hello <think> there."),
        ("<think>never ends", "never ends", ""),
        ("<THINK>Hm.</Think> Hello.", "Hm.", "Hello."),
        ("<thinking>Hm. </think></thinking>Hello.", "Hm. </think>", "Hello."),
        ("<reasoning>Hm.</reasoning>\nHello.", "Hm.", "Hello."),
        ("<thinker>Hello.", "", "<thinker>Hello."),
        ("<thin ice>", "", "<thin ice>"),
        ("<thi", "", "<thi"),
        ("", "", ""),
    ],
)
def test_thoughts_are_told_from_the_answer(text: str, thought: str, answer: str) -> None:
    assert taken_apart([text]) == (thought, answer)
    assert taken_apart(list(text)) == (thought, answer)


@given(st.text("a<thinkINgT>/ \n"), st.lists(st.integers(0, 40), max_size=6))
def test_the_cut_of_the_stream_does_not_matter(text: str, cuts: list[int]) -> None:
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    assert taken_apart(pieces) == taken_apart([text])
