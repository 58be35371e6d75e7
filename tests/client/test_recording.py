"""A long recording is cut at its pauses, and heard part by part on one clock."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from nemotron_speech.audio import Clip
from nemotron_speech.client.recording import HeardPart, TimedWord, parts, parts_heard
from nemotron_speech.client.turn import ASR_RATE
from nemotron_speech.protocol.asr import Final


def loud(seconds: float) -> np.ndarray:
    return np.full(round(seconds * ASR_RATE), 3000, np.int16)


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * ASR_RATE), np.int16)


def test_a_recording_is_cut_in_the_middle_of_its_pauses() -> None:
    samples = np.concatenate([loud(5), quiet(0.4), loud(10), quiet(0.4), loud(20)])
    (first, second) = list(parts(samples))
    assert first[0] == 0
    assert abs(first[1] / ASR_RATE - 15.6) < 0.15
    assert second == (first[1], len(samples))


def test_parts_without_a_pause_stay_within_their_bounds() -> None:
    samples = np.random.default_rng(1).integers(-3000, 3000, 100 * ASR_RATE).astype(np.int16)
    found = list(parts(samples))
    assert found[0][0] == 0
    assert found[-1][1] == len(samples)
    assert all(before[1] == after[0] for before, after in pairwise(found))
    assert all(8 <= (end - start) / ASR_RATE <= 24 for start, end in found[:-1])


def test_an_empty_recording_has_no_parts() -> None:
    assert list(parts(quiet(0))) == []


class Finals:
    """Recogniser that counts what it was sent before each final."""

    def __init__(self) -> None:
        self.sent = [0]

    async def send(self, pcm: bytes) -> None:
        self.sent[-1] += len(pcm) // 2

    async def finish(self) -> Final:
        self.sent.append(0)
        at = 1000 * (len(self.sent) - 1)
        return Final("r", f" part {len(self.sent) - 1} ", True, (("part", at, at + 100),), confidences=(0.5,))


async def test_each_part_is_told_with_its_words_and_its_place() -> None:
    asr = Finals()
    clip = Clip(np.repeat(np.concatenate([loud(10), quiet(0.5), loud(20)]), 2), 2 * ASR_RATE)
    heard = [part async for part in parts_heard(clip, asr)]
    assert sum(asr.sent) == 30.5 * ASR_RATE
    assert [part.text for part in heard] == ["part 1", "part 2"]
    assert heard[0].words == (TimedWord("part", 1000, 1100, 0.5),)
    assert heard[0].end_ms == heard[1].start_ms
    assert heard[1].end_ms == 30_500
    assert isinstance(heard[1], HeardPart)
