"""A caller as a conversation sees it: messages in, messages out, whatever carries them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn, Protocol

Take = Callable[[str | bytes], bool]
"""Takes one message; whether another may follow at once."""
Room = Callable[[], Awaitable[None]]
"""Returns when messages may be taken again."""


class ChannelClosed(Exception):
    """Loss of the other side; there is nobody to tell."""


class HalfClosed(ChannelClosed):
    """End of the other side's sending, while it still receives."""


class Channel(Protocol):
    """A two-way stream of text and binary messages with one caller.

    A carrier implements `receive`, `send` and `close`. One that is told what comes, rather than asked, also
    implements `listen` and `offer`, which then cost no task a wake-up.
    """

    query: Mapping[str, str]

    @property
    def gone(self) -> bool:
        """True if the caller has hung up, though the conversation may not have noticed yet."""
        return False

    async def receive(self) -> str | bytes:
        """Return the next message. Raises ChannelClosed."""
        ...

    async def listen(self, take: Take, room: Room) -> NoReturn:
        """Give `take` every message as it comes; after one that it returns False for, wait for `room` first.

        Raises ChannelClosed, and what `take` raises.
        """
        while True:
            if not take(await self.receive()):
                await room()

    def offer(self, message: str | bytes) -> bool:
        """Hand a message over if that is possible without waiting; whether it was."""
        return False

    async def send(self, message: str | bytes) -> None:
        """Hand a message over, waiting while the caller reads slowly. Raises ChannelClosed."""
        ...

    async def close(self, code: int, reason: str) -> None: ...
