"""The NeMo recogniser: cache-aware FastConformer models, every caller in one batch.

A step takes the streams that have a chunk ready, at whatever position each is, computes their next mel
frames, runs the encoder and the decoder once for all of them, and puts the new state back in their slots. An
utterance that ends rides the same step with a shorter chunk. What it says is what the model says of the
whole recording at the same look-ahead (docs/decisions/nemo-streaming.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from loguru import logger

from nemotron_speech.engines import nemo_load
from nemotron_speech.engines.base import AsrInfo, AsrResult, AsrWork, Flush
from nemotron_speech.engines.mel import AudioTail, MelFrames
from nemotron_speech.engines.nemo_arena import Arena
from nemotron_speech.engines.nemo_decode import CtcDecoder, Decoder, RnntDecoder, Token
from nemotron_speech.engines.nemo_encode import ChunkPlan, StreamingEncoder
from nemotron_speech.engines.nemo_text import Transcript, Vocabulary
from nemotron_speech.errors import BadRequest, ConfigurationError, EngineError, Full

if TYPE_CHECKING:
    pass

DEFAULT_MODEL = "nvidia/nemotron-speech-streaming-en-0.6b"


class NemoStream:
    """One caller: its place in the arena, the audio its next chunk needs, and what it said."""

    def __init__(self, slot: int, tail: AudioTail, transcript: Transcript, plan: ChunkPlan) -> None:
        self.slot: int | None = slot
        self.tail = tail
        self.transcript = transcript
        self.plan = plan
        self._utterance_start = 0

    @property
    def wanted_samples(self) -> int:
        """Samples until the next chunk is complete: exact, and different for the first chunk."""
        return self.tail.missing(self.plan.frames(self.tail.frames))

    @property
    def end_of_utterance(self) -> bool:
        """Whether the model, if it predicts such a mark, has just marked the end of an utterance."""
        return self.transcript.ended

    def place(self, tokens: Sequence[Token]) -> list[Token]:
        """Return `tokens` with their frames counted from the start of the utterance."""
        before = self.plan.repeated(self.tail.frames)
        return [replace(token, frame=token.frame + before) for token in tokens]

    def restart(self, sample_rate: int) -> None:
        """Begin another utterance."""
        self._utterance_start += self.tail.received
        self.tail.restart()
        self.transcript.restart(round(self._utterance_start * 1000 / sample_rate))


@dataclass(slots=True)
class _Job:
    """One work item on its way through the rounds of a step."""

    stream: NemoStream
    flush: Flush
    peek: Transcript | None = None
    error: EngineError | None = None
    done: bool = False

    def next_frames(self) -> int:
        """Return how many mel frames the next round takes; 0 when there is no further round."""
        if self.done:
            return 0
        tail, whole = self.stream.tail, self.stream.plan.frames(self.stream.tail.frames)
        if not tail.missing(whole):
            return whole
        self.done = True
        return 0 if self.flush is Flush.NONE else tail.remaining_frames

    def fail(self, message: str) -> None:
        self.error, self.done = EngineError(message), True


@dataclass(frozen=True, slots=True)
class _Row:
    """One stream's chunk in a batch."""

    job: _Job
    frames: int
    partial: bool
    """Whether the chunk is shorter than the plan says: only to end, or to look ahead of, an utterance."""

    @property
    def kind(self) -> int:
        return self.job.stream.plan.kind(self.job.stream.tail.frames)

    @property
    def slot(self) -> int:
        assert self.job.stream.slot is not None
        return self.job.stream.slot


