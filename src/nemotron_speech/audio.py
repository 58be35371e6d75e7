"""PCM16 mono: change the rate, write WAV, measure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import soxr

Samples = npt.NDArray[np.int16]
WAV_HEADER_BYTES = 44


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Mono audio in memory: int16 samples [n] at `sample_rate` Hz."""

    samples: Samples
    sample_rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate

    @property
    def pcm(self) -> bytes:
        return self.samples.tobytes()

    def at(self, sample_rate: int) -> Clip:
        """Return the clip at another rate."""
        return Clip(resample(self.samples, self.sample_rate, sample_rate), sample_rate)


def to_int16(samples: npt.NDArray[np.floating]) -> Samples:
    """Scale -1..1 to int16, clipping what is louder."""
    return (np.clip(samples, -1.0, 32767 / 32768) * 32768).astype(np.int16)


def from_pcm(pcm: bytes) -> Samples:
    """View PCM16LE bytes (a whole number of samples) as int16 samples."""
    return np.frombuffer(pcm, dtype="<i2")


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """Change the rate of a whole clip."""
    if rate == wanted or not len(samples):
        return samples
    import soxr

    return soxr.resample(samples, rate, wanted)


class RateChange:
    """Changes the rate of PCM16 mono audio that arrives piece by piece.

    Args:
        rate: Hz of what is fed.
        wanted: Hz of what comes out; the same rate passes through untouched.
    """

    def __init__(self, rate: int, wanted: int) -> None:
        self._rates = (rate, wanted)
        self._stream = self._start()

    def feed(self, pcm: bytes) -> bytes:
        """Return what is known so far; a few milliseconds stay behind until more is fed."""
        return self._stream.resample_chunk(from_pcm(pcm)).tobytes() if self._stream else pcm

    def finish(self) -> bytes:
        """Return the rest, and start afresh."""
        if not self._stream:
            return b""
        rest = self._stream.resample_chunk(from_pcm(b""), last=True).tobytes()
        self._stream = self._start()
        return rest

    def _start(self) -> soxr.ResampleStream | None:
        if self._rates[0] == self._rates[1]:
            return None
        import soxr

        return soxr.ResampleStream(*self._rates, 1, dtype="int16")


def wav(pcm: bytes, sample_rate: int) -> bytes:
    """Return a WAV file with `pcm` in it."""
    return wav_header(sample_rate, len(pcm)) + pcm


def wav_header(sample_rate: int, data_bytes: int | None = None) -> bytes:
    """Return the 44 bytes before PCM16 mono data; without a length, the form players read to the end."""
    size = 0xFFFFFFFF - 36 if data_bytes is None else data_bytes
    return b"".join(
        (
            struct.pack("<4sI4s", b"RIFF", min(36 + size, 0xFFFFFFFF), b"WAVE"),
            struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, sample_rate * 2, 2, 16),
            struct.pack("<4sI", b"data", size),
        )
    )


def rms(samples: Samples) -> float:
    """Root mean square, 0..32768."""
    return float(np.sqrt(np.mean(np.square(samples.astype(np.float64))))) if len(samples) else 0.0
