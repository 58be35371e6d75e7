"""Speech within the audio of one utterance, in frames of 30 ms.

WebRTC's detector judges each frame, and a test of pitch the beginning (PocketSphinx's gate): an utterance
begins with voice, so hiss, knocks and breath are never read. Once it has begun, all that the detector
takes for speech is: over a poor line, or with a cold, much of it has no pitch that can be measured.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nemotron_speech.engines.pocketsphinx_asr.gate import FRAME_BYTES, Sound, VoiceDetector, VoiceGate

FRAME = FRAME_BYTES // 2
"""Samples of a frame."""
_ONSET = 3
"""Voiced frames from which on there is something to read: 90 ms."""
_RUN = 2
"""Sounding frames in a row that are speech; a single one is a click, unless it has pitch."""
_QUIETEST = 33.0
"""RMS in int16 steps (-60 dBFS) from which on a frame is audible."""


class SpeechGate(Protocol):
    """Classifies the frames of one stream, in order."""

    def reset(self) -> None: ...
    def hear(self, frame: bytes) -> Sound: ...


class AudibleGate:
    """Takes every audible frame for voiced."""

    def reset(self) -> None:
        """Do nothing: no frame depends on those before it."""

    def hear(self, frame: bytes) -> Sound:
        samples = np.frombuffer(frame, "<i2").astype(np.float32)
        return Sound.PITCHED if float(samples @ samples) > _QUIETEST**2 * len(samples) else Sound.SILENCE


def voice_gate() -> VoiceGate:
    """Make a gate for one stream. Raises ConfigurationError where PocketSphinx's library is missing."""
    return VoiceGate(_detectors())


@cache
def _detectors() -> Callable[[], VoiceDetector]:
    from nemotron_speech.engines.pocketsphinx_asr.library import SphinxLibrary
    from nemotron_speech.engines.pocketsphinx_asr.library import SphinxVoiceDetector as WebRtcDetector

    library = SphinxLibrary()
    return lambda: WebRtcDetector(library)


class SpeechMap:
    """The frames of a window of audio: which of them are speech.

    Frames are counted from the start of the window.
    """

    def __init__(self, gate: SpeechGate) -> None:
        self._gate = gate
        self._spoken = bytearray()
        self._rest = b""
        self._run = 0
        """Sounding frames in a row."""
        self.voiced = 0
        """Voiced frames heard in this utterance."""
        self.end = 0
        """Frames up to the end of the last speech."""

    def __len__(self) -> int:
        return len(self._spoken)

    @property
    def begun(self) -> bool:
        """True if there has been enough voice for a word."""
        return self.voiced >= _ONSET

    def hear(self, pcm: bytes) -> None:
        """Classify the whole frames of PCM16LE; the rest waits for more."""
        audio = self._rest + pcm
        whole = len(audio) // FRAME_BYTES * FRAME_BYTES
        self._rest = audio[whole:]
        for start in range(0, whole, FRAME_BYTES):
            self._add(self._gate.hear(audio[start : start + FRAME_BYTES]))

    def forget(self, frames: int) -> None:
        """Let the window begin so many frames later."""
        del self._spoken[:frames]
        self.end = max(self.end - frames, 0)

    def restart(self) -> None:
        """Begin another utterance."""
        self._gate.reset()
        self.forget(len(self))
        self.voiced, self._rest, self._run = 0, b"", 0

    def spoken(self) -> npt.NDArray[np.bool_]:
        """Return for each frame whether it is speech."""
        return np.frombuffer(bytes(self._spoken), np.uint8).astype(bool)

    def pause(self, first: int, last: int) -> int:
        """Return the middle of the longest pause between two frames; of none, the middle of both."""
        quiet = np.concatenate(([False], ~self.spoken()[first:last], [False]))
        edges = np.flatnonzero(np.diff(quiet.astype(np.int8))).reshape(-1, 2)
        if not len(edges):
            return (first + last) // 2
        begin, end = edges[np.argmax(edges[:, 1] - edges[:, 0])]
        return first + int(begin + end) // 2

    def _add(self, sound: Sound) -> None:
        self._run = self._run + 1 if sound is not Sound.SILENCE else 0
        self.voiced += sound is Sound.PITCHED
        speech = sound is Sound.PITCHED or self._run >= _RUN
        self._spoken.append(speech)
        if speech:
            self.end = len(self._spoken)
