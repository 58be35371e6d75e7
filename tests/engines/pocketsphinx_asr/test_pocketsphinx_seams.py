"""Real speech cut where nobody paused: by the stream within an utterance, and by its caller at the end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.accuracy import flite_voices
from benchmarks.speech import flite
from nemotron_speech.audio import resample
from nemotron_speech.bench.wer import errors
from nemotron_speech.engines.base import Flush
from nemotron_speech.engines.pocketsphinx_asr import stream as pocketsphinx_stream
from nemotron_speech.engines.pocketsphinx_asr.worker import Worker, WorkerAnswer, WorkerJob

pytestmark = [
    pytest.mark.accuracy,
    pytest.mark.skipif(
        not flite_voices(), reason="flite is not installed: no voice the recogniser understands"
    ),
]

SENTENCES = (
    "please tell me a story about a dragon and a small village in the mountains",
    "how much is twenty three plus forty five and then multiply the answer by seven",
)
_BYTES_PER_MS = 32
Hear = Callable[[bytes], WorkerAnswer]


@pytest.fixture(scope="module")
def hear() -> Hear:
    """Recognise a whole utterance, 100 ms at a time."""
    worker = Worker(1, None)

    def answer(pcm: bytes) -> WorkerAnswer:
        size = 100 * _BYTES_PER_MS
        pieces = [pcm[start : start + size] for start in range(0, len(pcm), size)]
        jobs = [WorkerJob(0, piece, Flush.NONE, fresh=not i) for i, piece in enumerate(pieces)]
        return worker.answer([*jobs, WorkerJob(0, b"", Flush.HARD, fresh=False)])[-1]

    return answer


def said(voice: str, *sentences: str) -> bytes:
    """Speech without a pause between sentences."""
    clips = [flite(sentence, voice) for sentence in sentences]
    return np.concatenate([resample(clip.samples, clip.sample_rate, 16000) for clip in clips]).tobytes()


@pytest.mark.parametrize("voice", ["slt", "awb"])
def test_speech_without_a_pause_is_cut_and_no_word_is_lost_or_there_twice(
    voice: str, hear: Hear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pocketsphinx_stream, "LONGEST_FRAMES", 150)
    monkeypatch.setattr(pocketsphinx_stream, "LONG_FRAMES", 100)
    expected, heard = " ".join(SENTENCES).split(), hear(said(voice, *SENTENCES)).text.split()
    assert errors(expected, heard) <= 6, heard
    assert abs(len(heard) - len(expected)) <= 2, heard


def test_a_final_holds_what_was_said_before_its_cut_wherever_that_is(hear: Hear) -> None:
    pcm = said("awb", SENTENCES[0])
    words = hear(pcm).words
    for cut_ms in range(600, len(pcm) // _BYTES_PER_MS, 330):
        before = [text for text, _, end_ms, _ in words if end_ms <= cut_ms]
        heard = hear(pcm[: cut_ms * _BYTES_PER_MS]).text.split()
        assert errors(before, heard) <= 3, (cut_ms, heard)
        assert len(heard) >= len(before) - 1, (cut_ms, heard)
