"""A typed conversation keeps what fits into the model's context, and leaves thoughts out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from nemotron_speech.client.typed_chat import ChatHistory, TypedChat
from nemotron_speech.errors import BadRequest
from nemotron_speech.protocol.llama import api as llama


class Model:
    """Server that answers with given texts, and refuses more messages than it has room for."""

    def __init__(self, *texts: str, most_messages: int = 100, hangs: bool = False) -> None:
        self._texts = texts
        self._most = most_messages
        self._hangs = hangs
        self.begun = asyncio.Event()
        self.asked: list[Sequence[llama.Message]] = []

    async def stream(self, request: llama.ChatRequest) -> AsyncIterator[llama.Event]:
        self.asked.append(request.messages)
        if len(request.messages) > self._most:
            raise BadRequest("exceeds the context size")
        for text in self._texts:
            yield llama.TextDelta(text)
        self.begun.set()
        if self._hangs:
            await asyncio.Event().wait()
        yield llama.Finish(llama.FinishReason.STOP, prompt_tokens=100)


async def ask(chat: TypedChat, question: str) -> str:
    shown: list[str] = []
    await chat.answer(question, shown.append, shown.clear)
    return "".join(shown)


async def test_the_conversation_is_remembered() -> None:
    model = Model("It is ", "noon.")
    chat = TypedChat(model, ChatHistory("Be kind."))
    assert await ask(chat, "What time is it?") == "It is noon."
    await ask(chat, "Really?")
    assert [m["content"] for m in model.asked[1]] == [
        "Be kind.",
        "What time is it?",
        "It is noon.",
        "Really?",
    ]


async def test_thoughts_are_neither_shown_nor_remembered() -> None:
    model = Model("<think>noon, I suppose</think>", "It is noon.")
    chat = TypedChat(model, ChatHistory("s"))
    assert (await ask(chat, "Time?")).strip() == "It is noon."
    await ask(chat, "Really?")
    assert [m["content"] for m in model.asked[1]] == ["s", "Time?", "It is noon.", "Really?"]


async def test_the_oldest_exchange_goes_when_the_server_refuses() -> None:
    model = Model("Yes.", most_messages=4)
    chat = TypedChat(model, ChatHistory("s"))
    for question in ("one", "two", "three"):
        assert await ask(chat, question) == "Yes."
    assert [m["content"] for m in model.asked[-1]] == ["s", "two", "Yes.", "three"]


async def test_a_question_longer_than_the_context_is_refused() -> None:
    chat = TypedChat(Model(most_messages=1), ChatHistory("s"))
    with pytest.raises(BadRequest, match="context"):
        await ask(chat, "much too long")


def test_what_leaves_no_room_for_an_answer_is_dropped_before_it_is_sent() -> None:
    history = ChatHistory("s" * 10, window=400)
    assert history.answer_tokens == 100
    for number in range(10):
        history.keep(f"{number}" * 50, "a" * 50)
    history.measured(500, "")  # 1010 characters: half a token each
    contents = [m["content"] for m in history.messages("q" * 90)]
    assert contents[0] == "s" * 10
    assert contents[1] == "5" * 50
    assert len(contents) == 2 + 2 * 5


async def test_a_stopped_answer_is_remembered_as_far_as_it_was_shown() -> None:
    model = Model("Once upon a time, there was ", "a king. ", "He ", hangs=True)
    chat = TypedChat(model, ChatHistory("s"))
    task = asyncio.ensure_future(ask(chat, "A story!"))
    await model.begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    second = asyncio.ensure_future(ask(chat, "Go on."))
    await asyncio.sleep(0.01)
    second.cancel()
    await asyncio.wait([second])
    assert model.asked[1][2]["content"].startswith("Once upon a time")
