"""Turn one endless stream of audio into decoder utterances and back into one text.

A voice gate keeps silence away from the decoder, and utterances are cut in pauses, or before a word where
there is no pause, so both cost and memory stay bounded however long the stream is. Text joins over cuts;
only a hard flush ends what the caller hears.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from nemotron_speech.engines.base import AsrResult, Flush, Word
from nemotron_speech.engines.pocketsphinx_asr.band import is_narrow, widen
from nemotron_speech.engines.pocketsphinx_asr.gate import FRAME_BYTES, Sound
from nemotron_speech.engines.pocketsphinx_asr.library import SphinxToken
from nemotron_speech.engines.shared.running_text import MOST_WORDS, RunningText

FRAME_MS = 30
_BYTES_PER_MS = 32

PREROLL_FRAMES = 12
"""Audio before the gate opens that is decoded all the same: 360 ms, longer than any first consonant."""

ONSET_WINDOW, ONSET_SOUNDING = 6, 3
"""The gate opens when this many of the last frames are not silent."""

PAUSE_FRAMES = 24
"""An utterance ends after 720 ms of silence."""

LONG_FRAMES, LONG_PAUSE_FRAMES = 400, 5
"""Utterance length from which a short pause ends it, and that pause: 12 s and 150 ms."""

LONGEST_FRAMES = 600
"""Utterance length at which it is cut before its last word, which is decoded again: 18 s."""

REPLAY_FRAMES = 50

TAIL_FRAMES = 4
_TAIL = bytes(100 * _BYTES_PER_MS)
"""Silence where speech ends, or is cut, with less: a decoder ends only after a word, which this completes."""

MIN_PITCHED_FRAMES = 3
"""Least frames with pitch, 90 ms, of an utterance: with less it is a cough, a knock or breath."""

MIN_PITCHED_SHARE = 0.15
"""Least share of pitched frames among those above silence; in speech about half have pitch."""

LONGEST_WORD_FRAMES = 130
"""No word lasts 1.3 s: the decoder stretches one over steady noise or music."""

MIN_POSTERIOR = 0.1
"""An utterance of one or two words less likely than this is kept only if the grammar knows the words."""

_NOT_SAID_ALONE = frozenset(
    word
    for line in (
        "a an the and or if of in on at by to up are is was our us their his her its as than that",
        "ah er ha hm hmm huh mm oh ooh ow ugh uh ack ought",
    )
    for word in line.split()
)
"""Words that noise is most often taken for; nobody says just one of them to a machine."""


class UtteranceDecoder(Protocol):
    """Decoder of a stream (`library.Decoder`)."""

    def reset(self) -> None: ...
    def begin(self) -> None: ...
    def feed(self, pcm: bytes) -> None: ...
    def end(self) -> None: ...
    def tokens(self) -> list[SphinxToken]: ...


class AudioGate(Protocol):
    """Voice gate of a stream (`gate.VoiceGate`)."""

    def reset(self) -> None: ...
    def hear(self, frame: bytes) -> Sound: ...


@dataclass(slots=True)
class _Utterance:
    """State of the utterance being decoded."""

    start_ms: int
    narrow: bool = False
    """True if the audio comes over a telephone."""
    frames: int = 0
    sounding: int = 0
    """Frames above silence."""
    pitched: int = 0
    quiet: int = 0
    """Silent frames at the utterance's end."""
    recent: deque[tuple[bytes, Sound]] = field(default_factory=lambda: deque(maxlen=REPLAY_FRAMES))

    @property
    def may_be_speech(self) -> bool:
        return self.pitched >= max(MIN_PITCHED_FRAMES, MIN_PITCHED_SHARE * self.sounding)


