"""Recognise speech with Whisper in many languages: a bounded buffer read again, and local agreement.

Whisper reads a window of up to 30 s at once. A stream keeps the latest audio of its utterance, reads all of
it anew after every `step_s` of further speech, and the latest reading is the text. When the buffer is full,
the audio of words that two readings in a row agree on leaves it and their text stays (`local_agreement.py`).
Silence is not read: so a final after a pause needs no further reading, and nothing is imagined into silence.
Readings that are due in one step are read in one batch (docs/decisions/whisper-batching.md).
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from loguru import logger

from nemotron_speech.engines.base import AsrInfo, AsrResult, AsrStream, AsrWork, Flush, Word
from nemotron_speech.engines.shared.isolation import BatchLimit
from nemotron_speech.engines.shared.option_range import check_range
from nemotron_speech.engines.shared.running_text import MOST_WORDS
from nemotron_speech.engines.whisper_asr.local_agreement import LocalAgreement
from nemotron_speech.engines.whisper_asr.model import RATE, Audio, Reading, WhisperModel, WhisperReading
from nemotron_speech.engines.whisper_asr.words import separator
from nemotron_speech.errors import BadRequest, ConfigurationError, EngineError

_BEARINGS = RATE // 2
"""Samples before the new ones that the speech detector hears too."""
_LEAD_IN = RATE
"""Samples of silence kept before speech, whose soft beginning the detector may have missed."""
_SHORTEST = RATE // 10
"""Samples in which something can be said; into less a word would be imagined."""
AUTO = "auto"
_DETECT_WITHIN = 3 * RATE
"""Samples of an utterance that tell its language; with fewer, the next reading detects it again."""
_SPEAKER_SHARE = 0.4
"""Share of the time of one speaker that readings may take: a reset waits for the reading in progress."""
_SHARE = 0.7
"""Share of a core's time that readings may take before callers' steps grow longer."""
_GPU_BATCH, _CPU_BATCH = 16, 1
"""Callers in a step by default, on a GPU and on a CPU.

A CPU gains nothing from a batch, and every caller in it waits for all.
"""


@dataclass(slots=True, eq=False)
class WhisperStream:
    """One caller: at most `buffer_s` and a step of audio, and the words of the utterance."""

    language: str
    audio: Audio
    step: int
    """Samples between two readings."""
    detecting: bool = False
    """True if the caller has named no language: `language` is a guess for this utterance."""
    detects: bool = False
    """True if each utterance begins with a guess of its language."""
    words: LocalAgreement = field(init=False)
    start: int = 0
    """Place of the buffer's first sample in the stream."""
    read_to: int = 0
    """Sample of the stream up to which the buffer was last read."""
    speaking: bool = False
    """True if the latest reading found new speech."""

    def __post_init__(self) -> None:
        self.words = LocalAgreement(separator(self.language))

    @property
    def end(self) -> int:
        return self.start + len(self.audio)

    @property
    def wanted_samples(self) -> int:
        return max(self.step - (self.end - self.read_to), 1)


@dataclass(slots=True, eq=False)
class _Job:
    """One stream's share of a step: it goes on until it needs a reading, and with what was heard."""

    progress: Generator[Reading, WhisperReading, AsrResult]
    wanted: Reading | None = None
    outcome: AsrResult | EngineError | None = None

    def go_on(self, heard: WhisperReading | None = None) -> None:
        self.wanted = None
        try:
            self.wanted = next(self.progress) if heard is None else self.progress.send(heard)
        except StopIteration as end:
            self.outcome = end.value
        except Exception as error:  # noqa: BLE001  whatever onnxruntime raises
            logger.opt(exception=error).error("a stream failed")
            self.fail(EngineError(f"the recogniser failed: {error}"))

    def fail(self, error: EngineError) -> None:
        self.wanted, self.outcome = None, error


