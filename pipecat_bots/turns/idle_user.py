"""Reaction of the bot to a user who says nothing: ask, then say goodbye, then end the session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

OBJECTION_S = 3.0
"""Seconds within which a goodbye may be objected to."""


@dataclass(frozen=True, slots=True)
class IdlePlan:
    """Limits of the user's silence, in seconds, and the words said about it."""

    ask_s: float
    leave_s: float
    question: str
    goodbye: str


class IdleUser:
    """Take one silence after the other; a word of the user's begins it anew.

    Args:
        plan: When to do what.
        say: Says a text.
        wait: Sets how long the next silence may be.
        leave: Ends the session.
    """

    def __init__(
        self,
        plan: IdlePlan,
        say: Callable[[str], Awaitable[None]],
        wait: Callable[[float], Awaitable[None]],
        leave: Callable[[], Awaitable[None]],
    ) -> None:
        self._plan = plan
        self._say, self._wait, self._leave = say, wait, leave
        self._silences = 0

    async def silent(self) -> None:
        """Note that the user has said nothing for as long as was allowed."""
        self._silences += 1
        match self._silences:
            case 1:
                await self._wait(self._plan.leave_s)
                await self._say(self._plan.question)
            case 2:
                await self._wait(OBJECTION_S)
                await self._say(self._plan.goodbye)
            case _:
                await self._leave()

    async def spoke(self) -> None:
        """Note that the user has begun to say something."""
        if self._silences:
            self._silences = 0
            await self._wait(self._plan.ask_s)
