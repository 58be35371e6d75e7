"""The gain of answers begun ahead, turn by turn, measured where the user hears it.

A confirmed answer gains the time it was begun ahead of the turn's end. A withdrawn one may cost: the server
is still busy with it, or has lost the prompt it had in its cache. Its cost is the time by which its turn's
answer took longer, from its request to its first sound, than answers of turns without one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import fmean, median

LEAST_GAIN_S = 0.005
TURNS = 10
AGAIN = 3
"""Turns after a pause that tell whether anything has changed."""


@dataclass(slots=True)
class _Turn:
    """Speculations of one turn."""

    withdrawn: int = 0
    ahead_s: float = 0.0
    confirmed: bool = False
    over_at: float | None = None


class Gain:
    """Say whether the last turns that were speculated on gained anything. A machine of values."""

    def __init__(self) -> None:
        self._turn = _Turn()
        self._gains: deque[float] = deque(maxlen=TURNS)
        self._undisturbed: deque[float] = deque(maxlen=TURNS)
        """Seconds from request to sound of answers in whose turn nothing was withdrawn."""

    def turn_began(self) -> None:
        """Begin a turn; the outcome of the one before is known, or never will be."""
        self._turn = _Turn()

    def settled(self, confirmed: bool, ahead_s: float) -> None:
        """Note that an answer was confirmed `ahead_s` after it was begun, or withdrawn."""
        if confirmed:
            self._turn.confirmed, self._turn.ahead_s = True, ahead_s
        else:
            self._turn.withdrawn += 1

    def turn_over(self, now: float) -> None:
        """Note that the user's turn is over."""
        self._turn.over_at = now

    def heard(self, now: float) -> bool:
        """Note that the bot begins to be heard. Return whether that says something about the gain."""
        turn, self._turn = self._turn, _Turn()
        if turn.over_at is None:
            return False
        took = now - turn.over_at + turn.ahead_s
        if not turn.withdrawn:
            self._undisturbed.append(took)
        if not (turn.confirmed or turn.withdrawn):
            return False
        self._gains.append(turn.ahead_s - (self._cost(took) if turn.withdrawn else 0.0))
        return True

    def pause(self) -> None:
        """Begin nothing ahead for a while; then a few turns tell whether there is a gain now."""
        while len(self._gains) > TURNS - AGAIN:
            self._gains.popleft()

    @property
    def is_worthwhile(self) -> bool:
        """True if there was a gain, as far as it is known."""
        return len(self._gains) < TURNS or self.mean_s >= LEAST_GAIN_S

    @property
    def mean_s(self) -> float:
        """Mean gain of the last turns that were speculated on, in seconds."""
        return fmean(self._gains) if self._gains else 0.0

    def _cost(self, took: float) -> float:
        """Return what a withdrawn answer cost one that took so long."""
        return took - median(self._undisturbed) if self._undisturbed else 0.0
