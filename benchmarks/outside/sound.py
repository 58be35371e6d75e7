"""Sound that a caller heard, sample by sample: tones, the silences between them, and when each arrived.

A track holds 20 ms frames as they came. The moment of a sample is the arrival of its packet plus its place in
it, as for a listener with a jitter buffer of no length. A silence is measured in the order of the samples,
so that a late packet, which any jitter buffer absorbs, is none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from nemotron_speech.audio import Samples

RATE = 24000
FRAME = RATE // 50
AUDIBLE = 400
"""Amplitude of an audible sample; tones have 10,000, and the codec leaves less than this in a silence."""
GAP_MS = (15.0, 80.0)
"""A silence inside a sentence that is a fault of the playout; a longer one is a pause."""
SAME_TONE_HZ = 50.0
"""Largest error of the frequency found in 20 ms of a tone, in Hz."""
_CYCLE = RATE // 300
"""A tone of 300 Hz and more is never below `AUDIBLE` for as long as a cycle."""
_LEAST = RATE // 100
"""Samples of the shortest sound with a tone; the codec's echoes are shorter."""
_BINS = RATE // 5
"""Length of the spectrum: 5 Hz each."""
_LONGEST = RATE // 20
"""Samples that a tone is told by."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A stretch of audible samples of one tone, in samples of its track."""

    first: int
    end: int
    """The sample after the last."""
    hz: float

    def is_tone(self, hz: float) -> bool:
        """Return whether this is the tone of that frequency, as the codec leaves it."""
        return abs(self.hz - hz) <= SAME_TONE_HZ


@dataclass
class Track:
    """Frames of `FRAME` samples, in the order they came, and when each came."""

    arrivals: Sequence[float]
    samples: Samples
    _sounds: list[Sound] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sounds = sounds(self.samples)

    def when(self, sample: int) -> float:
        """Return the moment of a sample, in seconds on the caller's clock."""
        frame = min(sample // FRAME, len(self.arrivals) - 1)
        return self.arrivals[frame] + (sample - frame * FRAME) / RATE

    def sample_at(self, moment: float) -> int:
        """Return the first sample that came at a moment or later."""
        frame = bisect_right(self.arrivals, moment) - 1
        if frame < 0:
            return 0
        inside = round((moment - self.arrivals[frame]) * RATE)
        return frame * FRAME + min(inside, FRAME)

    def heard(self, since: float, until: float = float("inf")) -> list[Sound]:
        """Return the sounds between two moments; one that goes on over either is cut there."""
        first = self.sample_at(since)
        end = len(self.samples) if until == float("inf") else self.sample_at(until)
        within = (s for s in self._sounds if s.end > first and s.first < end)
        return [Sound(max(s.first, first), min(s.end, end), s.hz) for s in within]

    def seconds(self, found: Sequence[Sound]) -> float:
        """Return how long sounds are together."""
        return sum(sound.end - sound.first for sound in found) / RATE

    def late_ms(self) -> list[float]:
        """Return how late each frame came, against the earliest of the last second, in ms."""
        ahead = [at - number * FRAME / RATE for number, at in enumerate(self.arrivals)]
        return [(at - min(ahead[max(0, number - 50) : number + 1])) * 1000 for number, at in enumerate(ahead)]


def sounds(samples: Samples) -> list[Sound]:
    """Divide samples into stretches of one tone each; what is too short to be one is left out."""
    found: list[Sound] = []
    for first, end in _audible(samples):
        found += _tones(samples, first, end)
    return [sound for sound in found if sound.end - sound.first >= _LEAST]


def gaps_ms(found: Sequence[Sound]) -> list[float]:
    """Return the silences, in ms, between sounds of one tone that are too short for a pause."""
    silences = (
        (after.first - before.end) * 1000 / RATE
        for before, after in pairwise(found)
        if after.is_tone(before.hz)
    )
    return [round(ms, 1) for ms in silences if GAP_MS[0] <= ms <= GAP_MS[1]]


def voice_to_voice_ms(said: float, heard: Track) -> float | None:
    """Return the time from the last sample of speech to the next audible one; None for no answer."""
    answer = heard.heard(said)
    return (heard.when(answer[0].first) - said) * 1000 if answer else None


def silent_after_ms(began: float, heard: Track, tones: Sequence[float]) -> float | None:
    """Return the time from the first sample of an interruption to the last one of the old answer's tones."""
    old = [sound for sound in heard.heard(began) if _is_one_of(sound, tones)]
    return (heard.when(old[-1].end - 1) - began) * 1000 if old else None


def _is_one_of(sound: Sound, tones: Sequence[float]) -> bool:
    return any(sound.is_tone(hz) for hz in tones)


def _audible(samples: Samples) -> list[tuple[int, int]]:
    """Return stretches without a silence longer than a cycle of the lowest tone."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > AUDIBLE)
    if not len(loud):
        return []
    cuts = np.flatnonzero(np.diff(loud) > _CYCLE)
    firsts = [int(loud[0]), *(int(loud[cut + 1]) for cut in cuts)]
    ends = [*(int(loud[cut]) + 1 for cut in cuts), int(loud[-1]) + 1]
    return list(zip(firsts, ends, strict=True))


def _tones(samples: Samples, first: int, end: int) -> list[Sound]:
    """Divide a stretch where its tone changes, to 10 ms."""
    found: list[Sound] = []
    at = first
    while at < end:
        to = end if end - at < 2 * _LEAST else at + _LEAST
        hz = _tone(samples, max(first, at - _LEAST // 2), min(end, to + _LEAST // 2))
        if found and found[-1].is_tone(hz):
            found[-1] = Sound(found[-1].first, to, found[-1].hz)
        else:
            found.append(Sound(at, to, hz))
        at = to
    return [_tuned(samples, sound) for sound in _settled(found)]


def _settled(found: list[Sound]) -> list[Sound]:
    """Give the window that holds two tones to the sound before it."""
    kept: list[Sound] = []
    for index, sound in enumerate(found):
        between = 0 < index < len(found) - 1 and sound.end - sound.first <= 2 * _LEAST
        if kept and (between or sound.is_tone(kept[-1].hz)):
            kept[-1] = Sound(kept[-1].first, sound.end, kept[-1].hz)
        else:
            kept.append(sound)
    return kept


def _tuned(samples: Samples, sound: Sound) -> Sound:
    """Tell the tone of a whole sound from its middle."""
    middle = (sound.first + sound.end) // 2
    first, end = max(sound.first, middle - _LONGEST // 2), min(sound.end, middle + _LONGEST // 2)
    return Sound(sound.first, sound.end, _tone(samples, first, end))


def _tone(samples: Samples, first: int, end: int) -> float:
    """Return the strongest frequency in Hz."""
    window = samples[first:end] * np.hanning(end - first)
    return float(np.argmax(np.abs(np.fft.rfft(window, _BINS))) * RATE / _BINS)
