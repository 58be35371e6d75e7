"""One caller of the Moonshine engine: a window of audio that is read again as it grows.

The window holds the utterance. It is read every step, and once more where speech pauses: then a reset after
the pause finds the transcript complete. A long pause, or a window that is full, ends the window at a pause;
what it said stays.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np

from nemotron_speech.engines.base import AsrResult, Word
from nemotron_speech.engines.moonshine_asr.emergence import Sighting, sighted, timed
from nemotron_speech.engines.moonshine_asr.model import RATE, SHORTEST, Audio, MoonshineReading
from nemotron_speech.engines.moonshine_asr.speech import FRAME, SpeechMap
from nemotron_speech.engines.shared.running_text import MOST_WORDS, RunningText

TICK = 2 * FRAME
"""Samples that a step without a flush takes: 60 ms, in which a pause is noticed."""
_PAUSE = 4
"""Silent frames after which what was said is read at once: 120 ms."""
_LONG_PAUSE = 50
"""Silent frames after which the window ends: 1.5 s."""
_LEAD_IN = 17
"""Frames kept before speech, whose soft beginning the gate may have missed: 0.5 s."""
_TAIL = 7
"""Silent frames that a window of its own keeps behind its last word."""
_UNSURE = 0.4
"""Probability below which a word that is all of an utterance was probably none."""
_LONGEST_WORD = 50
"""Voiced frames that one word has at most, 1.5 s: into more it is imagined, as into a tone."""


class Due(Enum):
    """Need of a stream before it can answer."""

    NOTHING = auto()
    READING = auto()
    CUT = auto()
    """The window is full: its head is read alone, and leaves it."""


@dataclass(slots=True, eq=False)
class MoonshineStream:
    """The state of one caller: at most a window and a step of audio, and the words of the utterance."""

    speech: SpeechMap
    step: int
    """Samples between two readings."""
    buffer: int
    """Samples of the longest window."""
    audio: Audio = field(default_factory=lambda: np.zeros(0, np.float32))
    start: int = 0
    """Place of the window's first sample in the stream."""
    read_to: int = 0
    """Samples of the window that the latest reading covered."""
    transcript: MoonshineReading = field(default_factory=MoonshineReading)
    """Tokens and text of the latest reading."""
    said: RunningText = field(default_factory=RunningText)
    """Text of the windows before this one."""
    words: deque[Word] = field(default_factory=lambda: deque(maxlen=MOST_WORDS))
    """Words of the windows before this one."""
    sightings: list[Sighting] = field(default_factory=list)

    @property
    def wanted_samples(self) -> int:
        return TICK

    @property
    def speaking(self) -> bool:
        """True if there was speech lately."""
        return self.speech.begun and 0 < self.speech.end > len(self.speech) - _LONG_PAUSE

    def take(self, pcm: bytes) -> None:
        """Append audio."""
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
        self.audio = np.concatenate((self.audio, samples))
        self.speech.hear(pcm)

    # ----------------------------------------------------------------------------- what is due

    @property
    def unread(self) -> bool:
        """True if there is speech that no reading has covered."""
        return self.speech.begun and self.speech.end * FRAME > self.read_to and len(self.audio) >= SHORTEST

    @property
    def due(self) -> Due:
        """Return what is due without a flush."""
        if not self.unread:
            return Due.NOTHING
        paused = len(self.speech) - self.speech.end >= _PAUSE
        if not paused and len(self.audio) - self.read_to < self.step:
            return Due.NOTHING
        return Due.CUT if len(self.audio) > self.buffer else Due.READING

    # --------------------------------------------------------------------------- what was read

    def heard(self, transcript: MoonshineReading) -> None:
        """Take in a reading of the whole window."""
        self.transcript, self.read_to = transcript, len(self.audio)
        self.sightings.append(sighted(self.speech.end, transcript.words))

    def place_to_cut(self) -> int:
        """Return the frame in the later half of a full window at which it is best divided."""
        frames = len(self.speech)
        return self.speech.pause(frames * 2 // 5, frames * 9 // 10)

    def cut(self, frame: int, head: MoonshineReading) -> None:
        """Let the audio before `frame` go, of which `head` is the transcript; the rest is unread."""
        rest = self.transcript.tokens[len(head.tokens) :]
        self._keep(head, self.speech.spoken()[:frame])
        self._forget(frame)
        self.transcript, self.read_to = MoonshineReading(tokens=rest), 0

    def trim(self) -> None:
        """Let go of silence before speech, and of a window that a long pause has ended."""
        quiet = len(self.speech) - self.speech.end
        if not self.speech.begun:
            self._forget(max(len(self.speech) - _LEAD_IN, 0))
        elif quiet >= _LONG_PAUSE and not self.unread and self.audio.size:
            self._keep(self.transcript, self.speech.spoken())
            self._forget(len(self.speech) - _TAIL)
            self.transcript = MoonshineReading()

    def restart(self) -> None:
        """Begin another utterance."""
        self.start += len(self.audio)
        self.audio = self.audio[:0].copy()
        self.speech.restart()
        self.transcript, self.read_to = MoonshineReading(), 0
        self.said, self.sightings = RunningText(), []
        self.words.clear()

    def _forget(self, frames: int) -> None:
        if frames > 0:
            self.audio = self.audio[frames * FRAME :].copy()
            self.speech.forget(frames)
            self.start += frames * FRAME
            self.read_to = max(self.read_to - frames * FRAME, 0)
            self.sightings = []

    def _keep(self, transcript: MoonshineReading, spoken: np.ndarray) -> None:
        if transcript.words and not self._imagined(transcript):
            self.words += timed(transcript.words, self.sightings, spoken, self._start_ms)
            self.said.append(self._joined(transcript.text))

    # ------------------------------------------------------------------------- what is answered

    def interim(self) -> AsrResult:
        """Return the text so far."""
        return AsrResult(
            self.said.recent + self._joined(self._text(self.transcript)), offset=self.said.offset
        )

    def final(self, transcript: MoonshineReading) -> AsrResult:
        """Return the whole utterance with its words, where `transcript` is that of the window."""
        words = list(self.words)
        if text := self._text(transcript):
            words += timed(transcript.words, self.sightings, self.speech.spoken(), self._start_ms)
        whole = self.said.whole + self._joined(text)
        return AsrResult(whole, tuple(words[-MOST_WORDS:]), self.said.dropped)

    @property
    def _start_ms(self) -> int:
        return self.start * 1000 // RATE

    def _text(self, transcript: MoonshineReading) -> str:
        return "" if self._imagined(transcript) else transcript.text

    def _imagined(self, transcript: MoonshineReading) -> bool:
        """Return True if one unlikely or impossibly long word is all there is, as is heard into a tone."""
        words = transcript.words
        if self.said.recent or len(words) != 1:
            return False
        return words[0].confidence < _UNSURE or self.speech.voiced > _LONGEST_WORD

    def _joined(self, text: str) -> str:
        return f" {text}" if text and self.said.recent else text
