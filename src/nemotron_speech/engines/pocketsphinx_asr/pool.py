"""Start, ask and replace the worker processes of the PocketSphinx engine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
from loguru import logger

from nemotron_speech.engines.pocketsphinx_asr.worker import READY, WorkerAnswer, WorkerJob
from nemotron_speech.errors import ConfigurationError, EngineError

LOAD_TIMEOUT_S = 120.0
"""A worker loads in about a second; a machine under heavy load takes far longer."""

_answers = msgspec.msgpack.Decoder(list[WorkerAnswer])
_encode = msgspec.msgpack.Encoder().encode


class WorkerProcess:
    """One process and its decoders, from its start to its death; it never comes back."""

    def __init__(self, slots: int, domain: Path | None, timeout: float) -> None:
        self.free = list(range(slots))
        self.alive = True
        self._timeout = timeout
        self._ready = False
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "nemotron_speech.engines.pocketsphinx_asr.worker",
                    *map(str, (theirs.fileno(), slots, os.getpid())),
                    str(domain or ""),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._connection = Connection(ours.detach())

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_ready(self) -> bool:
        """Say, without waiting, whether the model is loaded. Raises EngineError once the process is dead."""
        if not self._ready and self._connection.poll():
            self._await_greeting(0)
        return self._ready

    def wait_until_ready(self) -> None:
        """Wait for the model. Raises ConfigurationError when it does not come."""
        if self._ready:
            return
        try:
            self._await_greeting(LOAD_TIMEOUT_S)
        except EngineError as error:
            raise ConfigurationError(f"a recogniser process did not start: {error}") from error

    def send(self, jobs: Sequence[WorkerJob]) -> None:
        """Hand over a batch; `receive` takes the answers. Raises EngineError when the process is dead."""
        if not self.alive:
            raise EngineError("the recogniser process of this stream died")
        self.wait_until_ready()
        try:
            self._connection.send_bytes(_encode(jobs))
        except OSError as error:
            raise self._lost("died") from error

    def receive(self) -> list[WorkerAnswer]:
        """Return the answers to the batch sent last. Raises EngineError when they do not come in time."""
        return _answers.decode(self._receive(self._timeout))

    def stop(self) -> None:
        """End the process."""
        self.alive = False
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _await_greeting(self, timeout: float) -> None:
        if self._receive(timeout) != READY:
            raise self._lost("failed to load")
        self._ready = True

    def _receive(self, timeout: float) -> bytes:
        try:
            if not self._connection.poll(timeout):
                raise self._lost(f"did not answer for {timeout:.0f} s")
            return self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._lost("died") from error

    def _lost(self, how: str) -> EngineError:
        logger.warning("pocketsphinx worker {} {}", self.pid, how)
        self.stop()
        return EngineError(f"the recogniser process of this stream {how}")


class WorkerPool:
    """A fixed number of workers; a dead one is replaced by `revive`."""

    def __init__(self, count: int, slots: int, domain: Path | None, timeout: float) -> None:
        self._start = lambda: WorkerProcess(slots, domain, timeout)
        self.workers = [self._start() for _ in range(count)]

    def wait_until_ready(self) -> None:
        """Wait until every worker has its model; on failure none is left. Raises ConfigurationError."""
        try:
            for worker in self.workers:
                worker.wait_until_ready()
        except ConfigurationError:
            self.stop()
            raise

    def revive(self) -> None:
        """Start a new worker in the place of each dead one, without waiting for its model."""
        for index, worker in enumerate(self.workers):
            if not worker.alive:
                self.workers[index] = self._start()
                logger.info("pocketsphinx worker {} replaces {}", self.workers[index].pid, worker.pid)

    def least_loaded(self) -> WorkerProcess | None:
        """Return the worker for a new stream, one that is loaded where there is one; None when full."""
        self.revive()
        free = [worker for worker in self.workers if worker.free]
        return max(free, key=_preference, default=None)

    def stop(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.stop()


def _preference(worker: WorkerProcess) -> tuple[bool, int]:
    try:
        return worker.is_ready(), len(worker.free)
    except EngineError:
        return False, 0
