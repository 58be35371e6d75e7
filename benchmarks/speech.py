"""Synthesised speech for benchmarks, without the silence around it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from nemotron_speech.audio import Clip
from nemotron_speech.engines.base import Segment
from nemotron_speech.engines.registry import tts_engine
from nemotron_speech.errors import EngineError
from nemotron_speech.sound_files import read

_AUDIBLE = 300


@cache
def espeak(text: str, voice: str, language: str = "en") -> Clip:
    """Say a text with a voice of the embedded engine."""
    engine = tts_engine("espeak")
    engine.load()
    stream, pcm, done = engine.open(Segment(text, voice, language)), b"", False
    while not done:
        (result,) = engine.step([stream])
        assert not isinstance(result, EngineError)
        pcm, done = pcm + result.pcm, result.done
    engine.close(stream)
    return _trimmed(Clip(np.frombuffer(pcm, "<i2"), engine.info.sample_rate))


def espeak_afresh(texts: Sequence[str], voice: str) -> list[Clip]:
    """Return the texts as a process of its own says them, one after another: always the same samples.

    The library goes on in its noise and its waves from one utterance to the next, so what a process hears of
    it depends on all that was said in it before.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        return list(fresh.map(espeak, texts, repeat(voice)))


@cache
def flite(text: str, voice: str) -> Clip:
    """Say a text with a voice of Flite, which has to be installed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        return _trimmed(read(path))


def _trimmed(clip: Clip) -> Clip:
    loud = np.flatnonzero(np.abs(clip.samples.astype(np.int32)) > _AUDIBLE)
    return Clip(clip.samples[loud[0] : loud[-1] + 1], clip.sample_rate)