class NemoAsrEngine:
    """A recogniser of cache-aware FastConformer models (RNNT, CTC, or both).

    Args:
        model: A `.nemo` file, or a name on the hub.
        right_context: Look-ahead in encoder frames of 80 ms, one the model was trained with (its default when
            None); a step is one frame more.
        att_ctx: The same as `"left,right"`.
        decoder: `rnnt` or `ctc`, for models with both; other models decode as they can.
        precision: `fp32`, `bf16` or `fp16`, of weights and caches.
        device: `cpu`, `cuda`, `cuda:1`, or `auto`: a GPU when there is one.
        capacity: Streams open at once; memory for all is taken at load.
        max_batch: Streams in one step.
        language: The language of a caller that names none.
        cuda_graphs: Replay the transducer search as a CUDA graph.
        threads: CPU threads for the model; PyTorch's choice when 0.
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
    ) -> None:
        if decoder not in ("rnnt", "ctc"):
            raise ConfigurationError(f"unknown decoder {decoder!r}; allowed: rnnt, ctc")
        self._right_context, self._att_ctx, self._kind = right_context, att_ctx, decoder
        self._precision, self._device = precision, device
        self._cuda_graphs, self._threads = cuda_graphs, threads
        self._limit = max_batch
        self.info = AsrInfo("nemo", model, (language,), capacity=capacity, max_batch=max_batch)

    # ------------------------------------------------------------------------------ the model

    def load(self) -> None:
        """Load the model and take the memory of every stream. Raises ConfigurationError."""
        import torch

        if self._threads:
            torch.set_num_threads(self._threads)
        device = nemo_load.pick_device(self._device)
        model = nemo_load.load_model(self.info.model, device).to(device)
        nemo_load.check_streaming(model)
        self.att_context = nemo_load.set_look_ahead(model, self._right_context, self._att_ctx)
        dtype = nemo_load.set_precision(model, self._precision)
        with torch.inference_mode():
            self._mel = MelFrames(model.preprocessor)
            self._encoder = StreamingEncoder(model, dtype)
            self._decoder = _decoder(model, self._kind, self._cuda_graphs)
            self._vocabulary = Vocabulary.of(model)
            self._arena = Arena(
                self.info.capacity,
                {**self._encoder.fresh, **self._decoder.fresh},
                {**self._encoder.dims, **self._decoder.dims},
            )
        plan, shape = self._encoder.plan, self._mel.shape
        self._frame_ms = plan.subsampling * shape.hop * 1000 / shape.sample_rate
        self.info = replace(self.info, sample_rate=shape.sample_rate)
        logger.info(
            "{} on {} in {}: look-ahead {} ms, {} ms per step, {} streams of {:.2f} MB",
            type(model).__name__,
            device,
            self._precision,
            round(self.att_context[1] * self._frame_ms),
            round(plan.later * shape.hop * 1000 / shape.sample_rate),
            self.info.capacity,
            self.state_bytes / 1e6,
        )

    def unload(self) -> None:
        for name in ("_mel", "_encoder", "_decoder", "_vocabulary", "_arena"):
            self.__dict__.pop(name, None)

    @property
    def state_bytes(self) -> int:
        """Bytes of model state per stream, constant, whether the stream is in use or not."""
        return self._arena.bytes_per_slot

    # ----------------------------------------------------------------------------- the streams

    def open(self, language: str | None) -> NemoStream:
        if language not in (None, *self.info.languages):
            allowed = ", ".join(self.info.languages)
            raise BadRequest(f"this model does not know the language {language!r}; allowed: {allowed}")
        slot = self._in_inference_mode(self._arena.acquire)
        if slot is None:
            raise Full(f"all {self.info.capacity} streams of the model are open")
        transcript = Transcript(self._vocabulary, self._frame_ms)
        return NemoStream(slot, AudioTail(self._mel.shape), transcript, self._encoder.plan)

    def close(self, stream: NemoStream) -> None:
        if stream.slot is not None:
            self._arena.release(stream.slot)
            stream.slot = None

    def step(self, work: Sequence[AsrWork]) -> list[AsrResult | EngineError]:
        jobs = [_job(item) for item in work]
        self._in_inference_mode(self._rounds, jobs)
        return [self._in_inference_mode(self._outcome, job) for job in jobs]

    # ------------------------------------------------------------------------------- one step

    def _rounds(self, jobs: Sequence[_Job]) -> None:
        """Advance every job a chunk at a time; with work as it is wanted there is one round."""
        while rows := [row for job in jobs if (row := _row(job))]:
            rows.sort(key=lambda row: row.kind)
            for _, group in groupby(rows, key=lambda row: row.kind):
                self._advance(list(group))

    def _advance(self, rows: list[_Row]) -> None:
        """Run rows of one kind; a failure is narrowed down to the rows that cause it."""
        import torch

        for part in _parts(rows, lambda: self._limit):
            try:
                self._run(part)
            except torch.OutOfMemoryError as error:
                self._shrink(len(part), error)
                self._retry(part, error)
            except Exception as error:  # noqa: BLE001  whatever a model raises costs its own rows
                self._retry(part, error)

    def _retry(self, rows: list[_Row], error: Exception) -> None:
        if len(rows) == 1:
            logger.opt(exception=error).error("a chunk failed")
            rows[0].job.fail(f"the model failed: {error}")
            return
        half = len(rows) // 2
        self._advance(rows[:half])
        self._advance(rows[half:])

    def _shrink(self, batch: int, error: Exception) -> None:
        import torch

        self._limit = max(min(self._limit, batch) // 2, 1)
        logger.warning(
            "out of memory at {} streams in a step; at most {} from now: {}", batch, self._limit, error
        )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _run(self, rows: list[_Row]) -> None:
        """Encode and decode one chunk of each row. Changes nothing when it raises."""
        frames = [row.frames for row in rows]
        tails = [row.job.stream.tail for row in rows]
        mel = self._mel(
            [tail.window(row.frames, end=row.partial) for tail, row in zip(tails, rows, strict=True)], frames
        )
        state = self._arena.load([row.slot for row in rows])
        encoded, lengths, encoder_state = self._encoder(rows[0].kind, mel, frames, state)
        tokens, decoder_state = self._decoder(encoded, lengths, state)
        sound = encoded.isfinite().flatten(1).all(1).tolist()
        going_on = [i for i, row in enumerate(rows) if sound[i] and not row.partial]
        self._arena.store([rows[i].slot for i in going_on], going_on, {**encoder_state, **decoder_state})
        for row, said, good in zip(rows, tokens, sound, strict=True):
            _apply(row, said, good)

    def _outcome(self, job: _Job) -> AsrResult | EngineError:
        if job.error:
            return job.error
        stream = job.stream
        transcript = job.peek or stream.transcript
        if job.flush is Flush.NONE:
            return AsrResult(transcript.text)
        result = AsrResult(transcript.text, transcript.words)
        if job.flush is Flush.HARD:
            assert stream.slot is not None
            self._arena.clear(stream.slot)
            stream.restart(self._mel.shape.sample_rate)
        return result

    def _in_inference_mode(self, function: Callable[..., Any], *args: Any) -> Any:
        import torch

        with torch.inference_mode():
            return function(*args)


def _job(item: AsrWork) -> _Job:
    stream = item.stream
    assert isinstance(stream, NemoStream)
    job = _Job(stream, item.flush)
    if stream.slot is None:
        job.fail("the stream is closed")
        return job
    try:
        stream.tail.push(item.pcm)
    except ValueError as error:
        job.fail(f"the audio is not 16-bit samples: {error}")
    return job


def _row(job: _Job) -> _Row | None:
    frames = job.next_frames()
    return _Row(job, frames, partial=job.done) if frames else None


def _apply(row: _Row, said: Sequence[Token], sound: bool) -> None:
    stream = row.job.stream
    if not sound:
        row.job.fail("the model answered with values that are not numbers")
        return
    tokens = stream.place(said)
    if row.partial:
        row.job.peek = stream.transcript.extended(tokens)
    else:
        stream.transcript.extend(tokens)
        stream.tail.take(row.frames)


def _parts(rows: list[_Row], limit: Callable[[], int]) -> Iterator[list[_Row]]:
    """Yield rows at most `limit()` at a time; it may shrink on the way."""
    while rows:
        part, rows = rows[: limit()], rows[limit() :]
        yield part


def _decoder(model: Any, kind: str, cuda_graphs: bool) -> Decoder:
    """Return the decoder asked for, or the only one the model has. Raises ConfigurationError."""
    hybrid = hasattr(model, "ctc_decoder")
    if hybrid and kind == "ctc":
        return CtcDecoder(model.ctc_decoder, model.ctc_decoder.num_classes_with_blank - 1)
    if hasattr(model, "joint"):
        if kind == "ctc":
            raise ConfigurationError("this model has no CTC decoder; use decoder=rnnt")
        if getattr(model.joint, "num_extra_outputs", 0):
            raise ConfigurationError("transducers that predict durations (TDT) are not supported")
        return RnntDecoder(model, cuda_graphs=cuda_graphs)
    return CtcDecoder(model.decoder, model.decoder.num_classes_with_blank - 1)
