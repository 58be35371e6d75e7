"""Let a language model's server read the conversation while nobody waits for an answer to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor

from nemotron_speech.protocol.llama.api import ChatRequest
from pipecat_bots.context.user import Conversation
from pipecat_bots.llm.client import GONE, ModelServer
from pipecat_bots.llm.reply import RequestRefused


class Warmer:
    """Keeps the server's cache at the end of a conversation, where the next question gains by it.

    The text it reads is the beginning of the next request, so an answer that stops it goes on from there.

    Args:
        model: The server.
        request: Makes the request that an answer to a conversation would be.
        owner: Processor whose task the work is.
        is_idle: True if nothing else is asked of the server.
    """

    def __init__(
        self,
        model: ModelServer,
        request: Callable[[LLMContext], Awaitable[ChatRequest]],
        owner: FrameProcessor,
        is_idle: Callable[[], bool],
    ) -> None:
        self._model = model
        self._request = request
        self._owner = owner
        self._is_idle = is_idle
        self._conversation: Conversation | None = None
        self._task: asyncio.Task[None] | None = None
        self.tokens = 0
        """Tokens evaluated while nobody waited for them."""

    @property
    def is_at_work(self) -> bool:
        return self._task is not None and not self._task.done()

    def keep(self, conversation: Conversation) -> None:
        """Keep the cache at the end of `conversation` from now on."""
        self._conversation = conversation
        conversation.on_change = self.start

    def start(self) -> None:
        """Read what is new, unless somebody waits for something else."""
        if self._may_work() and not self.is_at_work:
            self._task = self._owner.create_task(self._work(), "warm")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None and not task.done():
            await self._owner.cancel_task(task)

    def _may_work(self) -> bool:
        """Return whether nothing is asked of the server, nor about to be."""
        if self._conversation is None or not self._is_idle():
            return False
        messages = self._conversation.get_messages()
        last = messages[-1] if messages else None
        waits_for_answer = isinstance(last, dict) and last.get("role") in ("user", "tool")
        may_warm = self._model.is_open and self._model.keeps_one_cache and not self._model.is_strict
        return may_warm and not waits_for_answer

    async def _work(self) -> None:
        with suppress(*GONE, RequestRefused):  # the answer will say what is wrong
            await self._model.learn_context_tokens()
            before: ChatRequest | None = None
            while self._conversation is not None and self._may_work():
                request = await self._request(self._conversation)
                if request == before or not self._model.cache.gains_by_reading(request.messages):
                    return
                before = request
                self.tokens += await self._model.warm(request)
