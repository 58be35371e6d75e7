"""Recognise speech with PocketSphinx: an old, small recogniser whose model ships in its package.

Decoding runs in worker processes, one per core, so that streams decode in parallel and a crash in C costs
only the streams of one worker. Each decoder belongs to one stream; the capacity is the number of decoders.
The open language model is mixed with one of what the built-in responder understands
(`domain_en.gram`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from nemotron_speech.engines.base import AsrInfo, AsrResult, AsrStream, AsrWork, Word
from nemotron_speech.engines.pocketsphinx_asr.grammar import parse_grammar
from nemotron_speech.engines.pocketsphinx_asr.lm import TrigramModel
from nemotron_speech.engines.pocketsphinx_asr.pool import WorkerPool, WorkerProcess
from nemotron_speech.engines.pocketsphinx_asr.worker import WorkerAnswer, WorkerJob
from nemotron_speech.errors import BadRequest, ConfigurationError, EngineError, Full

GRAMMAR = Path(__file__).with_name("domain_en.gram")
"""Grammar of the requests that the built-in responder understands."""

CHUNK_SAMPLES = 1600
"""Audio of one step: 100 ms, about 20 ms of decoding."""

MIN_CAPACITY = 4
"""Streams a machine of few cores holds all the same; speech takes a sixth of a core."""

SENTENCES_PER_RULE = 1000
"""Enough for every pair of words the grammar allows; estimating takes about 0.3 s."""


@dataclass(slots=True, eq=False)
class _Stream:
    worker: WorkerProcess
    slot: int
    wanted_samples: int = CHUNK_SAMPLES
    fresh: bool = True
    closed: bool = False


class PocketsphinxEngine:
    """An `AsrEngine` over PocketSphinx in worker processes.

    `workers` processes (default: the cores this process may use) hold `streams_per_worker` decoders each
    (default 2), about 60 MB apiece beside 80 MB per process. `biased` off uses the open language model alone.
    A worker that has not answered a step for `step_timeout_s` is killed and replaced; its streams get an
    EngineError.
    """

    def __init__(
        self,
        workers: int | None = None,
        streams_per_worker: int | None = None,
        biased: bool = True,
        step_timeout_s: float = 20.0,
    ) -> None:
        self._count = workers or _cores()
        self._slots = streams_per_worker or max(2, -(-MIN_CAPACITY // self._count))
        self._biased = biased
        self._timeout = step_timeout_s
        self._pool: WorkerPool | None = None
        self._files: tempfile.TemporaryDirectory[str] | None = None

    @property
    def info(self) -> AsrInfo:
        capacity = self._count * self._slots
        model = "pocketsphinx en-us" + (" + responder domain" if self._biased else "")
        return AsrInfo("pocketsphinx", model, ("en",), 16000, capacity, capacity)

    def load(self) -> None:
        """Start the workers and wait until all have their model. Raises ConfigurationError."""
        domain = self._write_domain_model() if self._biased else None
        self._pool = WorkerPool(self._count, self._slots, domain, self._timeout)
        self._pool.wait_until_ready()
        logger.info("pocketsphinx: {} workers with {} decoders each", self._count, self._slots)

    def open(self, language: str | None) -> _Stream:
        """Start a stream. Raises BadRequest for a language other than English, Full when none is free."""
        if language and language.lower().replace("_", "-").partition("-")[0] != "en":
            raise BadRequest(f"pocketsphinx recognises en only, not {language!r}")
        worker = self._loaded().least_loaded()
        if worker is None:
            raise Full(f"all {self.info.capacity} decoders are in use")
        return _Stream(worker, worker.free.pop())

    def step(self, work: Sequence[AsrWork]) -> list[AsrResult | EngineError]:
        """Advance the streams, the workers side by side."""
        streams = [_own(item.stream) for item in work]
        shares: dict[WorkerProcess, list[int]] = {}
        for index, stream in enumerate(streams):
            shares.setdefault(stream.worker, []).append(index)
        failures = {
            worker: _send(worker, [_job(streams[index], work[index]) for index in share])
            for worker, share in shares.items()
        }
        results: dict[int, AsrResult | EngineError] = {}
        for worker, share in shares.items():
            results |= zip(share, _collect(worker, len(share), failures[worker]), strict=True)
        self._loaded().revive()
        return [results[index] for index in range(len(work))]

    def close(self, stream: AsrStream) -> None:
        own = _own(stream)
        if not own.closed:
            own.closed = True
            own.worker.free.append(own.slot)

    def unload(self) -> None:
        """End the workers."""
        if self._pool:
            self._pool.stop()
            self._pool = None
        if self._files:
            self._files.cleanup()
            self._files = None

    def _loaded(self) -> WorkerPool:
        if self._pool is None:
            raise ConfigurationError("the pocketsphinx engine is not loaded")
        return self._pool

    def _write_domain_model(self) -> Path:
        grammar = parse_grammar(GRAMMAR.read_text())
        self._files = tempfile.TemporaryDirectory(prefix="nemotron-lm-")
        path = Path(self._files.name) / "domain.arpa"
        path.write_text(TrigramModel(grammar.sentences(SENTENCES_PER_RULE)).arpa())
        return path


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _own(stream: AsrStream) -> _Stream:
    if not isinstance(stream, _Stream):
        raise TypeError(f"not a stream of this engine: {stream!r}")
    return stream


def _job(stream: _Stream, item: AsrWork) -> WorkerJob:
    fresh, stream.fresh = stream.fresh, False
    return WorkerJob(stream.slot, item.pcm, item.flush, fresh)


def _send(worker: WorkerProcess, jobs: Sequence[WorkerJob]) -> EngineError | None:
    try:
        worker.send(jobs)
    except EngineError as error:
        return error
    except ConfigurationError as error:
        return EngineError(str(error))
    return None


def _collect(worker: WorkerProcess, count: int, failure: EngineError | None) -> list[AsrResult | EngineError]:
    if failure:
        return [failure] * count
    try:
        return [_result(answer) for answer in worker.receive()]
    except EngineError as error:
        return [error] * count


def _result(answer: WorkerAnswer) -> AsrResult | EngineError:
    if answer.error:
        return EngineError(answer.error)
    return AsrResult(answer.text, tuple(Word(*word) for word in answer.words), answer.offset)
