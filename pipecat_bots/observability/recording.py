"""Record a session as a stereo WAV, the caller left and the bot right, as it happens."""

from __future__ import annotations

import queue
import threading
import wave
from datetime import datetime
from pathlib import Path

from loguru import logger
from pipecat.frames.frames import InputAudioRawFrame
from pipecat.processors.audio.audio_buffer_processor import AudioBufferProcessor

SAMPLE_RATE = 24000
_SECOND_BYTES = 2 * SAMPLE_RATE
_MAX_WAITING = 60
"""Seconds of audio a slow disk may be behind; what comes then is left out."""

_SILENCE = InputAudioRawFrame(bytes(_SECOND_BYTES // 50), SAMPLE_RATE, 1)
"""20 ms of the caller's track."""


class WavWriter:
    """A WAV file written by a thread of its own."""

    def __init__(self, path: Path, sample_rate: int, channels: int) -> None:
        self.path = path
        self._parts: queue.Queue[bytes | None] = queue.Queue(_MAX_WAITING)
        self._thread = threading.Thread(target=self._run, args=(sample_rate, channels), name="recording")
        self._thread.start()

    def write(self, pcm: bytes) -> None:
        """Take audio without waiting."""
        try:
            self._parts.put_nowait(pcm)
        except queue.Full:
            logger.warning(f"{self.path}: the disk is too slow, a part of the recording is lost")

    def close(self) -> None:
        """End the file behind what was written; does not wait for it."""
        threading.Thread(target=self._parts.put, args=(None,)).start()

    def join(self) -> None:
        """Wait for the file to be complete."""
        self._thread.join()

    def _run(self, sample_rate: int, channels: int) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with wave.open(str(self.path), "wb") as file:
                file.setnchannels(channels)
                file.setsampwidth(2)
                file.setframerate(sample_rate)
                while (part := self._parts.get()) is not None:
                    file.writeframes(part)
        except OSError as error:
            logger.error(f"{self.path}: not recorded: {error}")
            while self._parts.get() is not None:
                pass


class CallRecorder(AudioBufferProcessor):
    """Audio of a call from its start to its end, in silence too, whether or not the caller sends any.

    The base class measures silence from the audio before it, and only where some follows; a frame of silence
    at both ends gives it that.
    """

    async def start_recording(self) -> None:
        """Start the file now, not at the first sound."""
        await super().start_recording()
        await self._process_recording(_SILENCE)

    async def stop_recording(self) -> None:
        """End the file now, not at the last sound."""
        if self._recording:
            await self._process_recording(_SILENCE)
        await super().stop_recording()


def recorder(directory: Path, session_id: str | None) -> AudioBufferProcessor:
    """Return a processor that records what passes the transport's output into a new file."""
    stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
    path = directory / f"{stamp}-{(session_id or 'session')[:8]}.wav"
    processor = CallRecorder(
        sample_rate=SAMPLE_RATE, num_channels=2, buffer_size=_SECOND_BYTES, auto_start_recording=True
    )
    writer: WavWriter | None = None

    async def on_audio_data(_: AudioBufferProcessor, pcm: bytes, sample_rate: int, channels: int) -> None:
        nonlocal writer
        if writer is None:
            writer = WavWriter(path, sample_rate, channels)
            logger.info(f"recording to {path}")
        writer.write(pcm)

    async def on_recording_stopped(_: AudioBufferProcessor) -> None:
        if writer is not None:
            writer.close()

    processor.add_event_handler("on_audio_data", on_audio_data)
    processor.add_event_handler("on_recording_stopped", on_recording_stopped)
    return processor
