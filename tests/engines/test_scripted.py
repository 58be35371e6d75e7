"""The scripted recogniser hears one transcript in each utterance, or one behind each pause."""

from __future__ import annotations

import numpy as np
import pytest

from nemotron_speech.engines.base import AsrResult, AsrWork, Flush
from nemotron_speech.engines.scripted import AsrScript, ScriptedAsr

LOUD = np.full(1600, 3000, "<i2").tobytes()  # 100 ms
QUIET = bytes(3200)


class Listener:
    """A caller of the engine."""

    def __init__(self, script: AsrScript) -> None:
        self._engine = ScriptedAsr(script)
        self._stream = self._engine.open(None)

    def hear(self, *audio: bytes, flush: Flush = Flush.NONE) -> list[str]:
        """Return what is heard after each 100 ms, the last of them flushed."""
        texts = []
        for number, pcm in enumerate(audio, 1):
            work = AsrWork(self._stream, pcm, flush if number == len(audio) else Flush.NONE)
            [result] = self._engine.step([work])
            assert isinstance(result, AsrResult)
            texts.append(result.text)
        return texts


@pytest.mark.parametrize(("pause_ms", "whole"), [(None, "one two three"), (300, "one two three four")])
def test_a_transcript_for_an_utterance_or_behind_each_pause(pause_ms: int | None, whole: str) -> None:
    script = AsrScript(transcripts=("one two three", "four"), words_per_second=10, pause_ms=pause_ms)
    listener = Listener(script)
    assert listener.hear(QUIET, LOUD, LOUD) == ["", "one two", "one two three"]
    assert listener.hear(QUIET, QUIET, LOUD)[-1] == "one two three", "a short pause is none"
    assert listener.hear(QUIET, QUIET, QUIET, LOUD)[-1] == whole
    assert listener.hear(QUIET, flush=Flush.HARD) == [whole]
    assert listener.hear(QUIET, LOUD)[-1] == ("four" if pause_ms is None else "one two")
