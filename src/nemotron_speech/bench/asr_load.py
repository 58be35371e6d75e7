"""Many callers from one process, each sending a recording in real time: the load of the benchmarks.

Audio frames are framed and masked once, before the run; sending one is a single write. A caller that cannot
send because the server reads too slowly waits, and says so in the outcome.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nemotron_speech.audio import Clip
from nemotron_speech.bench.asr_wire import (
    Answered,
    Began,
    Complained,
    Dialect,
    Event,
    TranscriptHeard,
    dialect,
)
from nemotron_speech.errors import Full, PeerError, SpeechError
from nemotron_speech.serving.frames import CLOSE, TEXT, WebSocketClient, masked_frame

FRAME_MS = 20
PATIENCE_S = 60.0
"""Longest wait of a caller for a place, and for its last final, before it counts as lost, in seconds."""


@dataclass(frozen=True, slots=True)
class Load:
    """Load on a server: the audio, the address, the number of callers."""

    url: str
    protocol: int
    """1: streaming recognition; 2: the many-caller protocol."""
    frames: Sequence[bytes]
    """The recording, as WebSocket frames of `FRAME_MS` each; see `frames_of`."""
    calls: int = 1
    concurrency: int = 1
    """Calls at any one time."""
    rtf: float = 1.0
    """Seconds of audio sent in a second."""
    duration_s: float | None = None
    """Seconds after the ramp until which each connection repeats the recording; None: say it once."""
    ramp_s: float = 1.0
    """Time over which the first `concurrency` calls begin, evenly."""
    listener: Callable[[Event], None] = lambda event: None
    """Told of everything that is understood."""


@dataclass(slots=True)
class Outcome:
    """Measurements of all callers. Times are seconds since the end of the ramp."""

    held: int = 0
    """Calls that were served to their end."""
    refused: int = 0
    refusals: list[str] = field(default_factory=list)
    """Reasons that the server gave to callers it refused."""
    failures: list[str] = field(default_factory=list)
    """Error messages of the calls that failed otherwise."""
    lags: list[tuple[float, float]] = field(default_factory=list)
    """(when, seconds) from the moment an interim's last sample was due to be sent to its arrival."""
    finals: list[tuple[float, float]] = field(default_factory=list)
    """(when, seconds) from the request for a final to its arrival."""
    texts: list[str] = field(default_factory=list)
    """Finals of whole recordings."""
    interims: int = 0
    late_s: list[float] = field(default_factory=list)
    """Lateness of these callers' clock at each tick, in seconds: their own slowness, not the server's."""
    blocked_frames: int = 0
    """Frames that waited because the server did not read."""
    peak: int = 0
    """Most calls at one time, refused ones excluded."""


def frames_of(clip: Clip, sample_rate: int = 16000) -> list[bytes]:
    """Cut a recording into frames ready to send; the last is filled up with silence."""
    pcm = clip.at(sample_rate).pcm
    size = sample_rate * FRAME_MS // 1000 * 2
    pcm += bytes(-len(pcm) % size)
    return [masked_frame(pcm[start : start + size]) for start in range(0, len(pcm), size)]


def most_at_once(calls: Sequence[tuple[float, float]]) -> int:
    """Return how many of the calls, given by begin and end, were going on together at most."""
    ends = sorted((when, change) for call in calls for when, change in zip(call, (1, -1), strict=True))
    return max(itertools.accumulate(change for _, change in ends), default=0)


async def call_all(load: Load) -> Outcome:
    """Make the calls of `load` and return what they saw. Raises PeerError when nobody answers at all."""
    return await _Run(load).run()


