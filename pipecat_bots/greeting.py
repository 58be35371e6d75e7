"""When the bot says hello: once, to a caller who can hear it, with a voice that is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto

CLIENT_READY_S = 1.0
"""How long a connected caller may be a page that is still getting ready. One that sends no RTVI message at
all (a plain WebSocket client, a WebRTC caller without a data channel) is greeted after it."""


class Stage(Enum):
    """How far the beginning of a conversation has come."""

    NOBODY = auto()
    CONNECTED = auto()
    """Somebody is there, who may yet be a page that gets ready."""
    LISTENING = auto()
    """The caller can hear the bot, which has no voice."""
    GREETED = auto()


class Greeting:
    """Say hello when both sides are there.

    Args:
        say: Says it.
        has_voice: Whether there is a voice to say it with.
        patience_s: How long a caller is waited for that may get ready.
    """

    def __init__(
        self,
        say: Callable[[], Awaitable[None]],
        has_voice: Callable[[], bool],
        patience_s: float = CLIENT_READY_S,
    ) -> None:
        self._say = say
        self._has_voice = has_voice
        self._patience_s = patience_s
        self.stage = Stage.NOBODY

    @property
    def heard(self) -> bool:
        """Whether the caller hears what the bot says."""
        return self.stage in (Stage.LISTENING, Stage.GREETED)

    async def connected(self, *, is_page: bool) -> None:
        """Somebody is connected: a telephone, that hears at once, or what may be a page, that says when."""
        if self.stage is Stage.NOBODY:
            self.stage = Stage.CONNECTED
            if is_page:
                await asyncio.sleep(self._patience_s)
            await self.ready()

    async def ready(self) -> None:
        """The caller hears the bot from now on."""
        if not self.heard:
            self.stage = Stage.LISTENING
        await self.voice_is_back()

    async def voice_is_back(self) -> None:
        """There is a voice, or there is one again."""
        if self.stage is Stage.LISTENING and self._has_voice():
            self.stage = Stage.GREETED
            await self._say()
