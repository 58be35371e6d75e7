"""The end of what was spoken, to milliseconds; a voice activity detector knows it to a tenth of a second.

Silero goes on hearing a voice for 30 to 110 ms after its last sound (16 sentences, two voices of eSpeak NG).
Delays of answers are counted from that sound.
"""

from __future__ import annotations

from collections import deque

import numpy as np

PIECE = 64
"""Samples that are loud or quiet together: 4 ms at 16 kHz."""
KEPT_S = 3.0
LONGEST_LAG_S = 0.15
"""Longest lag of the detector behind a voice, in seconds; in steady noise, loudness alone says nothing."""
_FAINT = 60.0
"""RMS of int16 samples below which nothing is heard."""
_ABOVE_NOISE = 3.0
"""Ratio of loudness between the end of a voice and the silence behind it, at least."""


class LastSound:
    """Loudness of the newest audio, piece by piece. A machine of values: its clock are the samples."""

    def __init__(self, sample_rate: int = 16000) -> None:
        self._rate = sample_rate
        self._rms: deque[float] = deque(maxlen=int(KEPT_S * sample_rate / PIECE))

    def take(self, pcm: bytes) -> None:
        """Hear int16 samples, a whole number of pieces."""
        pieces = np.frombuffer(pcm, "<i2").reshape(-1, PIECE).astype(np.float32)
        self._rms.extend(np.sqrt(np.einsum("ij,ij->i", pieces, pieces) / PIECE).tolist())

    def silence_s(self, known_s: float) -> float:
        """Return the seconds since the last sound, given how long the detector has heard none.

        The noise is what is heard in the known silence; what does not stand out from it is none.
        """
        known, most = self._pieces(known_s), self._pieces(known_s + LONGEST_LAG_S)
        newest = list(self._rms)[::-1]
        audible = max(_FAINT, _ABOVE_NOISE * float(np.median(newest[:known] or [0.0])))
        before = newest[known:most]
        quiet = next((n for n, rms in enumerate(before) if rms > audible), 0)
        return known_s + quiet * PIECE / self._rate

    def _pieces(self, seconds: float) -> int:
        return round(seconds * self._rate / PIECE)
