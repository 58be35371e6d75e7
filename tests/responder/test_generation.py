from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.errors import BadRequest
from nemotron_speech.responder.generation import Generation, TokenPace, generate, remaining_tokens
from nemotron_speech.responder.requests import GenerationJob, read_chat, read_completion
from nemotron_speech.responder.slots import Slot
from nemotron_speech.responder.tokens import tokenize

FAST = TokenPace(tokens_per_second=0)


def job(**fields: object) -> GenerationJob:
    body = {"messages": [{"role": "user", "content": "hi"}], **fields}
    return read_chat(json.dumps(body).encode())


async def run(asked: GenerationJob, answer: str, n_ctx: int = 4096) -> tuple[list[str], Generation]:
    generation = Generation(asked, task=1, slot=0)
    texts = generate(generation, Slot(0), lambda turns, now: answer, FAST, n_ctx)
    return [text async for text in texts], generation


async def test_every_token_comes_by_itself() -> None:
    texts, generation = await run(job(), "One two, three.")
    assert texts == ["One", " two", ",", " three", "."]
    assert (generation.text, generation.stop_type) == ("One two, three.", "eos")


@pytest.mark.parametrize(("limit", "stop_type"), [(4, "limit"), (5, "limit"), (6, "eos")])
async def test_the_limit_is_told_from_the_end(limit: int, stop_type: str) -> None:
    texts, generation = await run(job(max_tokens=limit), "One two, three.")
    assert (len(texts), generation.stop_type) == (min(limit, 5), stop_type)


async def test_the_context_is_a_limit_too() -> None:
    asked = job()
    texts, generation = await run(asked, "word " * 50, n_ctx=len(asked.tokens) + 7)
    assert (len(texts), generation.stop_type, generation.truncated) == (7, "limit", True)


@given(
    st.lists(st.sampled_from(["ab", "a", "b", " c", "ba", "."]), max_size=20).map("".join),
    st.lists(st.sampled_from(["ab", "ba", "c.", "aab", "b c"]), min_size=1, max_size=2),
)
def test_a_stop_word_is_found_wherever_tokens_end(answer: str, stops: list[str]) -> None:
    generation = Generation(job(stop=stops), task=1, slot=0)
    text = ""
    for letter in answer:
        text += generation.accept(letter)
        if generation.stop_type == "word":
            break
    text += generation.rest()
    ends = [answer.index(stop) + len(stop) for stop in stops if stop in answer]
    if not ends:
        assert text == answer
    else:
        assert generation.stop_type == "word"
        assert text == answer[: min(ends) - len(generation.stopping_word)]


@given(st.text(st.characters(exclude_characters="<>"), max_size=60), st.data())
def test_an_answer_cut_between_tokens_goes_on_where_it_was_cut(answer: str, data: st.DataObject) -> None:
    tokens = tokenize(answer)
    begun = "".join(tokens[: data.draw(st.integers(0, len(tokens)))])
    rest = "".join(remaining_tokens(answer, begun))
    assert (begun + rest).split() == answer.split()
    if not begun or not begun[-1].isspace():
        assert begun + rest == answer


def test_a_small_change_in_the_answer_goes_on_in_its_place() -> None:
    begun = "It is ten forty-two in the"
    assert "".join(remaining_tokens("It is ten forty-three in the morning.", begun)) == " morning."


def test_a_beginning_of_another_answer_is_kept_in_front() -> None:
    assert "".join(remaining_tokens("Twelve.", "Sure:")) == " Twelve."
    assert "".join(remaining_tokens("Twelve.", "Sure: ")) == "Twelve."


def test_parts_of_a_message_are_put_together() -> None:
    content = [{"type": "text", "text": "one"}, {"type": "image_url"}, {"type": "text", "text": "two"}]
    asked = read_chat(json.dumps({"messages": [{"role": "user", "content": content}]}).encode())
    assert asked.turns[0].text == "one\ntwo"


@pytest.mark.parametrize("read", [read_chat, read_completion])
@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"{}", b'{"prompt": 3, "messages": 3}'])
def test_a_body_that_is_no_request_is_refused(read: Callable[[bytes], GenerationJob], body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(body)


def test_one_request_is_one_answer() -> None:
    with pytest.raises(BadRequest, match="'n' is 2"):
        job(n=2)