class WhisperEngine:
    """A streaming recogniser over faster-whisper.

    Args:
        model: Folder of a converted model, a name of the model catalogue, or one on the hub (tiny, base,
            small, medium, large-v3, turbo; `.en` for English alone), downloaded on first use.
        language: Language of a caller that names none; auto hears which it is, utterance by utterance, where
            the model has several.
        device: auto, cpu, cuda or cuda:N; auto takes a GPU when there is one.
        compute_type: auto is int8 on a CPU and float16 on a GPU; else what CTranslate2 knows.
        threads: CPU threads of a reading; 0 takes the cores this process may use.
        capacity: Callers at once.
        max_batch: Callers whose audio is read at once; 0 is 16 on a GPU and 1 on a CPU.
        beam_size: Hypotheses kept while decoding; 1 is greedy.
        step_s: Seconds of audio between two readings.
        max_step_s: As far as they move apart when readings take longer than there is time for.
        buffer_s: Seconds of audio read at once, 5 to 25.
        vad: Ask the speech detector (Silero) what is speech; off, all that is audible is.
    """

    def __init__(
        self,
        model: str = "base",
        language: str = AUTO,
        device: str = "auto",
        compute_type: str = "auto",
        threads: int = 0,
        capacity: int = 8,
        max_batch: int = 0,
        beam_size: int = 1,
        step_s: float = 0.5,
        max_step_s: float = 2.0,
        buffer_s: float = 20.0,
        vad: bool = True,
    ) -> None:
        check_range("capacity", capacity, 1, 1000)
        check_range("max_batch", max_batch, 0, 256)
        check_range("threads", threads, 0, 1000)
        check_range("beam_size", beam_size, 1, 20)
        check_range("step_s", step_s, 0.1, 1.0)
        check_range("max_step_s", max_step_s, step_s, 4.0)
        check_range("buffer_s", buffer_s, 5.0, 25.0)
        self._model_name, self._language = model, language
        self._options = (device, compute_type, threads, beam_size, vad)
        self._step, self._max_step = round(step_s * RATE), round(max_step_s * RATE)
        self._buffer = round(buffer_s * RATE)
        self._model: WhisperModel | None = None
        self._limit: BatchLimit[_Job] = BatchLimit(max_batch)
        self._reading_s = 0.0
        """Seconds that a reading took lately, as its share of a batch."""
        self._streams: set[WhisperStream] = set()
        self.info = AsrInfo(
            name="whisper",
            model=Path(model).name,
            languages=("en" if language == AUTO else language,),
            capacity=capacity,
            max_batch=max_batch or 1,
        )

    def load(self) -> None:
        """Load the model; `info` then names its languages. Raises ConfigurationError."""
        model = WhisperModel(self._model_name, *self._options)
        several = len(model.languages) > 1
        languages = (AUTO, *model.languages) if several else model.languages
        default = languages[0] if self._language == AUTO else self._language
        if default not in languages:
            raise ConfigurationError(
                f"language: the model {self.info.model} has no {default!r}; it has: {', '.join(languages)}"
            )
        self._limit.now = self._limit.now or (_GPU_BATCH if model.device == "cuda" else _CPU_BATCH)
        model.warm_up(self._limit.now)
        self.info = replace(
            self.info,
            languages=(default, *(one for one in languages if one != default)),
            max_batch=self._limit.now,
        )
        self._model = model
        logger.info("Whisper {} on {}, {} languages", self.info.model, model.device, len(self.info.languages))

    def unload(self) -> None:
        self._model = None
        self._streams.clear()

    def open(self, language: str | None) -> WhisperStream:
        """Start a stream. Raises BadRequest for a language the model does not have."""
        wanted = language or self.info.languages[0]
        short = wanted.lower().replace("_", "-").partition("-")[0]
        if short not in self.info.languages:
            raise BadRequest(f"unknown language {wanted!r}; allowed: {', '.join(self.info.languages)}")
        auto = short == AUTO
        known = self._loaded().fallback_language if auto else short
        stream = WhisperStream(known, np.zeros(0, np.float32), self._step, detecting=auto, detects=auto)
        self._streams.add(stream)
        return stream

    def step(self, work: Sequence[AsrWork]) -> list[AsrResult | EngineError]:
        """Advance the streams together: in the usual case at most one reading each, all in one batch."""
        jobs = [_Job(self._advance(_own(item.stream), item.pcm, item.flush)) for item in work]
        for job in jobs:
            job.go_on()
        while waiting := [job for job in jobs if job.wanted]:
            for job, error in self._limit.run(self._read, waiting):
                job.fail(error)
        if self._limit.now < self.info.max_batch:
            self.info = replace(self.info, max_batch=self._limit.now)
        return [job.outcome or EngineError("the recogniser gave no answer") for job in jobs]

    def close(self, stream: AsrStream) -> None:
        """Forget the stream."""
        self._streams.discard(_own(stream))

    def _read(self, jobs: list[_Job]) -> None:
        began = time.perf_counter()
        heard = self._loaded().read([job.wanted for job in jobs if job.wanted])
        self._reading_s = (time.perf_counter() - began) / len(jobs)
        for job, one in zip(jobs, heard, strict=True):
            job.go_on(one)

    def _advance(
        self, stream: WhisperStream, pcm: bytes, flush: Flush
    ) -> Generator[Reading, WhisperReading, AsrResult]:
        """Take in the audio of one stream; yields what is to be read and is sent what was heard."""
        yield from self._take(stream, pcm)
        if flush is Flush.NONE:
            return _interim(stream.words)
        result = _final(stream.words, (yield from self._all_words(stream)))
        if flush is Flush.HARD:
            self._restart(stream)
        return result

    # ------------------------------------------------------------------------------ the buffer

    def _take(self, stream: WhisperStream, pcm: bytes) -> Generator[Reading, WhisperReading, None]:
        """Append the audio, and read the buffer wherever a step is complete."""
        samples: Audio = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
        while len(samples):
            wanted = stream.wanted_samples
            stream.audio = np.concatenate((stream.audio, samples[:wanted]))
            samples = samples[wanted:]
            if stream.end - stream.read_to >= stream.step:
                yield from self._look(stream)

    def _look(self, stream: WhisperStream) -> Generator[Reading, WhisperReading, None]:
        stream.speaking = self._new_speech(stream)
        if stream.speaking:
            stream.words.hear((yield from self._words(stream)))
            stream.step = self._next_step()
        stream.read_to = stream.end
        self._trim(stream)

    def _next_step(self) -> int:
        """Return the samples until the next reading: more when there is no time for all who speak."""
        speaking = sum(stream.speaking for stream in self._streams)
        needed = round(self._reading_s * max(1 / _SPEAKER_SHARE, speaking / _SHARE) * RATE)
        return min(max(self._step, needed), self._max_step)

    def _all_words(self, stream: WhisperStream) -> Generator[Reading, WhisperReading, tuple[Word, ...]]:
        """Return the words of all audio; without another reading if only silence came since the last one."""
        unread = stream.end > stream.read_to and len(stream.audio) >= _SHORTEST
        if unread and self._new_speech(stream):
            return stream.words.preview((yield from self._words(stream)))
        return stream.words.words

    def _trim(self, stream: WhisperStream) -> None:
        """Let go of silence before speech, and of what is committed or too old in a full buffer."""
        if not stream.speaking and not stream.words.words:
            self._forget(stream, stream.end - _LEAD_IN)
        if len(stream.audio) <= self._buffer:
            return
        committed = stream.words.committed
        if committed:
            self._forget(stream, committed[-1].end_ms * RATE // 1000)
        if len(stream.audio) > self._buffer:
            self._forget(stream, stream.end - self._buffer // 2)

    def _forget(self, stream: WhisperStream, before: int) -> None:
        if before > stream.start:
            stream.words.forget_audio(before * 1000 // RATE)
            stream.audio = stream.audio[before - stream.start :].copy()
            stream.start = before

    def _restart(self, stream: WhisperStream) -> None:
        stream.start = stream.read_to = stream.end
        stream.audio = stream.audio[:0].copy()
        stream.words = LocalAgreement(separator(stream.language))
        stream.speaking, stream.step = False, self._step
        stream.detecting = stream.detects

    # ------------------------------------------------------------------------------- the model

    def _new_speech(self, stream: WhisperStream) -> bool:
        since = stream.read_to - stream.start
        bearings = min(since, _BEARINGS)
        return self._loaded().has_speech(stream.audio[since - bearings :], bearings)

    def _words(self, stream: WhisperStream) -> Generator[Reading, WhisperReading, list[Word]]:
        """Have the buffer read."""
        detect = stream.detecting and not stream.words.committed
        start_ms = stream.start * 1000 // RATE
        before = [word.text for word in stream.words.committed if word.end_ms <= start_ms]
        heard = yield Reading(
            stream.audio, stream.language, detect, separator(stream.language).join(before), start_ms
        )
        if detect:
            stream.language = heard.language
            stream.words.separator = separator(heard.language)
            stream.detecting = len(stream.audio) < _DETECT_WITHIN
        return heard.words

    def _loaded(self) -> WhisperModel:
        if self._model is None:
            raise ConfigurationError("the whisper engine is not loaded")
        return self._model


def _interim(heard: LocalAgreement) -> AsrResult:
    tentative = heard.words[len(heard.committed) :]
    return AsrResult((heard.text.recent + heard.joined(tentative)).rstrip(), offset=heard.text.offset)


def _final(heard: LocalAgreement, words: Sequence[Word]) -> AsrResult:
    """`words` are the last reading, after the committed ones where some have left the buffer."""
    stripped = tuple(replace(word, text=word.text.strip()) for word in words[-MOST_WORDS:])
    if heard.whole:
        return AsrResult(heard.separator.join(word.text for word in words).strip(), stripped)
    rest = words[len(heard.committed) :]
    return AsrResult((heard.text.whole + heard.joined(rest)).rstrip(), stripped, heard.text.dropped)


def _own(stream: AsrStream) -> WhisperStream:
    if not isinstance(stream, WhisperStream):
        raise TypeError(f"not a stream of this engine: {stream!r}")
    return stream
