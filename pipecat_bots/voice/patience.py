"""Limits of a voice's silence: when it is asked again, and when it is given up.

A machine of values: moments are arguments, in seconds on one clock.
"""

from __future__ import annotations

from enum import Enum, auto

SILENT_S = 2.0
"""Longest silence, in seconds, without any sign of a server that could have begun."""
ANNOUNCED_S = 8.0
"""Longest wait for audio, in seconds, once the server has said that it begins: an engine without a GPU may
need that for a sentence."""
MOST_S = 20.0
_MARGIN = 2.0
"""Factor by which a server may take longer than ever before."""
AWAY_S = 5.0
"""Seconds text waits for a server that went away: longer than a restart of three seconds takes."""
STILL_AWAY_S = 1.0
"""Seconds text waits where waiting for the server was in vain before."""


class Voice(Enum):
    """State of a voice, as far as it is known."""

    FINE = auto()
    ASKED_AGAIN = auto()
    """The voice gave no sign, and has been asked a second time."""
    LOST = auto()
    """Lost voice: silent when asked again too, or away; nobody waits for it."""


class SilentVoicePatience:
    """Learns how long the voice takes between two signs of life, and waits twice as long."""

    def __init__(self) -> None:
        self._since = 0.0
        self._slowest_s = 0.0
        self.is_announced = False
        """True if the voice has said that it begins, and has sent no audio since."""

    def begin(self, now: float) -> None:
        """Count from here: the server can begin."""
        self._since, self.is_announced = now, False

    def begin_again(self, now: float) -> None:
        """Count from here: it is asked a second time, and may be at the first still."""
        self._since = now

    def announced(self, now: float) -> None:
        """Note that it has begun."""
        self.is_announced = True
        self._since = now

    def heard(self, now: float) -> None:
        """Note a sign of its work: audio, or the end of a segment."""
        self._slowest_s = max(self._slowest_s, now - self._since)
        self.begin(now)

    def until(self, work_s: float = 0.0, most_s: float = MOST_S) -> float:
        """Return when patience ends.

        Args:
            work_s: How long the server is expected to work before the next sign.
            most_s: How long is waited at most.
        """
        least = ANNOUNCED_S if self.is_announced else SILENT_S
        return self._since + min(max(least, _MARGIN * self._slowest_s, _MARGIN * work_s), most_s)
