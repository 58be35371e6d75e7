"""A voice activity detector that says at once what it hears, and later what it makes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADState


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

    def _get_smoothed_volume(self, audio: bytes) -> float:
        smoothed = super()._get_smoothed_volume(audio)
        return max(smoothed, self._volume_tracker.volume)

    async def analyze_audio(self, buffer: bytes) -> VADState:
        state = await super().analyze_audio(buffer)
        voiced = state in (VADState.STARTING, VADState.SPEAKING)
        if voiced is not self._voiced:
            self._voiced = voiced
            if self.on_change is not None:
                await self.on_change(voiced)
        return state
