"""Conversation in writing with a language model, of which as much is kept as its context holds."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import NamedTuple, Protocol

from nemotron_speech.audio import Clip
from nemotron_speech.client.turn import Synthesiser, spoken, written
from nemotron_speech.errors import BadRequest
from nemotron_speech.protocol.llama import api as llama

ANSWER_TOKENS = 1024
"""Most tokens of an answer; never more than a quarter of the context."""


class Exchange(NamedTuple):
    """One question and its answer."""

    question: str
    answer: str


class ChatServer(Protocol):
    """Language model server (`client.LlmClient`)."""

    def stream(self, request: llama.ChatRequest) -> AsyncIterator[llama.Event]: ...


class ChatHistory:
    """System prompt and earlier exchanges, the oldest of which are dropped for want of room.

    Args:
        window: Tokens of the model's context; None where the server does not tell. It then refuses what is
            too long, and `forget_oldest` makes room.
    """

    def __init__(self, system: str, window: int | None = None) -> None:
        self._system = system
        self._exchanges: deque[Exchange] = deque()
        self._window = window
        self._tokens_per_character = 0.5
        """Bound to begin with, for the languages that need most; then measured in each answer."""

    @property
    def answer_tokens(self) -> int:
        """Tokens that an answer may have."""
        return min(ANSWER_TOKENS, self._window // 4) if self._window else ANSWER_TOKENS

    def messages(self, question: str) -> list[llama.Message]:
        """Return what the model is sent; exchanges that leave no room for an answer are dropped for good."""
        while self._exchanges and not self._has_room(question):
            self._exchanges.popleft()
        earlier = [
            {"role": role, "content": text}
            for exchange in self._exchanges
            for role, text in zip(("user", "assistant"), exchange, strict=True)
        ]
        return [{"role": "system", "content": self._system}, *earlier, {"role": "user", "content": question}]

    def keep(self, question: str, answer: str) -> None:
        """Remember an exchange; one without an answer is not worth it."""
        if answer:
            self._exchanges.append(Exchange(question, answer))

    def forget_oldest(self) -> bool:
        """Drop the oldest exchange; False where there is none."""
        if not self._exchanges:
            return False
        self._exchanges.popleft()
        return True

    def measured(self, prompt_tokens: int, question: str) -> None:
        """Learn the size of a token from a prompt that the server has counted."""
        if prompt_tokens:
            self._tokens_per_character = prompt_tokens / self._characters(question)

    def _has_room(self, question: str) -> bool:
        if self._window is None:
            return True
        return self._characters(question) * self._tokens_per_character + self.answer_tokens <= self._window

    def _characters(self, question: str) -> int:
        return len(self._system) + len(question) + sum(len(q) + len(a) for q, a in self._exchanges)


class TypedChat:
    """One person's conversation with a language model."""

    def __init__(self, llm: ChatServer, history: ChatHistory) -> None:
        self._llm = llm
        self._history = history

    async def answer(
        self,
        question: str,
        on_token: Callable[[str], None],
        on_taken_back: Callable[[], None],
        tts: Synthesiser | None = None,
    ) -> Clip | None:
        """Answer a question; cancelled, the conversation keeps what was written of the answer.

        Args:
            on_token: Told each piece of the answer's text; thoughts and tool calls are left out.
            on_taken_back: Told that all words so far were thoughts.
            tts: Speaks the answer while it is written; the speech is returned.

        Raises PeerError, BadRequest (a question longer than the context), Full, EngineError.
        """
        said = ""

        def note(token: str) -> None:
            nonlocal said
            said += token
            on_token(token)

        def take_back() -> None:
            nonlocal said
            said = ""
            on_taken_back()

        try:
            if tts is None:
                await written(self._tokens(question), note, take_back)
                return None
            _, clip = await spoken(self._tokens(question), tts, note, take_back)
            return clip
        finally:
            self._history.keep(question, said.strip())

    async def _tokens(self, question: str) -> AsyncIterator[str]:
        """Yield the model's text; where the prompt is refused as too long, older exchanges are dropped."""
        begun = False
        while True:
            request = llama.ChatRequest(
                messages=self._history.messages(question), max_tokens=self._history.answer_tokens
            )
            try:
                async with aclosing(self._llm.stream(request)) as events:  # type: ignore[type-var]
                    async for event in events:
                        if isinstance(event, llama.TextDelta):
                            begun = True
                            yield event.text
                        if isinstance(event, llama.Finish):
                            self._history.measured(event.prompt_tokens, question)
                return
            except BadRequest:
                if begun or not self._history.forget_oldest():
                    raise
