"""Chunks joined are the text, and end where a speaker would pause."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nemotron_speech.text import Budget, Chunker

FIRST, REST = Budget(10, 24), Budget(1, 96)

TEXTS = {
    "abbreviation and price": "Dr. Smith paid $3.50. He was glad it was not more, frankly. The end.",
    "emoji only": "🙂🙃👍🏽🇫🇷👨‍👩‍👧 " * 20,
    "no punctuation": "word " * 2000,
    "one endless word": "a" * 3000,
    "chinese": "今天天气很好。我们去公园吧！你觉得怎么样？" * 10,
    "japanese": "こんにちは。お元気ですか？私は元気です。" * 10,
    "arabic": "كيف حالك؟ أنا بخير. شكرا لك على السؤال." * 5,
    "list": "Here is a list:\n1. First item\n2. Second item, a longer one\n- a dash\n* a star\n\nDone.",
    "hesitation": "Wait... what?! No way!! Really...? Yes.",
    "quotes": "She said: \"It is late.\" Then he answered, “I know.” (They left.) 'Finally.'",
    "numbers": "Version 3.11.2 of 2.5 million at 10:30 a.m. costs 1,000.00 e.g. dollars, i.e. much. Fine.",
    "only spaces": " \n\t " * 30,
    "empty": "",
    "code": "Use `foo.bar()` or:\n```python\nprint('a. b! c?')\n```\nDone.",
    "no space after stops": "One.Two!Three?Four;Five" * 20,
}


def tokens_of(text: str, size: int = 4) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def chunks_of(tokens: list[str], chunker: Chunker | None = None, *, in_haste: bool = False) -> list[str]:
    chunker = chunker or Chunker(FIRST, REST)
    chunks = [chunk for token in tokens for chunk in chunker.feed(token, in_haste=in_haste)]
    last = chunker.finish()
    return [*chunks, last] if last else chunks


ALPHABET = st.sampled_from(
    [*"abc .,!?…;:\n\"')-1$", "。", "、", "Dr.", "é", "e\u0301", "🙂", "\u200d", "👨", "ا", "؟", "你"]
)


@given(st.lists(st.lists(ALPHABET, max_size=6).map("".join), max_size=120), st.booleans())
@example([], False)
@example([" "] * 50, True)
@example(["."] * 50, True)
@example(["🙂"] * 200, True)
def test_chunks_joined_are_the_text_for_every_split_into_tokens(tokens: list[str], in_haste: bool) -> None:
    chunks = chunks_of(tokens, in_haste=in_haste)
    assert "".join(chunks) == "".join(tokens)
    assert all(chunks)


@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_chunks_joined_are_the_text_wherever_it_is_cut(name: str, data: st.DataObject) -> None:
    text = TEXTS[name][:600]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=60)))
    edges = [0, *cuts, len(text)]
    tokens = [text[start:end] for start, end in pairwise(edges)]
    assert "".join(chunks_of(tokens)) == text


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("size", [1, 3, 7])
def test_no_chunk_has_more_tokens_than_its_budget(name: str, size: int) -> None:
    chunker = Chunker(FIRST, REST)
    budget, fed = chunker.budget, 0
    for token in tokens_of(TEXTS[name], size):
        fed += 1
        for chunk in chunker.feed(token):
            assert chunk
            assert fed >= budget.min_tokens
            budget, fed = chunker.budget, chunker.pending_tokens
        assert fed <= budget.max_tokens
        assert chunker.pending_tokens < budget.max_tokens
    assert chunker.text == TEXTS[name]
    chunker.finish()
    assert chunker.text == TEXTS[name]
    assert chunker.finish() == ""


@pytest.mark.parametrize("name", [name for name, text in TEXTS.items() if len(text) > 200])
def test_every_long_text_gets_a_first_chunk_within_the_budget(name: str) -> None:
    """Whatever the text, the handshake between the language model and the voice never waits for ever."""
    chunker = Chunker(FIRST, REST)
    for count, token in enumerate(tokens_of(TEXTS[name], 2), start=1):
        if chunker.feed(token):
            assert count <= FIRST.max_tokens
            return
    pytest.fail("no chunk at all")


def test_an_abbreviation_or_a_price_ends_no_sentence() -> None:
    tokens = ["Dr", ".", " Smith", " paid", " $", "3", ".", "5", "0", ".", " He", " left", ".", " The end"]
    chunks = chunks_of(tokens, Chunker(Budget(1, 24), REST))
    assert chunks == ["Dr. Smith paid $3.50. ", "He left. ", "The end"]


def test_a_sentence_is_held_back_until_something_follows_it() -> None:
    chunker = Chunker(Budget(1, 24), REST)
    assert chunker.feed("It is 3.") == []
    assert chunker.feed("5 degrees.") == []
    assert chunker.feed(" Cold") == ["It is 3.5 degrees. "]


def test_a_short_sentence_waits_for_the_minimum() -> None:
    tokens = ["Yes", ".", " I", " think", " so", ".", " It", " will", " rain", ".", " Take", " a", " coat"]
    assert chunks_of(tokens)[0] == "Yes. I think so. It will rain. "


def test_a_long_sentence_is_cut_at_a_clause() -> None:
    text = "When the rain had stopped at last in the late afternoon, the children went out into the garden"
    tokens = [word + " " for word in (text + " and played with the old dog until it was dark again").split()]
    assert chunks_of(tokens)[0] == "When the rain had stopped at last in the late afternoon, "


def test_a_chunk_cut_at_the_maximum_still_has_the_minimum() -> None:
    words = "Yes. No, well, " + "and on " * 20
    tokens = [word + " " for word in words.split()]
    assert len(chunks_of(tokens)[0].split()) == 23, "cut before the last word of the budget"


def test_words_are_not_cut_in_two_at_the_budget() -> None:
    text = "word" + " another" * 200
    chunks = chunks_of(tokens_of(text, 3))
    assert set("".join(chunks).split()) == {"word", "another"}
    assert all(chunk.split()[0] in ("word", "another") for chunk in chunks)
    assert all(chunk.split()[-1] in ("word", "another") for chunk in chunks)


def test_chinese_is_cut_at_its_own_sentence_ends() -> None:
    chunks = chunks_of(list(TEXTS["chinese"]), Chunker(FIRST, REST, language="zh"))
    assert len(chunks) > 1
    assert all(chunk[-1] in "。！？" for chunk in chunks)


def test_the_closing_quote_stays_with_its_sentence() -> None:
    chunks = chunks_of(
        list('He said "It is late now." Then he left the house. Bye.'), Chunker(Budget(1, 60), REST)
    )
    assert chunks[0] == 'He said "It is late now." '


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Yes, I have heard you", "Yes, "),
        ("Okay. That is noted", "Okay. "),
        ("The weather will be fine", "The weather will "),
        ("- And then some more", "- And then "),
        ("Internationalisation", "Internationalisation"),
    ],
)
def test_in_haste_a_chunk_ends_with_the_clause_or_after_three_words(text: str, first: str) -> None:
    tokens = [part + " " for part in text.split()]
    assert chunks_of(tokens, in_haste=True)[0].rstrip() == first.rstrip()


def test_haste_ends_one_chunk_and_the_next_only_when_there_is_haste_again() -> None:
    chunker = Chunker(FIRST, REST)
    haste = [chunker.feed(word + " ", in_haste=True) for word in ("The", "weather", "will", "be")]
    assert haste == [[], [], [], ["The weather will "]]
    assert [chunker.feed(word + " ") for word in ("fine", "with", "a", "little", "wind")] == [[]] * 5
    assert chunker.finish() == "be fine with a little wind "
