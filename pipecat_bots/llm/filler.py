"""Filler words while a tool takes longer than a moment."""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import TTSSpeakFrame
from pipecat.processors.frame_processor import FrameProcessor

TOOL_PATIENCE_S = 0.6
"""Longest run of a tool, in seconds, before the user is told that it is at work."""


class Filler:
    """Tells the user once that a tool is at work, unless it is done before.

    Args:
        text: Words to say; empty for none.
        owner: Processor that says them.
    """

    def __init__(self, text: str, owner: FrameProcessor) -> None:
        self._text = text
        self._owner = owner
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._text:
            self._task = self._owner.create_task(self._say_so(), "filler")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None and not task.done():
            await self._owner.cancel_task(task)

    async def _say_so(self) -> None:
        await asyncio.sleep(TOOL_PATIENCE_S)
        await self._owner.push_frame(TTSSpeakFrame(self._text, append_to_context=False))
