"""Greeting of a session: once, to a caller who can hear it, when the bot can speak and listen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto

CLIENT_READY_S = 1.0
"""Longest wait, in seconds, for a connected page to get ready. A caller that sends no RTVI message at all (a
plain WebSocket client, a WebRTC caller without a data channel) is greeted after it."""


class Stage(Enum):
    """Progress of a conversation's beginning."""

    NOBODY = auto()
    CONNECTED = auto()
    """Somebody is there, who may yet be a page that gets ready."""
    LISTENING = auto()
    """The caller can hear the bot, which lacks a voice, or a line for the caller."""
    GREETED = auto()


class Greeting:
    """Say hello when both sides are there.

    Args:
        say: Says it.
        can_serve: True if a voice for the greeting and a recogniser for the answer are there.
        arrived: Told once that the caller hears the bot.
        patience_s: How long a caller is waited for that may get ready.
    """

    def __init__(
        self,
        say: Callable[[], Awaitable[None]],
        can_serve: Callable[[], bool],
        arrived: Callable[[], Awaitable[None]],
        patience_s: float = CLIENT_READY_S,
    ) -> None:
        self._say = say
        self._can_serve = can_serve
        self._arrived = arrived
        self._patience_s = patience_s
        self.stage = Stage.NOBODY

    @property
    def heard(self) -> bool:
        """True if the caller hears the bot's speech."""
        return self.stage in (Stage.LISTENING, Stage.GREETED)

    async def connected(self, *, is_page: bool) -> None:
        """Note a caller: a telephone, which hears at once, or perhaps a page, which says when it is ready."""
        if self.stage is Stage.NOBODY:
            self.stage = Stage.CONNECTED
            if is_page:
                await asyncio.sleep(self._patience_s)
            await self.ready()

    async def ready(self) -> None:
        """Note that the caller hears the bot from now on."""
        if not self.heard:
            self.stage = Stage.LISTENING
            await self._arrived()
        await self.services_changed()

    async def services_changed(self) -> None:
        """Note that a server is there, or is there again."""
        if self.stage is Stage.LISTENING and self._can_serve():
            self.stage = Stage.GREETED
            await self._say()
