"""Tell speech from silence and from noise, 30 ms at a time.

WebRTC's voice detector says where there may be speech; it takes bursts of noise for speech too, so frames are
also tested for pitch: a cough, a knock or breath has next to none, and no spoken word is without.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

FRAME_BYTES = 960
"""30 ms of PCM16LE at 16 kHz."""

_LONGEST_PERIOD, _SHORTEST_PERIOD = 229, 40
"""Pitch periods in samples: voices of 70 to 400 Hz."""

_PITCHED = 0.6
"""Normalised autocorrelation at the pitch period above which a frame counts as pitched."""

_QUIETEST = 20.0
"""RMS in int16 steps (-64 dBFS) below which a frame is silence without a closer look."""


class Sound(IntEnum):
    """Kind of sound in a frame."""

    SILENCE = 0
    NOISE = 1
    """Perhaps speech, without pitch: noise, or an unvoiced consonant."""
    PITCHED = 2
    """Perhaps speech, with pitch: a vowel or a voiced consonant, or music."""


class VoiceDetector(Protocol):
    """Voice detector of the gate (`library.VoiceDetector`)."""

    def is_speech(self, frame: bytes) -> bool: ...


class VoiceGate:
    """Classifies the frames of one stream."""

    def __init__(self, make_detector: Callable[[], VoiceDetector]) -> None:
        self._make_detector = make_detector
        self._detector = make_detector()

    def reset(self) -> None:
        """Forget the background noise: what comes next is judged as on a new stream."""
        self._detector = self._make_detector()

    def hear(self, frame: bytes) -> Sound:
        """Classify a frame of `FRAME_BYTES`."""
        loud, pitched = measure(frame)
        if not self._detector.is_speech(frame) or not loud:
            return Sound.SILENCE
        return Sound.PITCHED if pitched else Sound.NOISE


def measure(frame: bytes) -> tuple[bool, bool]:
    """Say whether a frame is above the level of silence, and whether it is periodic as a voice is."""
    import numpy as np

    samples = np.frombuffer(frame, np.int16).astype(np.float64)
    samples -= samples.mean()
    energy = float(samples @ samples)
    if energy < _QUIETEST**2 * len(samples):
        return False, False
    spectrum = np.fft.rfft(samples, 1024)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[_SHORTEST_PERIOD:_LONGEST_PERIOD]
    squares = np.concatenate(([0.0], np.cumsum(samples**2)))
    lags = np.arange(_SHORTEST_PERIOD, _LONGEST_PERIOD)
    norm = np.sqrt(squares[len(samples) - lags] * (energy - squares[lags])) + 1e-9
    return True, float((correlation / norm).max()) > _PITCHED