class SphinxStream:
    """The state of one caller over one decoder."""

    def __init__(
        self, decoder: UtteranceDecoder, gate: AudioGate, vocabulary: Container[str] = frozenset()
    ) -> None:
        """Start on a decoder no other stream uses; words of `vocabulary` are believed even when unlikely."""
        self._decoder = decoder
        self._gate = gate
        self._vocabulary = vocabulary
        self._utterance: _Utterance | None = None
        self._preroll: deque[tuple[bytes, Sound]] = deque(maxlen=PREROLL_FRAMES)
        self._rest = b""
        self._clock_ms = 0
        """Stream time of the end of the last whole frame."""
        self._start_afresh()
        decoder.reset()

    def advance(self, pcm: bytes, flush: Flush) -> AsrResult:
        """Take in audio; return the text of the utterance so far, and its words on a flush."""
        self._take(pcm)
        if flush is Flush.HARD:
            return self._finish()
        partial = self._partial()
        if flush is Flush.SOFT:
            return self._whole(partial)
        return AsrResult(self._said.recent + self._joined(partial), offset=self._said.offset)

    def _take(self, pcm: bytes) -> None:
        audio = self._rest + pcm
        whole = len(audio) // FRAME_BYTES * FRAME_BYTES
        self._rest = audio[whole:]
        for start in range(0, whole, FRAME_BYTES):
            frame = audio[start : start + FRAME_BYTES]
            self._clock_ms += FRAME_MS
            self._take_frame(frame, self._gate.hear(frame))

    def _take_frame(self, frame: bytes, sound: Sound) -> None:
        if self._utterance:
            self._decode(self._utterance, frame, sound)
            self._cut_if_due(self._utterance)
            return
        self._preroll.append((frame, sound))
        latest = list(self._preroll)[-ONSET_WINDOW:]
        if sum(sound > Sound.SILENCE for _, sound in latest) >= ONSET_SOUNDING:
            self._begin([*self._preroll])

    def _begin(self, frames: Sequence[tuple[bytes, Sound]]) -> None:
        self._preroll.clear()
        self._decoder.begin()
        narrow = is_narrow([frame for frame, sound in frames if sound > Sound.SILENCE])
        self._utterance = _Utterance(self._clock_ms - FRAME_MS * len(frames), narrow)
        for frame, sound in frames:
            self._decode(self._utterance, frame, sound)

    def _decode(self, utterance: _Utterance, frame: bytes, sound: Sound) -> None:
        self._decoder.feed(widen(frame) if utterance.narrow else frame)
        utterance.frames += 1
        utterance.sounding += sound > Sound.SILENCE
        utterance.pitched += sound is Sound.PITCHED
        utterance.quiet = 0 if sound > Sound.SILENCE else utterance.quiet + 1
        utterance.recent.append((frame, sound))

    def _cut_if_due(self, utterance: _Utterance) -> None:
        pause = LONG_PAUSE_FRAMES if utterance.frames > LONG_FRAMES else PAUSE_FRAMES
        if utterance.quiet >= pause:
            self._say(self._end(utterance))
        elif utterance.frames >= LONGEST_FRAMES:
            self._cut_before_last_word(utterance)

    def _cut_before_last_word(self, utterance: _Utterance) -> None:
        """End an utterance that has no pause and decode its last word anew, with what follows it."""
        self._decoder.feed(_TAIL)
        words = self._end(utterance)
        again: list[tuple[bytes, Sound]] = []
        if len(words) > 1:
            back = -(-(self._clock_ms - words[-1].start_ms) // FRAME_MS)
            if back <= len(utterance.recent):
                words.pop()
                again = list(utterance.recent)[-back:]
        self._say(words)
        self._begin(again)

    def _finish(self) -> AsrResult:
        if self._utterance is None and any(sound is Sound.PITCHED for _, sound in self._preroll):
            self._begin([*self._preroll])
        if self._utterance:
            tail = b"" if self._utterance.quiet >= TAIL_FRAMES else _TAIL
            rest = widen(self._rest) if self._utterance.narrow else self._rest
            if rest or tail:
                self._decoder.feed(rest + tail)
            self._say(self._end(self._utterance))
        result = self._whole([])
        self._start_afresh()
        self._clock_ms += len(self._rest) // _BYTES_PER_MS
        self._rest = b""
        self._preroll.clear()
        self._decoder.reset()
        self._gate.reset()
        return result

    def _start_afresh(self) -> None:
        self._said = RunningText()
        self._words: deque[Word] = deque(maxlen=MOST_WORDS)

    def _say(self, words: Sequence[Word]) -> None:
        """Add words that stay."""
        self._said.append(self._joined(words))
        self._words += words

    def _joined(self, words: Sequence[Word]) -> str:
        """Return what `words` add to the text."""
        text = " ".join(word.text for word in words)
        return f" {text}" if text and self._said.recent else text

    def _whole(self, partial: Sequence[Word]) -> AsrResult:
        words = [*self._words, *partial][-MOST_WORDS:]
        return AsrResult(self._said.whole + self._joined(partial), tuple(words), self._said.dropped)

    def _end(self, utterance: _Utterance) -> list[Word]:
        before = self._decoder.tokens()
        self._decoder.end()
        self._utterance = None
        if not utterance.may_be_speech:
            return []
        # In sound that no word can end in, the lattice has no way out, and the final hypothesis is empty.
        tokens = self._decoder.tokens() or [replace(token, posterior=0.0) for token in before]
        return self._believed(_words(tokens, utterance.start_ms))

    def _partial(self) -> list[Word]:
        if self._utterance is None or not self._utterance.may_be_speech:
            return []
        words = _words(self._decoder.tokens(), self._utterance.start_ms)
        return [] if _is_noise_word(words) else words

    def _believed(self, words: list[Word]) -> list[Word]:
        """Return the words of a final hypothesis, none where it looks like noise."""
        if len(words) > 2:
            return words
        known = all(word.text in self._vocabulary for word in words)
        likely = all((word.confidence or 0) >= MIN_POSTERIOR for word in words)
        return words if (known or likely) and not _is_noise_word(words) else []


def _is_noise_word(words: Sequence[Word]) -> bool:
    return len(words) <= 2 and all(word.text in _NOT_SAID_ALONE for word in words)


def _words(tokens: Sequence[SphinxToken], start_ms: int) -> list[Word]:
    return [
        Word(
            token.text.partition("(")[0],
            start_ms + 10 * token.first_frame,
            start_ms + 10 * (token.last_frame + 1),
            round(token.posterior, 3),
        )
        for token in tokens
        if not token.is_filler and token.last_frame - token.first_frame < LONGEST_WORD_FRAMES
    ]
