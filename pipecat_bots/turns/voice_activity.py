"""A voice activity detector that says at once what it hears, and later what it makes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADState


SURE = 0.1
"""Confidence in a voice below which the model is sure of silence. In gaps within words (60 sentences of three
voices of eSpeak NG, 20 sentences; 18 s of a human reader) it stays above in all but 3; at the end of a sentence
it falls below with the second or third window."""


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
    _voiced = False
    _is_sure = _was_sure = False

    def _get_smoothed_volume(self, audio: bytes) -> float:
        smoothed = super()._get_smoothed_volume(audio)
        return max(smoothed, self._volume_tracker.volume)

    def voice_confidence(self, buffer: bytes) -> float:
        confidence = super().voice_confidence(buffer)
        # A single window is no silence: a stop consonant closes for as long.
        self._is_sure = self._vad_state is VADState.STOPPING and float(np.max(confidence)) <= SURE
        return confidence

    async def analyze_audio(self, buffer: bytes) -> VADState:
        state = await super().analyze_audio(buffer)
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
