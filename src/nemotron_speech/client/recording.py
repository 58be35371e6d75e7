"""Recording of any length, heard in parts: it is cut where it is quietest, each part is an utterance."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nemotron_speech.audio import Clip, Samples
from nemotron_speech.client.turn import ASR_RATE, send
from nemotron_speech.protocol.asr import Final

LEAST_S = 8.0
MOST_S = 24.0
"""Bounds of a part, in seconds: enough for context, less than the 30 s that some models hear at once."""
_FRAME = ASR_RATE // 50
"""Samples of 20 ms."""
_PAUSE_FRAMES = 15
"""Frames of 300 ms, over which loudness is averaged."""


@dataclass(frozen=True, slots=True)
class TimedWord:
    """One word; milliseconds from the beginning of the recording."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class HeardPart:
    """Transcript of one part of a recording; milliseconds from its beginning."""

    text: str
    start_ms: int
    end_ms: int
    words: tuple[TimedWord, ...] = ()
    """Words with the recogniser's times; empty where it tells none."""


class FinalRecogniser(Protocol):
    """Stream to a recogniser whose finals tell words (`client.AsrConnection`)."""

    async def send(self, pcm: bytes) -> None: ...

    async def finish(self) -> Final: ...


async def parts_heard(recording: Clip, asr: FinalRecogniser) -> AsyncIterator[HeardPart]:
    """Yield what is understood in each part, as soon as it is; parts without words have an empty text.

    Args:
        asr: A stream that has heard nothing yet: its times are those of the recording.

    Raises PeerError, Full.
    """
    samples = recording.at(ASR_RATE).samples
    for start, end in parts(samples):
        await send(samples[start:end].tobytes(), asr)
        yield _part(await asr.finish(), start * 1000 // ASR_RATE, end * 1000 // ASR_RATE)


def parts(samples: Samples) -> Iterator[tuple[int, int]]:
    """Yield where each part begins and ends, in samples at `ASR_RATE`.

    All but the last have `LEAST_S` to `MOST_S` and end in the middle of the quietest 300 ms between them.
    """
    if not len(samples):
        return
    loudness = _loudness(samples)
    start = 0
    while len(samples) - start > MOST_S * ASR_RATE:
        first = start // _FRAME + round(LEAST_S * ASR_RATE / _FRAME)
        last = start // _FRAME + round(MOST_S * ASR_RATE / _FRAME)
        cut = (first + int(np.argmin(loudness[first:last]))) * _FRAME
        yield start, cut
        start = cut
    yield start, len(samples)


def _loudness(samples: Samples) -> np.ndarray:
    """Return the mean power around each frame's beginning; shape [frames]."""
    whole = len(samples) // _FRAME * _FRAME
    power = np.square(samples[:whole].reshape(-1, _FRAME).astype(np.float32)).mean(axis=1)
    return np.convolve(power, np.full(_PAUSE_FRAMES, 1 / _PAUSE_FRAMES), mode="same")


def _part(final: Final, start_ms: int, end_ms: int) -> HeardPart:
    confidences = final.confidences or (None,) * len(final.words)
    words = tuple(
        TimedWord(*word, confidence) for word, confidence in zip(final.words, confidences, strict=False)
    )
    return HeardPart(final.text.strip(), start_ms, end_ms, words)
