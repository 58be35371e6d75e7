"""Decode for the engine in a process of its own: `python -m nemotron_speech.engines.pocketsphinx_asr.worker`.

Speaks MessagePack over an inherited socket: one `Batch` in, one list of `Answer` out, in order. Ends when the
engine's side closes, and, should it hang in C, when its parent is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from nemotron_speech.engines.base import Flush, Word
from nemotron_speech.engines.pocketsphinx_asr.gate import VoiceGate
from nemotron_speech.engines.pocketsphinx_asr.library import SphinxDecoder, SphinxLibrary, SphinxVoiceDetector
from nemotron_speech.engines.pocketsphinx_asr.lm import read_vocabulary
from nemotron_speech.engines.pocketsphinx_asr.stream import SphinxStream
from nemotron_speech.errors import SpeechError

DOMAIN_WEIGHT = 0.1
"""Weight of the domain model beside the open one's 1; it multiplies probabilities raised to the language
weight, so it is far milder than it looks."""


READY = b"ready"
"""The first message, once the model is loaded."""


class WorkerJob(msgspec.Struct, array_like=True, frozen=True):
    """One stream's share of a step."""

    slot: int
    pcm: bytes
    flush: Flush
    fresh: bool
    """The first job of a stream: forget whatever the slot held."""


class WorkerAnswer(msgspec.Struct, array_like=True, frozen=True):
    """The text and words of one job, or what went wrong with it."""

    text: str = ""
    words: tuple[tuple[str, int, int, float | None], ...] = ()
    offset: int = 0
    error: str = ""


class Worker:
    """The decoders of this process by slot."""

    def __init__(self, slots: int, domain: Path | None) -> None:
        self._library = SphinxLibrary()
        models = [(self._library.model / "en-us.lm.bin", 1.0)]
        if domain:
            models.append((domain, DOMAIN_WEIGHT))
        self._vocabulary = read_vocabulary(domain) if domain else frozenset[str]()
        mixture = self._library.interpolate(models)
        self._decoders = [SphinxDecoder(self._library, mixture) for _ in range(slots)]
        self._streams: dict[int, SphinxStream] = {}

    def answer(self, jobs: Iterable[WorkerJob]) -> list[WorkerAnswer]:
        """Do every job; one that fails costs no other."""
        return [self._do(job) for job in jobs]

    def _do(self, job: WorkerJob) -> WorkerAnswer:
        try:
            if job.fresh:
                self._streams.pop(job.slot, None)
                self._renew(job.slot)
            result = self._streams[job.slot].advance(job.pcm, job.flush)
        except SpeechError as error:
            return WorkerAnswer(error=str(error))
        return WorkerAnswer(result.text, tuple(map(_packed, result.words)), result.offset)

    def _renew(self, slot: int) -> None:
        decoder = self._decoders[slot]
        decoder.abandon()
        gate = VoiceGate(lambda: SphinxVoiceDetector(self._library))
        self._streams[slot] = SphinxStream(decoder, gate, self._vocabulary)


def _packed(word: Word) -> tuple[str, int, int, float | None]:
    return word.text, word.start_ms, word.end_ms, word.confidence


def serve(connection: Connection, worker: Worker) -> None:
    """Answer batches until the other side closes."""
    decoder = msgspec.msgpack.Decoder(list[WorkerJob])
    encoder = msgspec.msgpack.Encoder()
    connection.send_bytes(READY)
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            return
        connection.send_bytes(encoder.encode(worker.answer(decoder.decode(message))))


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main() -> None:
    descriptor, slots, parent, domain = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    serve(Connection(descriptor), Worker(slots, Path(domain) if domain else None))


if __name__ == "__main__":
    main()
