"""A language model's server that restarts while the user waits: asked again, and answered for afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from loguru import logger
from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    UserStartedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection

from pipecat_bots.connections.backoff import OutagePatience
from pipecat_bots.connections.outage import HttpDependent
from pipecat_bots.frames import LLMChunkFrame
from pipecat_bots.llm.client import GONE
from pipecat_bots.llm.reply import RequestRefused

RESTART_S = 3.0
"""Seconds a user waits for a server that is away before the bot says so."""
LOADING = 503


class OutlivesRestarts(HttpDependent):
    """Keeps a question that was apologised for, and answers it when the server is back.

    It is dropped when the user speaks again, or when some of the answer was said.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._owed: LLMContext | None = None
        self._has_said_something = False

    @property
    def _may_ask_again(self) -> bool:
        """True if the rest of the answer can be asked for, where its beginning was said."""
        return True

    def _owe(self, context: LLMContext) -> None:
        """Note that a conversation waits for an answer that the server could not give."""
        if not self._has_said_something:
            self._owed = context

    async def _on_back(self) -> None:
        context, self._owed = self._owed, None
        if context is not None:
            logger.info(f"{self}: answers what was asked while its server was away")
            await self.queue_frame(LLMContextFrame(context))

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, UserStartedSpeakingFrame | LLMContextFrame):
            self._owed = None
        await super().process_frame(frame, direction)

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if isinstance(frame, LLMFullResponseStartFrame):
            self._has_said_something = False
        elif isinstance(frame, LLMChunkFrame | LLMTextFrame):
            self._has_said_something = True
        await super().push_frame(frame, direction)


Service = TypeVar("Service", bound=OutlivesRestarts)
P = ParamSpec("P")
Generate = Callable[Concatenate[Service, P], Awaitable[None]]


def through_restarts(generate: Generate[Service, P]) -> Generate[Service, P]:
    """Call a method that reads an answer again, for `RESTART_S`, while its server is away or loading.

    Each call goes on behind what has been read. Raises what the last attempt raised.
    """

    @wraps(generate)
    async def persistent(service: Service, *args: P.args, **kwargs: P.kwargs) -> None:
        patience = OutagePatience(RESTART_S)
        while True:
            try:
                await generate(service, *args, **kwargs)
                return
            except (*GONE, RequestRefused) as failure:
                if not (_is_of_a_restart(failure) and service._may_ask_again):
                    raise
                await service._lost(failure or type(failure).__name__)
                if not await patience.again():
                    raise

    return persistent


def _is_of_a_restart(failure: Exception) -> bool:
    """Return True for a failure of a restarting server: no timeout, and no refusal but for loading."""
    if isinstance(failure, RequestRefused):
        return failure.error.code == LOADING
    return not isinstance(failure, TimeoutError)
