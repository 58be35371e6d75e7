"""Engines that recite a script on time: for tests and benchmarks, never a default.

The recogniser hears loudness only and "recognises" the script's next transcript; the synthesiser speaks
tones, one per keyword of the text, so that a recording shows which reply every sample came from.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from nemotron_speech.engines.base import (
    AsrInfo,
    AsrResult,
    AsrStream,
    AsrWork,
    Flush,
    Segment,
    SynthesisMode,
    TtsInfo,
    TtsResult,
    TtsStream,
    Word,
)
from nemotron_speech.errors import ConfigurationError, EngineError, require

_LOUD = 300
"""RMS of int16 samples above which audio counts as speech."""
_TONES = tuple(range(300, 1500, 50))


class AsrScript(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Script of the recogniser: its transcripts and its timing."""

    transcripts: tuple[str, ...] = ("hello there",)
    """One per utterance that holds speech, in turn; a stream starts at the first."""
    chunk_ms: int = 80
    step_ms: float = 0.0
    """Time of a step, whatever its size."""
    stream_ms: float = 0.0
    """Further time of a step for each stream in it."""
    final_ms: float = 0.0
    """Further time of a step that finishes an utterance."""
    words_per_second: float = 4.0
    word_lag_ms: int | None = None
    """Audio behind a word before it is heard, the last ones this long into the silence; a flush needs none.
    None hears each word as it begins, and the last ones by a flush alone."""
    end_ms: int | None = None
    """Silence after which the utterance is said to have ended; None tells no ends."""
    pause_ms: int | None = None
    """Silence behind which the next transcript is heard, though the utterance goes on; None for never."""
    fail_on: str = ""
    """An utterance with this transcript makes the engine fail."""
    capacity: int = 64
    max_batch: int = 64


