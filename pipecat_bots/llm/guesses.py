"""Requests for answers that may be withdrawn: no prompt is read twice, and none where that is dear."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipecat.processors.frame_processor import FrameProcessor

from nemotron_speech.protocol.llama.api import ChatRequest
from pipecat_bots.llm.client import ModelServer
from pipecat_bots.llm.incoming import Incoming
from pipecat_bots.speculation.speculation import Speculation

KEEP_S = 1.5
"""Seconds a withdrawn answer goes on: a noise is known to be one by then, and the same is asked again."""
SURE_ANSWERS = 8
"""Answers begun only when they are certain, after a wrong guess that cost the whole conversation."""


class Guesses:
    """Opens the requests of one conversation, and keeps the last guess for whoever asks the same again.

    Args:
        model: The server.
        owner: Processor whose tasks the reading is.
        on_free: Called when a guess that was kept is given up.
    """

    def __init__(self, model: ModelServer, owner: FrameProcessor, on_free: Callable[[], None]) -> None:
        self._model = model
        self._owner = owner
        self._on_free = on_free
        self._guess: Speculation | None = None
        """Speculation that the last request was for; None for a settled turn."""
        self._kept: Incoming | None = None
        self._closing: asyncio.Task[None] | None = None
        self._since_wrong = SURE_ANSWERS
        """Answers that were certain when they were begun, since a guess was replaced by another question."""
        self._settled = asyncio.Event()

    @property
    def is_reading(self) -> bool:
        """True if the server is at work on an answer that was withdrawn."""
        return self._kept is not None and not self._kept.is_over

    def note_settled(self) -> None:
        """Note that a guess has been confirmed or withdrawn."""
        self._settled.set()

    async def wait_if_dear(self, guess: Speculation | None) -> None:
        """Return when the answer to a guess may be begun: at once, or when it is settled."""
        dear = self._since_wrong < SURE_ANSWERS and self._model.pays_for_a_wrong_guess
        while dear and guess is not None and guess.pending:
            self._settled.clear()
            await self._settled.wait()

    async def open(self, request: ChatRequest, guess: Speculation | None) -> Incoming:
        """Send a request, or take over the withdrawn one that is alike."""
        before, self._guess = self._guess, guess
        kept, self._kept = self._kept, None
        await self._stop_closing()
        was_withdrawn = before is not None and before.withdrawn
        if kept is not None and was_withdrawn and kept.is_whole and _is_alike(kept.request, request):
            return kept
        if kept is not None:
            await kept.close()
        self._count(was_withdrawn)
        return Incoming(request, self._model.events(request), self._owner)

    def _count(self, was_wrong: bool) -> None:
        if was_wrong:
            self._since_wrong = 0
        elif self._guess is None or self._guess.confirmed:
            self._since_wrong += 1

    async def release(self, incoming: Incoming) -> None:
        """Give up a request that nobody reads any more; a guess is kept for a moment."""
        guess = self._guess
        if guess is None or guess.confirmed or not incoming.is_whole:
            await incoming.close()
            return
        self._kept = incoming
        if not incoming.is_over:
            self._closing = self._owner.create_task(self._close_later(incoming), "guess")

    async def close(self) -> None:
        """Keep nothing any more."""
        kept, self._kept = self._kept, None
        await self._stop_closing()
        if kept is not None:
            await kept.close()

    async def _close_later(self, incoming: Incoming) -> None:
        await asyncio.sleep(KEEP_S)
        self._closing = None
        if not incoming.is_over:
            await incoming.close()
            self._on_free()

    async def _stop_closing(self) -> None:
        task, self._closing = self._closing, None
        if task is not None and not task.done():
            await self._owner.cancel_task(task)


def _is_alike(one: ChatRequest, other: ChatRequest) -> bool:
    return one.messages == other.messages and one.tools == other.tools
