"""Recognition stream: the queue of one caller's audio and resets, and its item in the recogniser's step loop.

Audio and resets wait in one queue, so a final covers exactly the audio before its reset.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from nemotron_speech.batching.batcher import Batcher
from nemotron_speech.engines.base import AsrResult, AsrStream, AsrWork, Flush
from nemotron_speech.errors import EngineError
from nemotron_speech.metrics import ServerMetrics
from nemotron_speech.protocol.asr import ResetRequested, SentUtterance
from nemotron_speech.serving.edge import Outbox

_INTERIM = object()
_FINAL_HEADSTART_S = 0.5
"""Seconds by which a waiting final is moved ahead of older work of other callers."""
_MAX_WAITING = 256
"""Resets, and runs of audio between them, that may wait before the caller is slowed down."""


class Answers(Protocol):
    """Wording of a recogniser's results in one protocol."""

    def interim(self, text: str, end_ms: int, offset: int) -> str | None: ...

    def ended(self, end_ms: int) -> str | None: ...

    def before_final(self, heard: SentUtterance) -> str | None: ...

    def final(self, reset: ResetRequested, heard: SentUtterance) -> str: ...


class RecognitionStream:
    """One caller's seat: what it sent and the engine has not taken yet.

    Args:
        max_backlog: Bytes of audio that may wait before the caller is slowed down.
    """

    def __init__(
        self,
        stream: AsrStream,
        answers: Answers,
        outbox: Outbox,
        trouble: asyncio.Future[None],
        metrics: ServerMetrics,
        sample_rate: int,
        max_backlog: int,
    ) -> None:
        self._stream = stream
        self._answers = answers
        self._outbox = outbox
        self._trouble = trouble
        self._metrics = metrics
        self._bytes_per_ms = sample_rate * 2 / 1000
        self._max_backlog = max_backlog
        self._waiting: deque[bytearray | tuple[ResetRequested, float]] = deque()
        self._backlog = 0
        self._resets = 0
        self._taken = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._since = 0.0
        self._wanted_bytes = _wanted_bytes(stream)
        self._taken_bytes = 0
        self._utterance_start_ms = 0
        self._answering: tuple[ResetRequested, float] | None = None
        self.answered = asyncio.Event()
        """Set while no reset waits for its final."""
        self.answered.set()

    # -------------------------------------------------------------------------- from the caller

    @property
    def crowded(self) -> bool:
        """True if as much input is waiting as may: bytes of audio, or resets."""
        return self._backlog >= self._max_backlog or len(self._waiting) >= _MAX_WAITING

    async def room(self) -> None:
        """Return when no longer crowded."""
        while self.crowded:
            self._taken.clear()
            await self._taken.wait()

    def audio(self, pcm: bytes) -> bool:
        """Queue audio; whether a step has enough of it now."""
        waiting = self._waiting
        self._backlog += len(pcm)
        if waiting:
            last = waiting[-1]
            if isinstance(last, bytearray):
                last += pcm
                return len(last) >= self._wanted_bytes
        else:
            self._since = self._now()
        waiting.append(bytearray(pcm))
        return len(pcm) >= self._wanted_bytes

    def reset(self, request: ResetRequested) -> None:
        """Queue a reset behind the audio it covers."""
        now = self._now()
        if not self._waiting:
            self._since = now
        self._waiting.append((request, now))
        self._resets += 1
        self.answered.clear()

    # ------------------------------------------------------------------------------ the seat

    def ready(self) -> bool:
        if not self._waiting or self._trouble.done():
            return False
        head = self._waiting[0]
        return isinstance(head, tuple) or len(self._waiting) > 1 or len(head) >= self._wanted_bytes

    def due(self) -> float:
        """Return the time since which this caller has waited; a final counts as half a second older."""
        return self._since - (_FINAL_HEADSTART_S if self._resets else 0)

    def take(self) -> AsrWork:
        self._taken.set()
        pcm = self._take_audio()
        if self._waiting and isinstance(request := self._waiting[0], tuple):
            self._waiting.popleft()
            self._resets -= 1
            self._answering = request
            return AsrWork(self._stream, pcm, Flush.HARD if request[0].finalize else Flush.SOFT)
        return AsrWork(self._stream, pcm)

    def apply(self, outcome: AsrResult | EngineError) -> None:
        self._since = self._now()
        self._wanted_bytes = _wanted_bytes(self._stream)
        if isinstance(outcome, EngineError):
            self._metrics.failures.inc()
            if not self._trouble.done():
                self._trouble.set_exception(outcome)
        elif self._answering is not None:
            self._final(outcome, *self._answering)
            self._answering = None
            if not self._resets:
                self.answered.set()
        else:
            self._interim(outcome)

    def _interim(self, result: AsrResult) -> None:
        end_ms = self._taken_ms()
        if message := self._answers.interim(result.text, end_ms, result.offset):
            self._outbox.put(message, _INTERIM, replace=True)
        if result.ended and (event := self._answers.ended(end_ms)):
            self._outbox.put(event)

    def _final(self, result: AsrResult, request: ResetRequested, asked: float) -> None:
        end_ms = self._taken_ms()
        sure = [word.confidence for word in result.words if word.confidence is not None]
        heard = SentUtterance(
            result.text,
            self._utterance_start_ms,
            end_ms,
            [(word.text, word.start_ms, word.end_ms) for word in result.words],
            sure if len(sure) == len(result.words) else [],
            result.offset,
        )
        if last := self._answers.before_final(heard):
            self._outbox.put(last, _INTERIM, replace=True)
        self._outbox.put(self._answers.final(request, heard))
        self._metrics.latency.observe(self._now() - asked)
        if request.finalize:
            self._utterance_start_ms = end_ms

    def _take_audio(self) -> bytes:
        if not self._waiting or not isinstance(head := self._waiting[0], bytearray):
            return b""
        if len(head) <= self._wanted_bytes:
            pcm = bytes(head)
            self._waiting.popleft()
        else:
            pcm = bytes(head[: self._wanted_bytes])
            del head[: len(pcm)]
        self._backlog -= len(pcm)
        self._taken_bytes += len(pcm)
        self._metrics.audio.inc(len(pcm) / self._bytes_per_ms / 1000)
        return pcm

    def _taken_ms(self) -> int:
        return round(self._taken_bytes / self._bytes_per_ms)


def _wanted_bytes(stream: AsrStream) -> int:
    return max(stream.wanted_samples, 1) * 2


class Place:
    """A caller's place: its session in the step loop, and the way back to it."""

    def __init__(
        self, session: RecognitionStream, outbox: Outbox, batcher: Batcher[AsrWork, AsrResult]
    ) -> None:
        self._session = session
        self._batcher = batcher
        self.outbox = outbox

    def audio(self, pcm: bytes) -> bool:
        """Take in audio; whether more may follow before `room` returns."""
        session = self._session
        if session.audio(pcm):
            self._batcher.notify(session)
        return not session.crowded

    def reset(self, request: ResetRequested) -> bool:
        """Ask for a final behind the audio so far; whether more may follow before `room` returns."""
        self._session.reset(request)
        self._batcher.notify(self._session, at_once=True)
        return not self._session.crowded

    async def room(self) -> None:
        """Return when the engine has taken enough of what waits."""
        await self._session.room()

    async def settled(self) -> None:
        """Return once every reset has been answered and every answer handed over."""
        await self._session.answered.wait()
        await self.outbox.sent.wait()
