"""Announcements of the bot about its own troubles, each at a moment at which it can be heard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum, auto

LOST_RECOGNISER = "Sorry, I lost my speech recogniser, one moment."
BACK = "I am back."
BACK_WITHOUT_WORDS = "I am back. Please say that again."


class Owed(Enum):
    """Debt to the user when a server is back: nothing, an answer, or a request to repeat."""

    NOTHING = auto()
    ANSWER = auto()
    """Kept speech: its transcript comes now, and is answered."""
    REPETITION = auto()
    """Lost speech: the user has to say it again."""


class LostRecogniser:
    """Say that the recogniser is gone: at once, or when the user has stopped speaking to nobody.

    An apology while the user speaks would be interrupted by that very speech. An apology is followed by
    something when the recogniser is back: an answer, or the word that it is back.
    """

    def __init__(self, say: Callable[[str], Awaitable[None]]) -> None:
        self._say = say
        self._away = False
        self._apologised = False
        self._user_speaks = False

    async def lost(self) -> None:
        """Note that the recogniser has been gone for longer than a restart takes."""
        self._away = True
        if not self._user_speaks:
            await self._apologise()

    async def recovered(self, owed: Owed = Owed.NOTHING) -> None:
        """Note that the recogniser is back, and say so after an apology, unless an answer comes."""
        self._away = False
        apologised, self._apologised = self._apologised, False
        if not apologised or owed is Owed.ANSWER:
            return
        await self._say(BACK if owed is Owed.NOTHING else BACK_WITHOUT_WORDS)

    async def unheard(self) -> None:
        """Note that the speech during the outage turns out to hold no words."""
        if not self._away:
            await self._say(BACK_WITHOUT_WORDS)

    def turn_started(self) -> None:
        """Note that the user has begun to speak."""
        self._user_speaks = True

    async def turn_stopped(self) -> None:
        """Note that the user's turn is over; without a recogniser it was in vain."""
        self._user_speaks = False
        if self._away:
            await self._apologise()

    async def _apologise(self) -> None:
        self._apologised = True
        await self._say(LOST_RECOGNISER)
