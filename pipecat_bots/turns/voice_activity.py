"""A voice activity detector that says at once what it hears, and later what it makes of it."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from functools import cache

from pipecat.audio.vad.silero import SileroOnnxModel, SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams, VADState


@cache
def _loaded() -> SileroOnnxModel:
    """The model of all sessions, loaded once; ONNX Runtime lets any threads run it at the same time."""
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
    _voiced = False

    def __init__(self, *, params: VADParams | None = None) -> None:
        VADAnalyzer.__init__(self, params=params)  # Silero's own loads a model
        self._model = _model()
        self._windows_since_reset = self._low_confidence_windows = 0

    def _get_smoothed_volume(self, audio: bytes) -> float:
        smoothed = super()._get_smoothed_volume(audio)
        return max(smoothed, self._volume_tracker.volume)

    async def analyze_audio(self, buffer: bytes) -> VADState:
        """Listen to 20 ms, here and now: a window takes the model 0.15 ms, as long as the way to a thread."""
        state = self._run_analyzer(buffer)
        voiced = state in (VADState.STARTING, VADState.SPEAKING)
        if voiced is not self._voiced:
            self._voiced = voiced
            if self.on_change is not None:
                await self.on_change(voiced)
        return state
