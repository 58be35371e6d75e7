"""Many callers from one process, each hearing a voice on a playout clock: the load of `nemotron bench tts`.

A caller asks for an utterance, segment by segment as a bot does, plays its audio in real time from the first
of it (plus a buffer), and asks for the next one. Audio that comes after all before it has been played is an
underrun: a listener hears a gap.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nemotron_speech.client.pace import Pace
from nemotron_speech.errors import Full, PeerError, SpeechError
from nemotron_speech.protocol.tts import (
    PLAIN_RATE,
    AudioReceived,
    Event,
    Mode,
    SegmentSpoken,
    StreamStarted,
    SynthesisFailed,
    UtteranceDone,
)
from nemotron_speech.protocol.tts_client import TtsClient
from nemotron_speech.serving.frames import BINARY, CLOSE, WebSocketClient

PATIENCE_S = 60.0
"""Longest wait in seconds for the end of an utterance, beyond its length; then its caller counts as lost."""
_TICK_S = 0.02

SpeakMode = Literal["adaptive", "stream", "batch"]


@dataclass(frozen=True, slots=True)
class ListenerLoad:
    """Load on a synthesis server: the texts, the address, the number of callers."""

    url: str
    segments: Sequence[str]
    """The texts of one utterance."""
    callers: int = 1
    rounds: int = 3
    """Utterances each caller asks for."""
    mode: SpeakMode = "adaptive"
    """adaptive: a segment is streamed where the listener would wait for all of it, as the bots do."""
    voice: str | None = None
    language: str | None = None
    buffer_s: float = 0.06
    """Audio a player holds back at the beginning of an utterance."""
    pause_s: float = 0.5
    """Seconds between two utterances of a caller."""
    ramp_s: float = 1.0
    """Time over which the callers begin, evenly."""


@dataclass(slots=True)
class SpeechHeard:
    """Measurements of all callers; times are seconds."""

    first_audio: list[float] = field(default_factory=list)
    """Time from the request to the first audio, of each utterance."""
    gaps: list[float] = field(default_factory=list)
    """Time between two pieces of audio of an utterance."""
    factors: list[float] = field(default_factory=list)
    """Real-time factor of each utterance: time until its last audio over its length."""
    underruns: int = 0
    silent_s: float = 0.0
    """Silence of all underruns together."""
    audio_s: float = 0.0
    whole: int = 0
    """Number of utterances heard to their end."""
    refused: int = 0
    refusals: list[str] = field(default_factory=list)
    """Reasons that the server gave to callers it refused."""
    failures: list[str] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    """Lateness of this process's own clock, at each tick."""


class SimulatedPlayout:
    """A player's clock: when it will have played all it has.

    Args:
        buffer_s: How long it waits with the first audio.
    """

    def __init__(self, buffer_s: float) -> None:
        self._buffer_s = buffer_s
        self._until: float | None = None

    def hear(self, now: float, seconds: float) -> float:
        """Take in audio that arrived `now`; return for how long there was silence before it."""
        if self._until is None:
            self._until = now + self._buffer_s
        silent = max(0.0, now - self._until)
        self._until = max(self._until, now) + seconds
        return silent

    def left_s(self, now: float) -> float:
        """Return how much audio has not been played."""
        return 0.0 if self._until is None else max(0.0, self._until - now)


async def listen(load: ListenerLoad) -> SpeechHeard:
    """Let the callers listen; return what they heard. Raises PeerError when no server is there."""
    heard = SpeechHeard()
    clock = asyncio.create_task(_watch_the_clock(heard.late_s))
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            for number in range(load.callers):
                tasks.create_task(_call(load, heard, load.ramp_s * number / load.callers))
    except* SpeechError as group:
        failure = group.exceptions[0]
    finally:
        clock.cancel()
    if failure is not None:  # raised here, an `except*` would wrap it into a group again
        raise failure
    return heard


async def _call(load: ListenerLoad, heard: SpeechHeard, start: float) -> None:
    await asyncio.sleep(start)
    caller = _Caller(load, heard)
    try:
        await caller.connect(load.url)
    except OSError as error:
        if not heard.whole:
            raise PeerError(f"nothing answers at {load.url}: {error}") from None
        heard.failures.append(f"cannot connect: {error}")
        return
    await caller.ended


async def _watch_the_clock(late_s: list[float]) -> None:
    due = time.monotonic()
    while True:
        due += _TICK_S
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        late_s.append(time.monotonic() - due)
        due = max(due, time.monotonic() - _TICK_S)


