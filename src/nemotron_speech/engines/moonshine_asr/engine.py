"""Recognise English speech with Moonshine: the utterance is read again every 0.3 s, on ONNX Runtime alone.

A reading of six seconds takes a tenth of a second of one core, as the tokens of the one before are its draft
(`model.py`). Speech is read once more where it pauses, so the final after a reset needs no reading. Silence
and noise are never read (`speech.py`). Callers are read one after another: a batch changes what a quantised
model hears, and gains little (docs/decisions/recognition.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from loguru import logger

from nemotron_speech import models
from nemotron_speech.engines.base import AsrInfo, AsrResult, AsrStream, AsrWork, Flush
from nemotron_speech.engines.moonshine_asr.model import RATE, Audio, MoonshineModel, MoonshineReading
from nemotron_speech.engines.moonshine_asr.speech import FRAME, AudibleGate, SpeechGate, SpeechMap, voice_gate
from nemotron_speech.engines.moonshine_asr.stream import Due, MoonshineStream
from nemotron_speech.engines.shared.option_range import check_range
from nemotron_speech.errors import BadRequest, ConfigurationError, EngineError

MODEL = "moonshine-tiny-en"
_SPEAKER_SHARE = 0.3
"""Share of a core that the readings of one speaker may take before its steps grow longer."""
_SHARE = 0.7
"""Share of a core that the readings of all speakers may take."""


class MoonshineEngine:
    """A streaming recogniser of English.

    Args:
        model: Folder of a model (`encoder_model.ort`, `decoder_model_merged.ort`, `tokenizer.bin`), or its
            name in the catalogue.
        threads: CPU threads of a reading; 0 is 1 on up to four cores and 2 on more.
        capacity: Callers at once.
        step_s: Seconds of audio between two readings.
        max_step_s: As far as they move apart when readings take longer than there is time for.
        buffer_s: Seconds of the longest audio read at once; more is divided at a pause.
        vad: Ask the speech detector what is speech; off, all that is audible is.
    """

    def __init__(
        self,
        model: str = MODEL,
        threads: int = 0,
        capacity: int = 8,
        step_s: float = 0.3,
        max_step_s: float = 1.5,
        buffer_s: float = 10.0,
        vad: bool = True,
    ) -> None:
        check_range("threads", threads, 0, 64)
        check_range("capacity", capacity, 1, 1000)
        check_range("step_s", step_s, 0.1, 1.0)
        check_range("max_step_s", max_step_s, step_s, 4.0)
        check_range("buffer_s", buffer_s, 4.0, 20.0)
        self._model_name, self._threads = model, threads or _planned_threads()
        self._step, self._max_step = round(step_s * RATE), round(max_step_s * RATE)
        self._buffer = round(buffer_s * RATE)
        self._gate: Callable[[], SpeechGate] = voice_gate if vad else AudibleGate
        self._model: MoonshineModel | None = None
        self._streams: set[MoonshineStream] = set()
        self.info = AsrInfo(
            name="moonshine",
            model=os.path.basename(model),
            capacity=capacity,
            max_batch=1,
            estimates_times=True,
        )

    def load(self) -> None:
        """Load the model and the speech detector. Raises ConfigurationError."""
        model = MoonshineModel(models.find(self._model_name, engine="moonshine"), self._threads)
        model.warm_up()
        self._gate()
        self._model = model
        logger.info("Moonshine {} on {} threads", self.info.model, self._threads)

    def unload(self) -> None:
        self._model = None
        self._streams.clear()

    def open(self, language: str | None) -> MoonshineStream:
        """Start a stream. Raises BadRequest for any language but English."""
        wanted = language or "en"
        if wanted.lower().replace("_", "-").partition("-")[0] != "en":
            raise BadRequest(f"unknown language {wanted!r}; allowed: en")
        stream = MoonshineStream(SpeechMap(self._gate()), self._step, self._buffer)
        self._streams.add(stream)
        return stream

    def step(self, work: Sequence[AsrWork]) -> list[AsrResult | EngineError]:
        """Advance the streams one after another: at most one reading each, two where a window is full."""
        return [self._one(_own(item.stream), item) for item in work]

    def close(self, stream: AsrStream) -> None:
        """Forget the stream."""
        self._streams.discard(_own(stream))

    def _one(self, stream: MoonshineStream, item: AsrWork) -> AsrResult | EngineError:
        try:
            return self._advance(stream, item.pcm, item.flush)
        except Exception as error:  # noqa: BLE001  whatever onnxruntime raises
            logger.opt(exception=error).error("a stream failed")
            return EngineError(f"the recogniser failed: {error}")

    def _advance(self, stream: MoonshineStream, pcm: bytes, flush: Flush) -> AsrResult:
        self._take(stream, pcm)
        if flush is Flush.NONE:
            return stream.interim()
        transcript = self._read(stream) if stream.unread else stream.transcript
        result = stream.final(transcript)
        if flush is Flush.HARD:
            stream.restart()
            stream.step = self._step
        return result

    def _take(self, stream: MoonshineStream, pcm: bytes) -> None:
        """Append the audio, tick by tick, and read the window wherever that is due."""
        size = 2 * stream.wanted_samples
        for begin in range(0, len(pcm), size):
            stream.take(pcm[begin : begin + size])
            self._do(stream, stream.due)
            stream.trim()

    def _do(self, stream: MoonshineStream, due: Due) -> None:
        if due is Due.NOTHING:
            return
        if due is Due.CUT:
            frame = stream.place_to_cut()
            stream.cut(frame, self._timed_read(stream.audio[: frame * FRAME], stream.transcript))
        stream.heard(self._read(stream))
        stream.step = self._next_step

    def _read(self, stream: MoonshineStream) -> MoonshineReading:
        return self._timed_read(stream.audio, stream.transcript)

    def _timed_read(self, audio: Audio, before: MoonshineReading) -> MoonshineReading:
        began = time.perf_counter()
        transcript = self._loaded().read(audio, before.tokens)
        self._reading_s = time.perf_counter() - began
        return transcript

    @property
    def _next_step(self) -> int:
        """Samples until the next reading: more when there is no time for those of all who speak."""
        speaking = sum(stream.speaking for stream in self._streams)
        needed_s = self._reading_s * max(1 / _SPEAKER_SHARE, speaking / _SHARE)
        return min(max(self._step, round(needed_s * RATE)), self._max_step)

    def _loaded(self) -> MoonshineModel:
        if self._model is None:
            raise ConfigurationError("the moonshine engine is not loaded")
        return self._model


def _planned_threads() -> int:
    """Return what leaves room for the language model and the voice, which work at the same time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if cores <= 4 else 2


def _own(stream: AsrStream) -> MoonshineStream:
    if not isinstance(stream, MoonshineStream):
        raise TypeError(f"not a stream of this engine: {stream!r}")
    return stream
