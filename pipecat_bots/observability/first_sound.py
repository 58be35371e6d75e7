"""The moment the bot is first heard: when its first audible sample has left for the caller."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from pipecat.frames.frames import OutputAudioRawFrame
from pipecat.transports.base_output import BaseOutputTransport

from pipecat_bots.frames import SoundLeftFrame
from pipecat_bots.transports.webrtc_audio import VoiceTrack

AUDIBLE = 200
"""Amplitude of an int16 sample that is heard."""
SILENT_S = 0.1
"""Seconds without audio for the transport after which the next sound is a beginning."""


class FirstSound:
    """Watches what a transport sends, and pushes a `SoundLeftFrame` at each beginning of the bot's voice.

    The moment has in it what waits for its turn, the packet that is being filled, and the silence before the
    sound; not the network and the listener's jitter buffer.

    Args:
        output: Transport whose `write_audio_frame` is watched from now on.
        clock: Seconds as in the frames' timestamps.
    """

    def __init__(self, output: BaseOutputTransport, clock: Callable[[], float] = time.time) -> None:
        self._output = output
        self._now = clock
        self._write = output.write_audio_frame
        self._sent_at = 0.0
        self._is_waiting = True
        """Nothing has been heard since the last silence."""
        output.write_audio_frame = self.write

    async def write(self, frame: OutputAudioRawFrame) -> bool:
        """Send a frame."""
        if self._now() - self._sent_at > SILENT_S:
            self._is_waiting = True
        sent = await self._write(frame)
        self._sent_at = self._now()
        if sent and self._is_waiting and (silence_s := _silence_s(frame)) is not None:
            self._is_waiting = False
            ahead_s = self._ahead_s(len(frame.audio) / 2 / frame.num_channels / frame.sample_rate)
            await self._output.push_frame(SoundLeftFrame(self._sent_at + ahead_s + silence_s))
        return sent

    def _ahead_s(self, frame_s: float) -> float:
        """Return the seconds until the first sample of what was just written is heard, or since it was."""
        client = getattr(self._output, "_client", None)
        track = getattr(client, "_audio_output_track", None)
        return track.waiting_s() - frame_s if isinstance(track, VoiceTrack) else 0.0


def _silence_s(frame: OutputAudioRawFrame) -> float | None:
    """Return the seconds before the first audible sample; None if there is none."""
    samples = np.frombuffer(frame.audio, "<i2")
    loud = np.flatnonzero((samples > AUDIBLE) | (samples < -AUDIBLE))
    return float(loud[0]) / frame.num_channels / frame.sample_rate if len(loud) else None