class TtsScript(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Script of the synthesiser: its sound and its timing."""

    sample_rate: int = 22050
    first_audio_ms: float = 0.0
    chunk_ms: int = 46
    step_ms: float = 0.0
    """Time of a step, in which every segment gains one chunk."""
    ms_per_character: float = 55.0
    tones: dict[str, float] = {}
    """Keyword in the text (lower case) to frequency in Hz; other texts get a tone of their own."""
    fail_on: str = ""
    """A text that holds this makes the engine fail half-way."""
    capacity: int = 64
    max_batch: int = 64


class Script(msgspec.Struct, frozen=True):
    """A script file: JSON with any of these parts (and those of other engines, not read here)."""

    asr: AsrScript = AsrScript()
    tts: TtsScript = TtsScript()


def read_script(path: str | Path | None) -> Script:
    """Read a script file; without one, instant engines. Raises ConfigurationError."""
    if path is None:
        return Script()
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=Script)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigurationError(f"cannot read the script {path}: {error}") from None


# ------------------------------------------------------------------------------- recognition


class Hearing:
    """One caller's stream."""

    def __init__(self, script: AsrScript, rate: int) -> None:
        self._script, self._rate = script, rate
        self.wanted_samples = rate * script.chunk_ms // 1000
        self._first = self._parts = 0
        """Index of the transcript that the utterance begins with, and number of transcripts in it so far."""
        self._samples = 0
        self._loud_from: int | None = None
        self._loud = 0
        self._loud_to = 0
        self._spoken_at: list[int] = []
        """Samples of the stream by which each word of the newest transcript was spoken."""
        self.open = True

    def hear(self, pcm: bytes) -> None:
        samples = np.frombuffer(pcm, dtype="<i2")
        if _loud(samples):
            self._loud_from = self._samples if self._loud_from is None else self._loud_from
            if not self._parts or self._paused():
                self._parts, self._loud, self._spoken_at = self._parts + 1, 0, []
            self._loud += len(samples)
            self._loud_to = self._samples + len(samples)
        self._samples += len(samples)
        self._note_words()

    def _note_words(self) -> None:
        """Note words by the loudness so far; a silence as long as the lag means that all are spoken."""
        lag = self._lag
        spoken = (lag is None) + int(self._loud / self._rate * self._script.words_per_second)
        self._spoken_at += [self._samples] * (spoken - len(self._spoken_at))
        if self._parts and lag is not None and self._samples - self._loud_to > lag:
            words = self._part(self._parts - 1).split()
            self._spoken_at += [self._loud_to] * (len(words) - len(self._spoken_at))

    @property
    def _lag(self) -> int | None:
        """The lag of words in samples."""
        lag_ms = self._script.word_lag_ms
        return None if lag_ms is None else lag_ms * self._rate // 1000

    def transcript(self) -> str:
        return " ".join(map(self._part, range(self._parts)))

    def so_far(self) -> str:
        if not self._parts:
            return ""
        newest = _beginnings(self._part(self._parts - 1))
        heard = sum(at + (self._lag or 0) <= self._samples for at in self._spoken_at)
        beginning = newest[min(heard, len(newest) - 1)]
        return " ".join([*map(self._part, range(self._parts - 1)), beginning])

    def _part(self, number: int) -> str:
        transcripts = self._script.transcripts
        return transcripts[(self._first + number) % len(transcripts)]

    def _paused(self) -> bool:
        pause_ms = self._script.pause_ms
        return pause_ms is not None and self._samples - self._loud_to >= pause_ms * self._rate // 1000

    def ended(self) -> bool:
        if self._script.end_ms is None or self._loud_from is None:
            return False
        return self._samples - self._loud_to >= self._script.end_ms * self._rate // 1000

    def words(self) -> tuple[Word, ...]:
        start = (self._loud_from or 0) * 1000 // self._rate
        each = round(1000 / self._script.words_per_second)
        return tuple(
            Word(w, start + i * each, start + (i + 1) * each) for i, w in enumerate(self.transcript().split())
        )

    def restart(self) -> None:
        self._first += self._parts
        self._loud_from, self._parts, self._loud, self._spoken_at = None, 0, 0, []


class ScriptedAsr:
    """A recogniser that hears what its script says."""

    def __init__(self, script: str | AsrScript | None = None) -> None:
        self._script = script if isinstance(script, AsrScript) else read_script(script).asr
        self.info = AsrInfo(
            name="scripted",
            model="script",
            capacity=self._script.capacity,
            max_batch=self._script.max_batch,
            marks_end=self._script.end_ms is not None,
        )
        self.steps = 0
        self.open_streams = 0

    def load(self) -> None: ...

    def unload(self) -> None: ...

    def open(self, language: str | None) -> Hearing:
        if language is not None:
            require("language", language, self.info.languages)
        self.open_streams += 1
        return Hearing(self._script, self.info.sample_rate)

    def close(self, stream: AsrStream) -> None:
        assert isinstance(stream, Hearing)
        self.open_streams -= stream.open
        stream.open = False

    def step(self, work: Sequence[AsrWork]) -> list[AsrResult | EngineError]:
        self.steps += 1
        finals = any(item.flush is Flush.HARD for item in work)
        script = self._script
        _sleep_ms(script.step_ms + script.stream_ms * len(work) + script.final_ms * finals)
        return [self._advance(item) for item in work]

    def _advance(self, item: AsrWork) -> AsrResult | EngineError:
        stream = item.stream
        assert isinstance(stream, Hearing)
        stream.hear(item.pcm)
        if self._script.fail_on and stream.transcript() == self._script.fail_on:
            return EngineError("the script says to fail")
        if item.flush is Flush.NONE:
            return AsrResult(stream.so_far(), ended=stream.ended())
        result = AsrResult(stream.transcript(), stream.words(), ended=stream.ended())
        if item.flush is Flush.HARD:
            stream.restart()
        return result


@cache
def _beginnings(transcript: str) -> tuple[str, ...]:
    """Return the first no, one, two and more words, up to all of them."""
    words = transcript.split()
    return tuple(" ".join(words[:count]) for count in range(len(words) + 1))


def _loud(samples: npt.NDArray[np.int16]) -> bool:
    """Return True if the RMS says speech. It takes a few hundred samples: so few that NumPy keeps the GIL."""
    some = samples[:: len(samples) // 256 + 1].astype(np.float64)
    return bool(len(some)) and float(some @ some) > _LOUD**2 * len(some)


# --------------------------------------------------------------------------------- synthesis


class _Tone:
    """One segment being spoken."""

    def __init__(self, segment: Segment, script: TtsScript) -> None:
        self.segment = segment
        self.frequency = tone_of(segment.text, script)
        speed = script.ms_per_character / segment.speed
        characters = len(segment.text) if segment.text.strip() else 0
        self.total = int(characters * speed * script.sample_rate / 1000)
        self.made = 0
        self.ready_at = time.perf_counter() + script.first_audio_ms / 1000
        self.held = b""
        self.open = True


class ScriptedTts:
    """A synthesiser that speaks tones."""

    def __init__(self, script: str | TtsScript | None = None) -> None:
        self._script = script if isinstance(script, TtsScript) else read_script(script).tts
        self.info = TtsInfo(
            name="scripted",
            model="tones",
            sample_rate=self._script.sample_rate,
            voices=("aria", "john", "sofia", "jason", "leo"),
            languages=("en", "es", "de", "fr", "it", "vi", "zh"),
            capacity=self._script.capacity,
            max_batch=self._script.max_batch,
            speeds=(0.1, 10.0),
        )
        self.steps = 0
        self.open_streams = 0

    def load(self) -> None: ...

    def unload(self) -> None: ...

    def open(self, segment: Segment) -> _Tone:
        segment.check(self.info)
        self.open_streams += 1
        return _Tone(segment, self._script)

    def close(self, stream: TtsStream) -> None:
        assert isinstance(stream, _Tone)
        self.open_streams -= stream.open
        stream.open = False

    def step(self, streams: Sequence[TtsStream]) -> list[TtsResult | EngineError]:
        self.steps += 1
        _sleep_ms(self._script.step_ms)
        tones = [stream for stream in streams if isinstance(stream, _Tone)]
        if all(tone.ready_at > time.perf_counter() for tone in tones):
            _sleep_ms(min(1000 * (min(tone.ready_at for tone in tones) - time.perf_counter()), 5))
        return [self._advance(tone) for tone in tones]

    def _advance(self, tone: _Tone) -> TtsResult | EngineError:
        if tone.ready_at > time.perf_counter():
            return TtsResult(b"")
        if self._script.fail_on and self._script.fail_on in tone.segment.text and tone.made >= tone.total / 2:
            return EngineError("the script says to fail")
        samples = min(tone.total - tone.made, self.info.sample_rate * self._script.chunk_ms // 1000)
        pcm = _sine(tone.frequency, tone.made, samples, self.info.sample_rate).tobytes()
        tone.made += samples
        done = tone.made >= tone.total
        if tone.segment.mode is SynthesisMode.BATCH:
            tone.held += pcm
            pcm = tone.held if done else b""
        return TtsResult(pcm, done, self._words(tone) if done else ())

    def _words(self, tone: _Tone) -> tuple[Word, ...]:
        """Return word times in proportion to the characters, as the tone itself is."""
        words, at = [], 0.0
        per_character = self._script.ms_per_character / tone.segment.speed
        for word in tone.segment.text.split():
            end = at + (len(word) + 1) * per_character
            words.append(Word(word, round(at), round(end)))
            at = end
        return tuple(words)


def tone_of(text: str, script: TtsScript) -> float:
    """Return the frequency in Hz that `text` is spoken with."""
    lower = text.lower()
    named = (frequency for keyword, frequency in script.tones.items() if keyword in lower)
    return next(named, float(_TONES[crc32(lower.encode()) % len(_TONES)]))


def _sine(frequency: float, start: int, samples: int, rate: int) -> npt.NDArray[np.int16]:
    """Return samples of a sine that runs on from `start`, so that chunk joins are seamless."""
    t = np.arange(start, start + samples) / rate
    return (np.sin(2 * np.pi * frequency * t) * 10000).astype("<i2")


def _sleep_ms(ms: float) -> None:
    if ms > 0:
        time.sleep(ms / 1000)
