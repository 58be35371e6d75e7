"""A language model that takes long: the user is told, and it is given up before the silence is endless."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pipecat.frames.frames import TTSSpeakFrame
from pipecat.processors.frame_processor import FrameProcessor

from nemotron_speech.protocol.llama.api import Event

NOTICE_S = 8.0
GIVE_UP_S = 20.0
STALL_S = 2.0
"""Pause of the model after which the words at hand are spoken, however few they are."""
NOTICE = "One moment please, I am still thinking about that."


@dataclass(frozen=True, slots=True)
class ModelPatience:
    """Limits of the wait for a language model.

    Args:
        notice_s: Seconds without a word after which the user is told that it takes longer.
        give_up_s: Seconds without a sign of the server after which the answer is given up.
        notice: Words the user is told; empty for none.
    """

    notice_s: float = NOTICE_S
    give_up_s: float = GIVE_UP_S
    notice: str = NOTICE


async def unless_silent(reads: AsyncIterator[list[Event]], silence_s: float) -> AsyncIterator[list[Event]]:
    """Give on what is read. Raises TimeoutError where all of it was nothing for `silence_s`.

    A read without events is no sign of the model: servers and proxies keep connections open with those.
    """
    loop = asyncio.get_running_loop()
    silent_since = loop.time()
    async for events in reads:
        if events:
            silent_since = loop.time()
        elif loop.time() - silent_since >= silence_s:
            raise TimeoutError(f"no sign of it for {silence_s:.0f} s")
        yield events


class WaitNotice:
    """Tells the user, once an answer, that the model takes its time, when there is nothing to be heard.

    Args:
        patience: Limits, and the words.
        heard_until: Moment until which the listener has something to hear, on the loop's clock.
        owner: Processor that says it.
    """

    def __init__(
        self, patience: ModelPatience, heard_until: Callable[[], float | None], owner: FrameProcessor
    ) -> None:
        self._patience = patience
        self._heard_until = heard_until
        self._owner = owner
        self._began = 0.0
        self._is_due = False

    def begin(self) -> None:
        """A new answer is waited for from now on."""
        self._began = asyncio.get_running_loop().time()
        self._is_due = bool(self._patience.notice)

    @asynccontextmanager
    async def while_waiting(self) -> AsyncIterator[None]:
        """Watch the wait for the model, and no other one."""
        if not self._is_due:
            yield
            return
        task = self._owner.create_task(self._say_when_due(), "notice")
        try:
            yield
        finally:
            if not task.done():
                await self._owner.cancel_task(task)

    async def _say_when_due(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            left = self._silent_since() + self._patience.notice_s - loop.time()
            if left <= 0:
                break
            await asyncio.sleep(left)
        self._is_due = False
        await self._owner.push_frame(TTSSpeakFrame(self._patience.notice, append_to_context=False))

    def _silent_since(self) -> float:
        return max(self._began, self._heard_until() or 0.0)
