"""A voice activity detector that says at once what it hears, and later what it makes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADState

from pipecat_bots.turns.last_sound import LastSound


class WatchfulVADAnalyzer(SileroVADAnalyzer):
    """Silero, whose every change of mind between two windows can be watched.

    A pause is reported after `stop_secs` of silence; `on_change` tells of it with its first 32 ms, so that
    what has to happen at the end of a turn can begin while the pause is still being waited for.

    Loudness is followed upwards at once and smoothed downwards: smoothed both ways, as in Pipecat, it keeps a
    voice from being noticed for 0.1 to 0.15 s. Clicks and coughs are told from voices by the model.
    """

    on_change: Callable[[bool], Awaitable[None]] | None = None
    """Takes whether the newest window holds a voice, when that has changed."""
    silence_s = 0.0
    """From the last sound to the newest sample, when a pause was reported last."""
    _voiced = False
    _before = VADState.QUIET

    def set_sample_rate(self, sample_rate: int) -> None:
        super().set_sample_rate(sample_rate)
        self._sounds = LastSound(self.sample_rate)

    def _get_smoothed_volume(self, audio: bytes) -> float:
        self._sounds.take(audio)
        smoothed = super()._get_smoothed_volume(audio)
        return max(smoothed, self._volume_tracker.volume)

    async def analyze_audio(self, buffer: bytes) -> VADState:
        state = await super().analyze_audio(buffer)
        if state is VADState.QUIET and self._before is not state:
            self.silence_s = self._silence_s()
        self._before = state
        voiced = state in (VADState.STARTING, VADState.SPEAKING)
        if voiced is not self._voiced:
            self._voiced = voiced
            if self.on_change is not None:
                await self.on_change(voiced)
        return state

    def _silence_s(self) -> float:
        """Return how long it has been silent, when that has just been called a pause."""
        windows_s = self._vad_stop_frames * self._vad_frames / self.sample_rate
        return self._sounds.silence_s(windows_s) + len(self._vad_buffer) / 2 / self.sample_rate
