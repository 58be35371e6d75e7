from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.responder.talk.replies import Turn
from nemotron_speech.responder.tokens import parse, render, tokenize

ROLES = st.sampled_from(["system", "user", "assistant"])
PLAIN = st.text(st.characters(exclude_characters="<>", exclude_categories=("Cs",)), max_size=40)
TURNS = st.lists(st.builds(Turn, ROLES, PLAIN), min_size=1, max_size=5)
CONVERSATION = TURNS.map(lambda turns: [*turns, Turn("user", "x")])


@given(st.text())
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(tokenize(text)) == text


@given(st.text(), st.data())
def test_a_text_cut_between_tokens_has_the_same_tokens(text: str, data: st.DataObject) -> None:
    tokens = tokenize(text)
    cut = data.draw(st.integers(0, len(tokens)))
    assert tokenize("".join(tokens[:cut])) + tokenize("".join(tokens[cut:])) == tokens


def test_tokens_are_words_with_the_space_before_them() -> None:
    assert tokenize("Hello there, Dr. Smith!") == ["Hello", " there", ",", " Dr", ".", " Smith", "!"]


@given(CONVERSATION)
def test_a_rendered_conversation_is_read_back(turns: list[Turn]) -> None:
    assert parse(render(turns, open_answer=True, final_is_open=False)) == (turns, "")


@given(CONVERSATION, PLAIN.filter(bool))
def test_an_answer_begun_is_read_back_apart(turns: list[Turn], begun: str) -> None:
    prompt = render([*turns, Turn("assistant", begun)], open_answer=False, final_is_open=True)
    assert parse(prompt) == (turns, begun)
    assert prompt == render(turns, open_answer=True, final_is_open=False) + begun


@given(CONVERSATION, PLAIN)
def test_the_next_prompt_continues_the_last_one_and_its_answer(turns: list[Turn], answer: str) -> None:
    before = render(turns, open_answer=True, final_is_open=False) + answer
    after = [*turns, Turn("assistant", answer), Turn("user", "next")]
    assert render(after, open_answer=True, final_is_open=False).startswith(before)


def test_text_that_is_no_chat_is_what_the_caller_said() -> None:
    assert parse("what is two plus two") == ([Turn("user", "what is two plus two")], "")
