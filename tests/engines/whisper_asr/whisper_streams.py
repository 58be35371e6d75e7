"""Sounds for Whisper engines, and how a server would give them to one."""

from __future__ import annotations

import numpy as np

from nemotron_speech.engines.whisper_asr.engine import WhisperEngine
from tests.engines.asr_streams import feed

RATE = 16000


def chirp(seconds: float, seed: int = 0) -> bytes:
    """Loud sound that never repeats, so that a random model says different things about its parts."""
    samples = np.random.default_rng(seed).normal(0, 1, int(seconds * RATE) + 40)
    smooth = np.convolve(samples, np.ones(8 + seed % 24) / 8, "same")[: int(seconds * RATE)]
    return (np.clip(smooth, -3, 3) * 6000).astype("<i2").tobytes()


def vowels(seconds: float) -> bytes:
    """A buzz through the resonances of changing vowels: enough of a voice for a speech detector."""
    t = np.arange(int(seconds * RATE)) / RATE
    pitch = 115 + 25 * np.sin(2 * np.pi * 0.7 * t)
    phase, syllable = np.cumsum(pitch) / RATE, t / 0.22
    resonances = np.array([(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480)])
    now, blend = syllable.astype(int), np.clip(syllable % 1 * 3 - 1, 0, 1)[:, None]
    centres = (1 - blend) * resonances[now % 4] + blend * resonances[(now + 1) % 4]
    sound = np.zeros(len(t))
    for harmonic in range(1, 35):
        distance = (harmonic * pitch[:, None] - centres) / (60, 90, 130)
        gain = ((1, 0.6, 0.3) / (1 + distance**2)).sum(axis=1)
        sound += gain / harmonic**0.5 * np.sin(2 * np.pi * harmonic * phase)
    sound *= 0.15 + 0.85 * np.sin(np.pi * (syllable % 1)) ** 0.7
    return (sound / np.abs(sound).max() * 12000).astype("<i2").tobytes()


def silence(seconds: float) -> bytes:
    return bytes(2 * int(seconds * RATE))


def final(engine: WhisperEngine, pcm: bytes) -> str:
    stream = engine.open(None)
    text = feed(engine, stream, pcm)[-1].text
    engine.close(stream)
    return text
