"""Synthesis scheduling: step the segments whose listeners run out of audio first.

The step loop takes the most urgent segments first. A segment whose listener has plenty of audio left stays
out of steps altogether while another listener is about to run dry: a smaller step is a faster one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nemotron_speech.engines.base import SynthesisMode, TtsResult, TtsStream
from nemotron_speech.errors import EngineError

BATCH_YIELDS_S = 5.0
"""Seconds that the first batch segment of an answer, with nothing playing before it, lets others go first."""
AHEAD_S = 3.0
"""A listener with this much audio left can wait for those that have less than `URGENT_S`."""
URGENT_S = 0.5


class PlayoutScheduler:
    """The segments being spoken, and which of them wait for more urgent ones.

    Args:
        notify: Tells the step loop that a segment may be ready again.
    """

    def __init__(self, notify: Callable[[SpeechHandle], None]) -> None:
        self._notify = notify
        self._speaking: dict[SpeechHandle, None] = {}
        self._waiting: dict[SpeechHandle, None] = {}
        self._settling = False
        self._urgent: bool | None = None
        """True if a listener is about to run dry; None until computed in this turn of the loop."""

    def enter(self, speaking: SpeechHandle) -> None:
        self._speaking[speaking] = None
        self._urgent = None

    def leave(self, speaking: SpeechHandle) -> None:
        """Forget a segment; what waited for it goes on."""
        self._speaking.pop(speaking, None)
        self._waiting.pop(speaking, None)
        self.settle()

    def yields(self, speaking: SpeechHandle) -> bool:
        """Return True if `speaking` lets others go first; it is told when it may go on."""
        now = asyncio.get_running_loop().time()
        if speaking.due() - now < AHEAD_S or not self._somebody_is_urgent(now):
            self._waiting.pop(speaking, None)
            return False
        self._waiting[speaking] = None
        return True

    def settle(self) -> None:
        """Wake, in the loop's next turn, the segments that need not wait any more. Call after any change."""
        if self._waiting and not self._settling:
            self._settling = True
            asyncio.get_running_loop().call_soon(self._settle)

    def _settle(self) -> None:
        self._settling = False
        self._urgent = None
        for speaking in list(self._waiting):
            self._notify(speaking)

    def _somebody_is_urgent(self, now: float) -> bool:
        if self._urgent is None:
            self._urgent = any(one.due() - now < URGENT_S and one.can_go_on() for one in self._speaking)
            asyncio.get_running_loop().call_soon(self._look_again)
        return self._urgent

    def _look_again(self) -> None:
        self._urgent = None


class SpeechHandle:
    """The seat of one segment in the step loop.

    Args:
        on_audio: Takes PCM as it is made.
        has_room: True if the listener can take more now; the segment waits while it cannot.
        plays_until: When the listener will have played what it was sent before, on the loop's clock.
    """

    def __init__(
        self,
        stream: TtsStream,
        mode: SynthesisMode,
        sample_rate: int,
        on_audio: Callable[[bytes], None],
        has_room: Callable[[], bool],
        plays_until: float,
        floor: PlayoutScheduler,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._stream = stream
        self._sample_rate = sample_rate
        self._on_audio = on_audio
        self._has_room = has_room
        self._floor = floor
        self.plays_until = max(plays_until, loop.time())
        """Time at which the listener will have played all audio so far."""
        unheard = mode is SynthesisMode.BATCH and plays_until <= loop.time()
        self._due_from = loop.time() + BATCH_YIELDS_S if unheard else 0.0
        self.finished: asyncio.Future[TtsResult] = loop.create_future()
        """The last result; cancelled when the segment was stopped."""
        floor.enter(self)

    def can_go_on(self) -> bool:
        return not self.finished.done() and self._has_room()

    def ready(self) -> bool:
        return self.can_go_on() and not self._floor.yields(self)

    def due(self) -> float:
        """Return the time at which the listener runs out of audio, on the loop's clock."""
        return max(self.plays_until, self._due_from)

    def take(self) -> TtsStream:
        return self._stream

    def apply(self, outcome: TtsResult | EngineError) -> None:
        if self.finished.done():
            return
        if isinstance(outcome, EngineError):
            self.finished.set_exception(outcome)
        else:
            self._take_in(outcome)
        self._floor.settle()

    def stop(self) -> None:
        self.finished.cancel()
        self._floor.settle()

    def _take_in(self, result: TtsResult) -> None:
        if result.pcm:
            now = asyncio.get_running_loop().time()
            self.plays_until = max(self.plays_until, now) + len(result.pcm) / 2 / self._sample_rate
            self._on_audio(result.pcm)
        if result.done:
            self.finished.set_result(result)
