"""Measure what a client plays: decode a file, and find the speech in it."""

from __future__ import annotations

import io

import av
import numpy as np


def decoded(data: bytes) -> tuple[np.ndarray, int]:
    """Return the samples of a sound file, -1..1, and their rate."""
    with av.open(io.BytesIO(data)) as container:
        to_float = av.AudioResampler(format="flt", layout="mono")
        frames = [out for frame in container.decode(audio=0) for out in to_float.resample(frame)]
        rate = container.streams.audio[0].rate
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), rate


def speech_s(samples: np.ndarray, rate: int) -> float:
    """Return the seconds from the first loud sample to the last: what pads a format counts for nothing."""
    loud = np.flatnonzero(np.abs(samples) > 0.05 * np.max(np.abs(samples)))
    return float(loud[-1] - loud[0] + 1) / rate
