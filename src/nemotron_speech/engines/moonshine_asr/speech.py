"""Where in the audio of one utterance there is speech, in frames of 30 ms.

WebRTC's detector and a test of pitch judge each frame (`pocketsphinx_gate.py`). Voiced frames are speech,
and so are unvoiced ones close behind them, as at the end of "six". Hiss, knocks and breath alone never are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nemotron_speech.engines.pocketsphinx_gate import FRAME_BYTES, Sound, VoiceDetector, VoiceGate

FRAME = FRAME_BYTES // 2
"""Samples of a frame."""
_ONSET = 3
"""Voiced frames from which on there is something to read: 90 ms."""
_CODA = 8
"""Frames behind the last voiced one in which an unvoiced sound belongs to the word: 240 ms."""
_QUIETEST = 33.0
"""RMS in int16 steps (-60 dBFS) from which on a frame is audible."""


class Gate(Protocol):
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
    from nemotron_speech.engines.pocketsphinx_lib import SphinxLibrary
    from nemotron_speech.engines.pocketsphinx_lib import VoiceDetector as WebRtcDetector

    library = SphinxLibrary()
    return lambda: WebRtcDetector(library)


class SpeechMap:
    """The frames of a window of audio: which of them are speech.

    Frames are counted from the start of the window.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._spoken = bytearray()
        self._rest = b""
        self._last_voiced = -_CODA - 1
        self.voiced = 0
        """Voiced frames heard in this utterance."""
        self.end = 0
        """Frames up to the end of the last speech."""

    def __len__(self) -> int:
        return len(self._spoken)

    @property
    def begun(self) -> bool:
        """Whether there has been enough voice for a word."""
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
        self._last_voiced -= frames

    def restart(self) -> None:
        """Begin another utterance."""
        self._gate.reset()
        self.forget(len(self))
        self.voiced, self._rest, self._last_voiced = 0, b"", -_CODA - 1

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
        at = len(self._spoken)
        if sound is Sound.PITCHED:
            self.voiced, self._last_voiced = self.voiced + 1, at
        coda = sound is Sound.NOISE and at - self._last_voiced <= _CODA
        speech = sound is Sound.PITCHED or coda
        self._spoken.append(speech)
        if speech:
            self.end = at + 1
