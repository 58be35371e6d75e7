"""What a Whisper engine makes of an utterance that ends anywhere, with a model that hears without fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemotron_speech.bench.wer import errors
from nemotron_speech.engines.base import Flush, Word
from nemotron_speech.engines.whisper_asr.engine import WhisperEngine
from nemotron_speech.engines.whisper_asr.model import Reading, WhisperReading
from tests.engines.asr_streams import feed
from tests.engines.whisper_asr.whisper_streams import RATE

WORD, GAP = RATE * 3 // 10, RATE // 25
"""Samples from one word to the next, and of silence at the end of each."""
HEARD = (WORD - GAP) // 2
"""As much of a word at the beginning or end of a reading is enough to hear it."""


class Listener:
    """Hears a word in each stretch of one level, which says which word it is."""

    languages = ("en",)
    fallback_language = "en"
    longest = 0

    def has_speech(self, audio: np.ndarray, since: int) -> bool:
        return bool(audio[since:].any())

    def read(self, readings: Sequence[Reading]) -> list[WhisperReading]:
        self.longest = max(self.longest, *(len(reading.audio) for reading in readings))
        return [WhisperReading("en", self._words(reading)) for reading in readings]

    def _words(self, reading: Reading) -> list[Word]:
        edges = [0, *(np.flatnonzero(np.diff(reading.audio)) + 1), len(reading.audio)]
        return [
            Word(
                f"w{round(float(reading.audio[start]) * 256)}",
                reading.start_ms + start * 1000 // RATE,
                reading.start_ms + end * 1000 // RATE,
            )
            for start, end in pairwise(edges)
            if reading.audio[start] and end - start >= HEARD
        ]


class Waverer(Listener):
    """Hears every word otherwise each time, so that no two readings agree."""

    readings = 0

    def _words(self, reading: Reading) -> list[Word]:
        self.readings += 1
        return [replace(word, text=f"{word.text}/{self.readings}") for word in super()._words(reading)]


def listening(listener: Listener) -> WhisperEngine:
    engine = WhisperEngine(buffer_s=5.0, max_step_s=0.5)
    engine._model = listener  # type: ignore[assignment]
    engine._limit.now = 8
    return engine


def spoken(levels: Sequence[int]) -> bytes:
    samples = np.repeat(np.array(levels, np.int64) * 128, WORD).astype("<i2").reshape(-1, WORD)
    samples[:, WORD - GAP :] = 0
    return samples.tobytes()


UTTERANCE = st.tuples(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(0, 40 * WORD))


@settings(max_examples=60)
@given(st.lists(UTTERANCE, min_size=1, max_size=3))
def test_a_final_holds_every_word_before_its_cut_once_and_none_after_it(
    utterances: list[tuple[list[int], int]],
) -> None:
    """One stream, utterance after utterance, each cut anywhere, some longer than the buffer."""
    listener = Listener()
    engine = listening(listener)
    stream = engine.open(None)
    for levels, cut in utterances:
        pcm = spoken(levels)[: 2 * cut]
        whole, rest = divmod(len(pcm) // 2, WORD)
        final = feed(engine, stream, pcm)[-1]
        assert final.text.split() == [f"w{level}" for level in levels[: whole + (rest >= HEARD)]]
        assert final.text == " ".join(word.text for word in final.words)
    assert listener.longest <= 5.5 * RATE


def test_words_whose_audio_is_gone_begin_every_later_text() -> None:
    engine = listening(Waverer())
    stream, gone = engine.open(None), ""
    for result in feed(engine, stream, spoken([1 + i % 9 for i in range(60)])):
        assert result.text.startswith(gone)
        if not stream.words.whole:
            gone = " ".join(word.text for word in stream.words.committed)
    assert gone == "", "the last reset began another utterance"
    assert len(result.text.split()) >= 50


def test_a_reading_of_the_whole_utterance_replaces_the_one_before_it() -> None:
    engine = listening(Waverer())
    final = feed(engine, engine.open(None), spoken([1 + i % 9 for i in range(10)]))[-1].text
    assert len({word.partition("/")[2] for word in final.split()}) == 1, "all words are of one reading"


@pytest.mark.parametrize("silence", [0, RATE])
def test_a_word_that_is_all_there_is_is_held_by_the_final(silence: int) -> None:
    engine = listening(Listener())
    stream = engine.open(None)
    assert feed(engine, stream, bytes(2 * silence) + spoken([7]), Flush.HARD)[-1].text == "w7"


def test_what_no_two_readings_agree_on_is_held_in_a_bounded_buffer_too() -> None:
    waverer = Waverer()
    engine = listening(waverer)
    stream = engine.open(None)
    levels = [1 + i % 9 for i in range(100)]
    words = feed(engine, stream, spoken(levels))[-1].text.split()
    assert waverer.longest <= 5.5 * RATE
    heard = [word.partition("/")[0] for word in words]
    assert errors([f"w{level}" for level in levels], heard) <= len(levels) // 10, (
        "a word at each forced cut at most"
    )