class _Caller(WebSocketClient):
    """One caller: asks, listens, asks again."""

    def __init__(self, load: ListenerLoad, heard: SpeechHeard) -> None:
        super().__init__()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._heard = heard
        self._machine = TtsClient()
        self._pace = Pace()
        self._rounds = 0
        self._rate = 0
        self._reason = ""
        self._timer: asyncio.TimerHandle | None = None
        self._begin_utterance()

    def _begin_utterance(self) -> None:
        self._asked = self._last = time.monotonic()
        self._playout = SimulatedPlayout(self._load.buffer_s)
        self._seconds = 0.0
        self._segments = deque(self._load.segments)
        self._segment: tuple[str, float, float] = ("", self._asked, 0.0)
        """Text being spoken, the time it was asked for, and the seconds of audio before its segment."""

    # ------------------------------------------------------------------------------------ asking

    def opened(self) -> None:
        self._machine.init(self._load.voice, self._load.language)
        self._ask()

    def _ask(self) -> None:
        self._begin_utterance()
        self._rounds += 1
        self._ask_segment()
        self._wait(PATIENCE_S, self._lose_patience)

    def _ask_segment(self) -> None:
        now, name = time.monotonic(), str(self._rounds)
        text = self._segments.popleft()
        self._segment = text, now, self._seconds
        self._machine.speak(name, text, self._mode(text, now))
        if not self._segments:
            self._machine.finish(name)
        self._flush()

    def _flush(self) -> None:
        for message in self._machine.to_send():
            self.send(message)

    def _mode(self, text: str, now: float) -> Mode:
        match self._load.mode:
            case "adaptive":
                return self._pace.mode(len(text), self._playout.left_s(now))
            case mode:
                return mode

    # ---------------------------------------------------------------------------------- listening

    def received(self, kind: int, payload: bytes) -> None:
        if kind == CLOSE:
            self._closed(int.from_bytes(payload[:2]), payload[2:].decode(errors="replace"))
            return
        try:
            events = self._machine.receive(payload if kind == BINARY else payload.decode())
        except (SpeechError, UnicodeDecodeError) as error:
            self._fail(str(error))
            return
        self._flush()
        for event in events:
            self._act(event)

    def _act(self, event: Event) -> None:
        match event:
            case StreamStarted(sample_rate=rate):
                self._rate = rate or self._rate or PLAIN_RATE
            case AudioReceived(pcm=pcm):
                self._on_audio(pcm)
            case SegmentSpoken():
                self._on_segment()
            case SynthesisFailed(message=message):
                self._reason = message
            case UtteranceDone():
                self._done()

    def _on_audio(self, pcm: bytes) -> None:
        now, seconds = time.monotonic(), len(pcm) / 2 / self._rate
        if self._seconds:
            self._heard.gaps.append(now - self._last)
        else:
            self._heard.first_audio.append(now - self._asked)
        silent = self._playout.hear(now, seconds)
        self._heard.underruns += silent > 0
        self._heard.silent_s += silent
        self._seconds += seconds
        self._last = now

    def _on_segment(self) -> None:
        text, asked, before_s = self._segment
        self._pace.saw(len(text), self._seconds - before_s, time.monotonic() - asked)
        if self._segments:
            self._ask_segment()

    def _done(self) -> None:
        if self._reason or not self._seconds:
            self._fail(self._reason or "no audio came")
            return
        self._heard.whole += 1
        self._heard.audio_s += self._seconds
        self._heard.factors.append((self._last - self._asked) / self._seconds)
        if self._rounds < self._load.rounds:
            self._wait(self._load.pause_s, self._ask)
        else:
            self._end()

    # ----------------------------------------------------------------------------------- the end

    def lost(self, reason: str) -> None:
        self._fail(self._reason or reason)

    def _closed(self, code: int, reason: str) -> None:
        if code == Full.close_code and not self.ended.done():
            self._heard.refused += 1
            self._heard.refusals.append(self._reason or reason)
            self._end()
        else:
            self._fail(self._reason or f"closed with {code}: {reason}")

    def _lose_patience(self) -> None:
        self._fail("an utterance did not end")

    def _fail(self, reason: str) -> None:
        if not self.ended.done():
            self._heard.failures.append(reason)
            self._end()

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.ended.done():
            self.ended.set_result(None)
        self.close()