class _Run:
    """One load being applied."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.outcome = Outcome()
        self._pacer = _Pacer(FRAME_MS / 1000 / load.rtf, self.outcome.late_s)
        self._numbers = iter(range(load.calls))
        self.origin = 0.0
        self._active = 0
        self._calls: list[tuple[float, float]] = []
        """Begin and end, in seconds, of each call that was not refused."""

    @property
    def over(self) -> bool:
        duration = self.load.duration_s
        return duration is not None and self.now() >= duration

    def now(self) -> float:
        return time.monotonic() - self.origin  # the loop's own clock stands still while it works

    async def run(self) -> Outcome:
        lanes = min(self.load.concurrency, self.load.calls)
        begin = time.monotonic()
        self.origin = begin + self.load.ramp_s
        pacing = asyncio.create_task(self._pacer.run())
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                for lane in range(lanes):
                    tasks.create_task(self._lane(begin + self.load.ramp_s * lane / lanes))
        except* SpeechError as group:
            failure = group.exceptions[0]
        finally:
            pacing.cancel()
        if failure is not None:  # raised here, an `except*` would wrap it into a group again
            raise failure
        self.outcome.peak = most_at_once(self._calls)
        return self.outcome

    async def _lane(self, start: float) -> None:
        """Make calls one after the other."""
        await asyncio.sleep(start - time.monotonic())
        for number in self._numbers:
            if self.over:
                return
            await self._call(number)

    async def _call(self, number: int) -> None:
        caller = _Caller(self, dialect(self.load.protocol, f"caller-{number}"), self._pacer)
        try:
            await caller.connect(self.load.url)
        except OSError as error:
            caller.give_up()
            if not self.outcome.held and not self._active:
                raise PeerError(f"nothing answers at {self.load.url}: {error}") from None
            self.outcome.failures.append(f"cannot connect: {error}")
            return
        began = self.now()
        self._active += 1
        try:
            await caller.ended
        finally:
            self._active -= 1
        if not caller.refused:
            self._calls.append((began, self.now()))
        self._count(caller)

    def _count(self, caller: _Caller) -> None:
        if caller.refused:
            self.outcome.refused += 1
            self.outcome.refusals.append(caller.failure)
        elif caller.failure:
            self.outcome.failures.append(caller.failure)
        else:
            self.outcome.held += 1


class _Pacer:
    """Calls each caller once per frame interval; the callers are spread over the interval."""

    def __init__(self, interval_s: float, late_s: list[float]) -> None:
        self.interval_s = interval_s
        self._slots: list[dict[_Caller, None]] = [{} for _ in range(max(1, round(interval_s * 1000)))]
        self._late_s = late_s

    def add(self, caller: _Caller) -> None:
        min(self._slots, key=len)[caller] = None

    def remove(self, caller: _Caller) -> None:
        for slot in self._slots:
            slot.pop(caller, None)

    async def run(self) -> None:
        start, step = time.monotonic(), self.interval_s / len(self._slots)
        for tick in itertools.count():
            due = start + tick * step
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._late_s.append(time.monotonic() - due)
            for caller in list(self._slots[tick % len(self._slots)]):
                caller.speak(due)


class _Caller(WebSocketClient):
    """One call: connects, sends, listens, ends."""

    def __init__(self, run: _Run, dialect: Dialect, pacer: _Pacer) -> None:
        super().__init__()
        self._run = run
        self._dialect = dialect
        self._pacer = pacer
        self._frames = run.load.frames
        self._position = 0
        self._sent = 0
        self._first_due = 0.0
        self._asked: list[tuple[float, bool]] = []
        self._closing = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.refused = False
        self.failure = ""
        self._reason = ""
        self._patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._fail, "no place came")

    # --------------------------------------------------------------------------------- sending

    def speak(self, due: float) -> None:
        """Send the next frame, and what follows from it."""
        if not self._sent:
            self._first_due = due
        if self.paused:
            self._first_due += self._pacer.interval_s
            self._run.outcome.blocked_frames += 1
            return
        self.write(self._frames[self._position])
        self._position += 1
        self._sent += 1
        if self._position == len(self._frames):
            self._ask(whole=True, last=self._run.load.duration_s is None or self._run.over)
        elif self._run.over:
            self._ask(whole=False, last=True)

    def _ask(self, *, whole: bool, last: bool) -> None:
        self._position = 0
        self._asked.append((self._run.now(), whole))
        self.send(self._dialect.end(last))
        if last:
            self._closing = True
            self._pacer.remove(self)
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(PATIENCE_S, self._fail, "no final came")

    def _begin(self) -> None:
        self._patience.cancel()
        self._pacer.add(self)

    # ------------------------------------------------------------------------------- listening

    def opened(self) -> None:
        if hello := self._dialect.hello():
            self.send(hello)
            self._begin()

    def received(self, kind: int, payload: bytes) -> None:
        if kind == CLOSE:
            code = int.from_bytes(payload[:2])
            self.refused = code == Full.close_code
            self._fail(self._reason or f"closed with {code}: {payload[2:].decode(errors='replace')}")
        elif kind == TEXT:
            try:
                self._understand(payload.decode())
            except (SpeechError, UnicodeDecodeError) as error:
                self._fail(str(error))

    def _understand(self, message: str) -> None:
        event = self._dialect.receive(message)
        self._run.load.listener(event)
        match event:
            case Began():
                self._begin()
            case TranscriptHeard(end_ms):
                self._heard(end_ms)
            case Answered(text):
                self._answered(text)
            case Complained(reason):
                self._reason = reason
                self._pacer.remove(self)

    def _heard(self, end_ms: int | None) -> None:
        outcome, now = self._run.outcome, self._run.now()
        outcome.interims += 1
        if end_ms is not None:
            frame = max(math.ceil(end_ms / FRAME_MS) - 1, 0)
            due = self._first_due + frame * self._pacer.interval_s - self._run.origin
            outcome.lags.append((now, now - due))

    def _answered(self, text: str) -> None:
        if not self._asked:
            return self._fail("a final nobody asked for")
        asked, whole = self._asked.pop(0)
        now = self._run.now()
        self._run.outcome.finals.append((now, now - asked))
        if whole:
            self._run.outcome.texts.append(text)
        if self._closing and not self._asked:
            self._end()
        return None

    def give_up(self) -> None:
        """End a call that never began."""
        self._end()

    def lost(self, reason: str) -> None:
        self._fail(self._reason or reason)

    def _fail(self, reason: str) -> None:
        if not self.ended.done():
            self.failure = reason
            self._end()

    def _end(self) -> None:
        self._pacer.remove(self)
        self._patience.cancel()
        if not self.ended.done():
            self.ended.set_result(None)
        self.close()
