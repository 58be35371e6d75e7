"""A voice activity detector that says at once what it hears, and later what it makes of it."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from functools import cache

import numpy as np
from pipecat.audio.vad.silero import SileroOnnxModel, SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams, VADState

from pipecat_bots.turns.last_sound import LastSound

SURE = 0.1
"""Confidence in a voice below which the model is sure of silence.

At the ends of 60 sentences (three voices of eSpeak NG) it fell below with the second or third window, in 13
gaps within them of two windows or more it did in 3."""


@cache
def _loaded() -> SileroOnnxModel:
    """Return the model of all sessions, loaded once; ONNX Runtime lets any threads run it in parallel."""
    return SileroVADAnalyzer()._model


def _model() -> SileroOnnxModel:
    """Return a model with a state of its own: what it remembers are two small arrays."""
    model = copy.copy(_loaded())
    model.reset_states()
    return model


class WatchfulVADAnalyzer(SileroVADAnalyzer):
    """Silero, whose every change of mind between two windows can be watched.

    A pause is reported after `stop_secs` of silence; `on_change` tells of it with its first 32 ms, so that
    what has to happen at the end of a turn can begin while the pause is still being waited for.

    Loudness is followed upwards at once and smoothed downwards: smoothed both ways, as in Pipecat, it keeps a
    voice from being noticed for 0.1 to 0.15 s. Clicks and coughs are told from voices by the model.
    """

    on_change: Callable[[bool], Awaitable[None]] | None = None
    """Takes whether the newest window holds a voice, when that has changed."""
    on_silence: Callable[[], Awaitable[None]] | None = None
    """Called once in a silence, when the model is sure of it."""
    silence_s = 0.0
    """Seconds from the last sound to the newest sample, when a pause was reported last."""
    _voiced = False
    _is_sure = _was_sure = False
    _before = VADState.QUIET

    def __init__(self, *, params: VADParams | None = None) -> None:
        VADAnalyzer.__init__(self, params=params)  # Silero's own loads a model
        self._model = _model()
        self._windows_since_reset = self._low_confidence_windows = 0

    def set_sample_rate(self, sample_rate: int) -> None:
        super().set_sample_rate(sample_rate)
        self._sounds = LastSound(self.sample_rate)

    def _get_smoothed_volume(self, audio: bytes) -> float:
        self._sounds.take(audio)
        smoothed = super()._get_smoothed_volume(audio)
        return max(smoothed, self._volume_tracker.volume)

    def voice_confidence(self, buffer: bytes) -> float:
        confidence = super().voice_confidence(buffer)
        # A single window is no silence: a stop consonant closes for as long.
        self._is_sure = self._vad_state is VADState.STOPPING and float(np.max(confidence)) <= SURE
        return confidence

    async def analyze_audio(self, buffer: bytes) -> VADState:
        """Listen to 20 ms, here and now: a window takes the model 0.15 ms, as long as the way to a thread."""
        state = self._run_analyzer(buffer)
        if state is VADState.QUIET and self._before is not state:
            self.silence_s = self._silence_s()
        self._before = state
        voiced = state in (VADState.STARTING, VADState.SPEAKING)
        if voiced is not self._voiced:
            self._voiced = voiced
            if self.on_change is not None:
                await self.on_change(voiced)
        sure = state is VADState.STOPPING and (self._is_sure or self._was_sure)
        if sure and not self._was_sure and self.on_silence is not None:
            await self.on_silence()
        self._was_sure = sure
        return state

    def _silence_s(self) -> float:
        """Return how long it has been silent, when that has just been called a pause."""
        windows_s = self._vad_stop_frames * self._vad_frames / self.sample_rate
        return self._sounds.silence_s(windows_s) + len(self._vad_buffer) / 2 / self.sample_rate
