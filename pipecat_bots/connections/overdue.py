"""Bound on the wait for an answer of a server that is connected: it may be slow, or have fallen silent.

A machine of values: moments are arguments, in seconds on one clock.
"""

from __future__ import annotations

SILENT_S = 4.0
"""Wait for an answer, in seconds, after which a server without any sign of life has fallen silent. A final
may be 3 s late (`FINAL_P99_S`) and still belong to its turn."""
MOST_S = 30.0
_MARGIN = 2.0
"""Factor by which a server may take longer than ever before, and by which each wait in vain is prolonged."""


class Overdue:
    """Limit of the wait for an answer: longer for a server known to be slow, or asked in vain before."""

    def __init__(self, least_s: float = SILENT_S, most_s: float = MOST_S) -> None:
        self._limit_s, self._most_s = least_s, most_s
        self._since = 0.0

    def begin(self, now: float) -> None:
        """Count from here: an answer has been asked for, and none was due."""
        self._since = now

    def sign_of_life(self, now: float) -> None:
        """Count from here: the server has said something, and knows at least that long a silence."""
        self._limit_s = max(self._limit_s, min(self._most_s, _MARGIN * (now - self._since)))
        self._since = now

    def in_vain(self) -> float:
        """Note that the answer did not come within the limit, which is returned; the next one is longer."""
        limit_s = self._limit_s
        self._limit_s = min(self._most_s, _MARGIN * limit_s)
        return limit_s

    @property
    def at(self) -> float:
        """Moment at which the answer is overdue."""
        return self._since + self._limit_s
