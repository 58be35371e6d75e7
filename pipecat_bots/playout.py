"""The pace of the bot's voice: sound goes to the transport when it is due, and can be stopped and resumed.

A transport queues all it is given, so whatever has reached it can only be thrown away. Here an answer waits
until shortly before it is heard: it can fall silent and go on where it stopped, and whatever follows a sound
(a piece of text, the end of the answer) leaves when that sound does (docs/decisions/interruptions.md).
"""

from __future__ import annotations

import asyncio
import copy
import math
from collections import deque

from pipecat.frames.frames import (
    Frame,
    InterruptionFrame,
    OutputAudioRawFrame,
    SystemFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup

from pipecat_bots.frames import HeldFrame, HoldFrame, ResumeFrame
from pipecat_bots.runtime.audio_path import hand_on

PIECE_S = 0.02
LEAD_S = 0.1
"""The piece that is played, and 80 ms for a busy machine."""
MOST_LEAD_S = 0.15
"""Longest lead, in seconds, on a machine that is often later than 80 ms. The lead is heard when the user
breaks in: a voice that is noticed after 200 ms silences the bot within 350 ms."""
SPARE_S = 0.05
"""Seconds of the lead that are not for lateness: the piece being played, and the time of the way to it."""
HALF_S = 10.0
"""Half-life of the lateness, in seconds."""
TAIL_S = 2 * PIECE_S
"""Silence that brings the end of a sound out of the transport: the rest of a piece, and of its resampler."""
LONGEST_HOLD_S = 3.0
"""Longest hold, in seconds, in case the `ResumeFrame` is lost."""


class Lateness:
    """Estimate of the machine's lateness: the latest it was, forgotten slowly. Seconds are arguments."""

    def __init__(self) -> None:
        self._most_s = 0.0
        self._at = 0.0

    def note(self, late_s: float, now: float) -> None:
        """Note that something due happened `late_s` seconds late."""
        self._most_s, self._at = max(late_s, self.expected_s(now)), now

    def expected_s(self, now: float) -> float:
        return self._most_s * 0.5 ** ((now - self._at) / HALF_S)


class PlayoutBuffer:
    """Frames in their order, each with the moment it is due. A machine of values: seconds are arguments.

    Sound is due `lead_s` before it is heard, everything else with the sound before it. The lead grows at once
    when the machine is late, to `MOST_LEAD_S` at most, and shrinks as that is forgotten. While it is held,
    silence takes the place of sound, so that the transport neither stops nor loses what it has begun. Sound
    that nothing follows is followed by a little silence, or its last milliseconds would wait for the next.
    """

    def __init__(self, lead_s: float = LEAD_S, longest_hold_s: float = LONGEST_HOLD_S) -> None:
        self._least_s = lead_s
        self._most_s = max(lead_s, MOST_LEAD_S)
        self._lateness = Lateness()
        self._longest_hold_s = longest_hold_s
        self._frames: deque[Frame] = deque()
        self._cursor = 0
        """Bytes of the first frame that have been played."""
        self._heard_until = 0.0
        self._held_until = 0.0
        self._sound: OutputAudioRawFrame | None = None
        """Newest audio, until its utterance is over."""
        self._complete = True
        self._tail = False
        """True if the end of the newest sound may still be in the transport's buffers."""

    def lead_s(self, now: float) -> float:
        """Return the lead in seconds: a sound is due so long before it is heard."""
        return min(self._most_s, max(self._least_s, self._lateness.expected_s(now) + SPARE_S))

    def woke(self, late_s: float, now: float) -> None:
        """Note that the player of this was called `late_s` later than it had asked for."""
        self._lateness.note(late_s, now)

    def add(self, frame: Frame) -> None:
        """Put a frame behind the others."""
        self._frames.append(frame)
        if isinstance(frame, OutputAudioRawFrame):
            self._complete = False
        elif isinstance(frame, TTSStoppedFrame):
            self._complete = True

    def hold(self, now: float) -> None:
        self._held_until = now + self._longest_hold_s

    def resume(self) -> None:
        self._held_until = 0.0

    def interrupt(self) -> None:
        """Forget everything that may be dropped."""
        self._frames = deque(frame for frame in self._frames if not frame.interruptible)
        self._cursor, self._sound, self._complete, self._tail = 0, None, True, False
        self._heard_until = self._held_until = 0.0

    def left_s(self, now: float) -> float:
        """Return the seconds of sound that have not been heard; infinite while more is to come."""
        if not self._complete:
            return math.inf
        queued_s = -_seconds(self._frames[0], self._cursor) if self._cursor else 0.0
        for frame in self._frames:
            if isinstance(frame, OutputAudioRawFrame):
                queued_s += _seconds(frame, len(frame.audio))
        return max(0.0, self._heard_until - now) + queued_s

    def pop(self, now: float) -> Frame | None:
        """Take the next frame, if one is due."""
        if self._frames and not isinstance(self._frames[0], OutputAudioRawFrame):
            return self._take()
        wait_s = self.wait_s(now)
        if wait_s is None or wait_s > 0:
            return None
        if now < self._held_until:
            return self._silence(PIECE_S, now)
        return self._piece(now) if self._frames else self._silence(TAIL_S, now)

    def wait_s(self, now: float) -> float | None:
        """Return the seconds until a frame is due; None if that takes another event."""
        held = now < self._held_until
        if held and self._sound is None:
            return self._held_until - now
        if held or self._frames:
            return self._heard_until - (self.lead_s(now) - PIECE_S) - now
        return self._heard_until - PIECE_S - now if self._tail else None

    def _take(self) -> Frame:
        frame = self._frames.popleft()
        if isinstance(frame, TTSStoppedFrame):
            self._sound, self._tail = None, False
        return frame

    def _piece(self, now: float) -> OutputAudioRawFrame:
        """Cut the next piece off the first frame; it keeps the frame's identity."""
        frame = self._frames[0]
        assert isinstance(frame, OutputAudioRawFrame)
        start, end = self._cursor, self._cursor + _bytes(frame)
        piece = _with_audio(frame, frame.audio[start:end])
        self._cursor = end
        if end >= len(frame.audio):
            self._frames.popleft()
            self._cursor = 0
        self._sound, self._tail = piece, True
        return self._played(piece, now)

    def _silence(self, seconds: float, now: float) -> OutputAudioRawFrame:
        assert self._sound is not None
        self._tail = False
        return self._played(_with_audio(self._sound, bytes(_bytes(self._sound, seconds))), now)

    def _played(self, piece: OutputAudioRawFrame, now: float) -> OutputAudioRawFrame:
        self._heard_until = max(now, self._heard_until) + _seconds(piece, len(piece.audio))
        return piece


def _bytes(frame: OutputAudioRawFrame, seconds: float = PIECE_S) -> int:
    return round(frame.sample_rate * seconds) * 2 * frame.num_channels


def _seconds(frame: Frame, size: int) -> float:
    assert isinstance(frame, OutputAudioRawFrame)
    return size / 2 / frame.num_channels / frame.sample_rate


def _with_audio(frame: OutputAudioRawFrame, audio: bytes) -> OutputAudioRawFrame:
    piece = copy.copy(frame)
    piece.audio, piece.num_frames = audio, len(audio) // (2 * frame.num_channels)
    return piece


class Playout(FrameProcessor):
    """Stands before the transport's output.

    Args:
        lead_s: How long before it is heard sound goes to the transport at least: what is heard of an answer
            after it was told to be silent, and what a busy event loop may be late.
    """

    def __init__(self, lead_s: float = LEAD_S) -> None:
        super().__init__()
        self._reel = PlayoutBuffer(lead_s)
        self._news = asyncio.Event()
        self._order = asyncio.Lock()
        """Lock that keeps frames due before an interruption from being pushed behind it."""
        self._playing: asyncio.Task[None] | None = None

    async def setup(self, setup: FrameProcessorSetup) -> None:
        await super().setup(setup)
        self._playing = self.create_task(self._play(), "playing")

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._playing is not None:
            await self.cancel_task(self._playing)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, HoldFrame):
            await self._hold()
        elif isinstance(frame, ResumeFrame):
            self._reel.resume()
        elif isinstance(frame, InterruptionFrame):
            async with self._order:
                self._reel.interrupt()
                await self.push_frame(frame, direction)
        elif isinstance(frame, SystemFrame) or direction is FrameDirection.UPSTREAM:
            await self.push_frame(frame, direction)
        else:
            self._reel.add(frame)
        self._news.set()

    async def _hold(self) -> None:
        now = asyncio.get_running_loop().time()
        self._reel.hold(now)
        await self.push_frame(HeldFrame(self._reel.left_s(now)), FrameDirection.UPSTREAM)

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with self._order:
                frame = self._reel.pop(loop.time())
                if isinstance(frame, OutputAudioRawFrame):
                    await hand_on(self, frame)
                elif frame is not None:
                    await self.push_frame(frame)
            if frame is None:
                await self._wait(self._reel.wait_s(loop.time()), loop)

    async def _wait(self, seconds: float | None, loop: asyncio.AbstractEventLoop) -> None:
        """Sleep until a frame is due or there are news, and note how late it was when nothing was new."""
        self._news.clear()
        began = loop.time()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            now = loop.time()
            self._reel.woke(now - began - (seconds or 0.0), now)
