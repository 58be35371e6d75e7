"""What the bot says about its own troubles, and when it can be heard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

LOST_RECOGNISER = "Sorry, I lost my speech recogniser, one moment."


class LostRecogniser:
    """Say that the recogniser is gone: at once, or when the user has stopped speaking to nobody.

    What is said while the user speaks would be interrupted by that very speech.
    """

    def __init__(self, say: Callable[[str], Awaitable[None]]) -> None:
        self._say = say
        self._away = False
        self._user_speaks = False

    async def lost(self) -> None:
        """The recogniser is gone."""
        self._away = True
        if not self._user_speaks:
            await self._say(LOST_RECOGNISER)

    def recovered(self) -> None:
        """It is back."""
        self._away = False

    def turn_started(self) -> None:
        """The user has begun to speak."""
        self._user_speaks = True

    async def turn_stopped(self) -> None:
        """The user's turn is over; without a recogniser it was in vain."""
        self._user_speaks = False
        if self._away:
            await self._say(LOST_RECOGNISER)
