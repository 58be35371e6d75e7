"""The NeMo recogniser: cache-aware FastConformer models, every caller in one batch.

A step takes the streams that have a chunk ready, at whatever position each is, computes their next mel
frames, runs the encoder and the decoder once for all of them, and puts the new state back in their slots. An
utterance that ends rides the same step with a shorter chunk. Its text is the one that the model finds in
the whole recording at the same look-ahead (docs/decisions/nemo-streaming.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Literal

from loguru import logger

from nemotron_speech.engines.base import AsrInfo, AsrResult, AsrStream, AsrWork, Flush
from nemotron_speech.engines.nemo_asr.arena import Arena
from nemotron_speech.engines.nemo_asr.mel import AudioTail
from nemotron_speech.engines.nemo_asr.model import ModelOptions, StreamingModel
from nemotron_speech.engines.nemo_asr.stream import EncoderJob, NemoStream, Row
from nemotron_speech.engines.nemo_asr.text import TokenTranscript
from nemotron_speech.engines.shared.isolation import BatchLimit, is_memory, release_torch_memory
from nemotron_speech.errors import ConfigurationError, EngineError, Full

DEFAULT_MODEL = "nvidia/nemotron-speech-streaming-en-0.6b"


class NemoAsrEngine:
    """A recogniser of cache-aware FastConformer models (RNNT, CTC, or both).

    Args:
        model: A `.nemo` file, or a name on the hub.
        right_context: Look-ahead in encoder frames of 80 ms, one the model was trained with; a step is one
            frame more. When None it is 1, or the model's default if it was not trained with that.
        decoder: `rnnt` or `ctc`, for models with both; a model with CTC only takes either.
        precision: `fp32`, `bf16` or `fp16`, of weights and caches.
        device: `cpu`, `cuda`, `cuda:1`, or `auto`: a GPU when there is one.
        capacity: Streams open at once; memory for all is taken at load.
        max_batch: Streams in one step.
        att_ctx: The look-ahead as `"left,right"`; goes before `right_context`.
        language: The language of a caller that names none.
        cuda_graphs: Replay the transducer search as a CUDA graph.
        threads: CPU threads for the model; PyTorch's choice when 0.
        compile: Let PyTorch compile the encoder step at load, once for each power of two up to `max_batch`,
            which takes minutes.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        right_context: int | None = None,
        decoder: Literal["rnnt", "ctc"] = "rnnt",
        precision: Literal["fp32", "bf16", "fp16"] = "fp32",
        device: str = "auto",
        capacity: int = 64,
        max_batch: int = 64,
        att_ctx: str | None = None,
        language: str = "en",
        cuda_graphs: bool = False,
        threads: int = 0,
        compile: bool = False,
    ) -> None:
        if decoder not in ("rnnt", "ctc"):
            raise ConfigurationError(f"unknown decoder {decoder!r}; allowed: rnnt, ctc")
        if min(capacity, max_batch) < 1:
            raise ConfigurationError("capacity and max_batch must be at least 1")
        self._options = ModelOptions(
            model, right_context, att_ctx, decoder, precision, device, language, cuda_graphs, compile
        )
        self._threads = threads
        self._limit: BatchLimit[Row] = BatchLimit(max_batch, release_torch_memory)
        self._model: StreamingModel | None = None
        self._arena: Arena | None = None
        self.info = AsrInfo("nemo", model, (language,), capacity=capacity, max_batch=max_batch)

    # ------------------------------------------------------------------------------ the model

    def load(self) -> None:
        """Load the model, take the memory of every stream and run a first step. Raises ConfigurationError."""
        try:
            import torch
        except ImportError as error:
            raise ConfigurationError(f"the nemo engine needs NeMo: run scripts/nemo_env ({error})") from None

        if self._threads:
            torch.set_num_threads(self._threads)
        model = self._model = StreamingModel(self._options)
        self._arena = self._taken_arena(model)
        self.info = replace(
            self.info,
            languages=model.languages.names,
            sample_rate=model.shape.sample_rate,
            marks_end=bool(model.vocabulary.end_marks),
        )
        for batch in self._batches_to_warm(model.device):
            self._warm_up(batch)
        logger.info(
            "{} on {} in {}: look-ahead {:.0f} ms, {} ms per step, {} streams of {:.2f} MB each",
            model.kind,
            model.device,
            self._options.precision,
            model.att_context[1] * model.frame_ms,
            model.step_ms,
            self.info.capacity,
            self.state_bytes / 1e6,
        )

    def unload(self) -> None:
        self._model = self._arena = None

    @property
    def state_bytes(self) -> int:
        """Bytes of model state per stream: constant, and taken whether the stream is in use or not."""
        return self._loaded()[1].bytes_per_slot

    @property
    def step_ms(self) -> int:
        """Milliseconds of audio in one step of one stream."""
        return self._loaded()[0].step_ms

    def _taken_arena(self, model: StreamingModel) -> Arena:
        """Take the memory of every stream. Raises ConfigurationError where there is not that much."""
        import torch

        with torch.inference_mode():
            try:
                return Arena(self.info.capacity, model.fresh, model.dims)
            except Exception as error:
                if not is_memory(error):
                    raise
                each = sum(value.nbytes for value in model.fresh.values()) / 1e6
                raise ConfigurationError(
                    f"capacity: {self.info.capacity} streams of {each:.2f} MB each do not fit into the "
                    f"memory of {model.device} beside the model; give a smaller one"
                ) from error

    def _batches_to_warm(self, device: str) -> list[int]:
        most = min(self.info.max_batch, self.info.capacity)
        if self._options.compile:
            return [*(1 << n for n in range(most.bit_length())), most]
        return [most if device.startswith("cuda") else 1]

    def _warm_up(self, batch: int) -> None:
        """Run each kind of step once, so that the first caller does not wait for it and faults show now."""
        streams = [self.open(None) for _ in range(batch)]
        for flush in (Flush.NONE, Flush.NONE, Flush.NONE, Flush.HARD):
            work = [AsrWork(stream, bytes(2 * stream.wanted_samples), flush) for stream in streams]
            for error in (outcome for outcome in self.step(work) if isinstance(outcome, EngineError)):
                raise ConfigurationError(f"{self.info.model} does not run as configured: {error}")
        for stream in streams:
            self.close(stream)

    # ----------------------------------------------------------------------------- the streams

    def open(self, language: str | None) -> NemoStream:
        """Start a stream. Raises BadRequest for a language the model does not know, Full without a slot."""
        import torch

        model, arena = self._loaded()
        prompt = model.languages.index(language)
        with torch.inference_mode():
            slot = arena.acquire()
        if slot is None:
            raise Full(f"all {self.info.capacity} streams of the model are open")
        transcript = TokenTranscript(model.vocabulary, model.frame_ms)
        tail = AudioTail(model.shape)
        return NemoStream(slot, tail, transcript, model.plan, model.shape.sample_rate, prompt)

    def close(self, stream: AsrStream) -> None:
        assert isinstance(stream, NemoStream)
        if stream.slot is not None and self._arena:
            self._arena.release(stream.slot)
        stream.slot = None

    def step(self, work: Sequence[AsrWork]) -> list[AsrResult | EngineError]:
        import torch

        jobs = [EncoderJob.of(item) for item in work]
        with torch.inference_mode():
            while rows := [row for job in jobs if (row := job.next_row())]:
                rows.sort(key=lambda row: row.kind)
                for _, group in groupby(rows, key=lambda row: row.kind):
                    self._advance(list(group))
            return [self._outcome(job) for job in jobs]

    # ------------------------------------------------------------------------------- one step

    def _advance(self, rows: list[Row]) -> None:
        """Run rows of one kind; a failure is narrowed down to the rows that cause it."""
        for row, error in self._limit.run(self._run, rows):
            row.job.fail(error)
        if self._limit.now < self.info.max_batch:
            self.info = replace(self.info, max_batch=self._limit.now)

    def _run(self, rows: list[Row]) -> None:
        """Hear one chunk of each row. Nothing has changed when it raises."""
        model, arena = self._loaded()
        tokens, sound, state = model(
            rows[0].kind,
            [row.stream.tail.window(row.frames) for row in rows],
            [row.frames for row in rows],
            [row.stream.prompt for row in rows],
            arena.load([row.slot for row in rows]),
        )
        going_on = [i for i, row in enumerate(rows) if sound[i] and not row.partial]
        arena.store([rows[i].slot for i in going_on], going_on, state)
        for row, said, good in zip(rows, tokens, sound, strict=True):
            if good:
                row.apply(said)
            else:
                row.job.fail(EngineError("the model answered with values that are not numbers"))

    def _outcome(self, job: EncoderJob) -> AsrResult | EngineError:
        if job.error:
            return job.error
        stream = job.stream
        transcript = job.ending or stream.transcript
        if job.flush is Flush.NONE:
            return AsrResult(transcript.text, offset=transcript.offset, ended=transcript.ended)
        text, offset = transcript.whole
        result = AsrResult(text, stream.words(transcript), offset, transcript.ended)
        if job.flush is Flush.HARD:
            assert stream.slot is not None
            self._loaded()[1].clear(stream.slot)
            stream.restart()
        return result

    def _loaded(self) -> tuple[StreamingModel, Arena]:
        if self._model is None or self._arena is None:
            raise EngineError("the model is not loaded")
        return self._model, self._arena
