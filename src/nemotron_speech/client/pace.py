"""Choice between streaming a segment and taking it whole: whole where its listener has audio until then.

Seconds are arguments. A client keeps one `Pace` per server and tells it the time that each segment took.
"""

from __future__ import annotations

from nemotron_speech.protocol.tts import Mode

MARGIN = 1.5
"""Factor by which a segment may outlast its estimate: numbers and abbreviations are longer than they look."""
RESERVE_S = 0.2
"""Seconds of audio that the listener has left when a segment arrives as late as `MARGIN` allows."""
_TELLING_S = 2.0
"""Least audio, in seconds, of a segment that informs the estimate: the edges dominate a shorter one."""
_QUICKER = 0.3
"""Share of a quicker segment in what is expected of the next; a slower one is believed at once."""


class Pace:
    """Estimate of a server's speed from the segments it has spoken; without any it counts as slow."""

    def __init__(self) -> None:
        self._seen = False
        self._audio_per_character = 0.08
        self._work_per_audio = 1.0

    def saw(self, characters: int, audio_s: float, work_s: float) -> None:
        """Learn from a segment: its text, its audio, and how long the server had been at it."""
        if not characters or audio_s <= 0:
            return
        trust = min(1.0, audio_s / _TELLING_S) if self._seen else 1.0
        self._audio_per_character = self._learnt(self._audio_per_character, audio_s / characters, trust)
        self._work_per_audio = self._learnt(self._work_per_audio, work_s / audio_s, trust)
        self._seen = True

    def audio_s(self, characters: int) -> float:
        """Return how long a text is expected to sound."""
        return characters * self._audio_per_character

    def work_s(self, characters: int) -> float:
        """Return how long the server is expected to work on a text."""
        return self.audio_s(characters) * self._work_per_audio

    @property
    def ms_per_character(self) -> float | None:
        """Length of a character's audio, in milliseconds; None until audio has been heard."""
        return self._audio_per_character * 1000 if self._seen else None

    def mode(self, characters: int, queued_s: float, waiting_s: float = 0.0) -> Mode:
        """Return how to ask for a text.

        Args:
            queued_s: Audio the listener has and has not played.
            waiting_s: Audio that was asked for before and has not come.
        """
        work_s = (waiting_s + self.audio_s(characters)) * self._work_per_audio
        return "batch" if queued_s + waiting_s >= MARGIN * work_s + RESERVE_S else "stream"

    def _learnt(self, known: float, seen: float, trust: float) -> float:
        return known + trust * (seen - known) * (1.0 if seen > known or not self._seen else _QUICKER)
