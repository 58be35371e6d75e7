"""The last door before the listener: no sound, text or event of an answer that may yet be withdrawn."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum, auto

from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    EagerEndOfTurnCancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    SystemFrame,
    TTSAudioRawFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from pipecat_bots.frames import VoiceActivityFrame
from pipecat_bots.speculation.speculation import Speculation, speculation_of

QUIET_S = 0.1
"""Seconds without a voice of the user before the bot begins to speak."""
VOICE_HOLD_S = 1.0
"""Longest hold, in seconds, for a voice that the detector of speech never confirms: noise by then."""


class State(Enum):
    OPEN = auto()
    """Everything passes."""
    HELD = auto()
    """Closed: no frame of the answer passes, and none behind it."""
    DROPPING = auto()
    """Withdrawn: the rest of the answer is on its way and is dropped."""


class GateState:
    """Order and choice of the frames that pass. A machine of values: a frame in, the frames to push out.

    An answer is held from its first frame while it is a speculation. Any sound that ends a silence of the
    bot's is held while the user may be about to go on.
    """

    def __init__(self) -> None:
        self.state = State.OPEN
        self._held: deque[Frame] = deque()
        self._speculation: Speculation | None = None
        self._in_answer = False
        self._sounded = False
        """True if a sound has passed since the bot was silent, or since the answer began."""
        self._voiced = False
        self._for_voice = False
        self._context_id: str | None = None
        """Context of the newest sound; below, the context of which nothing is wanted any more."""
        self._void_id: str | None = None

    def heard_voice(self, voiced: bool) -> list[Frame]:
        """Note that there is a voice of the user, or that there has been none for a moment."""
        self._voiced = voiced
        return self._release() if not voiced else []

    def give_up_waiting(self) -> list[Frame]:
        """Let go of a voice that has gone on for as long as a turn's beginning takes, and was none."""
        self._voiced = False
        return self._release()

    def fell_silent(self) -> None:
        """Note that the bot has stopped speaking."""
        self._sounded = False

    def interrupted(self) -> list[Frame]:
        """Discard all frames of the answer, and withdraw its speculation if nobody has confirmed it."""
        kept = self._discard()
        self._void_id = self._context_id
        unconfirmed = self._speculation is not None and not self._speculation.confirmed
        if self._speculation is not None:
            self._speculation.withdraw()
        self.state = State.DROPPING if unconfirmed and self._in_answer else State.OPEN
        self._in_answer = self.state is State.DROPPING
        return kept

    def settled(self) -> list[Frame]:
        """Note that a speculation was confirmed or withdrawn."""
        speculation = self._speculation
        if self.state is not State.HELD or speculation is None or speculation.pending:
            return []
        if not speculation.withdrawn:
            return self._release()
        complete = any(isinstance(frame, LLMFullResponseEndFrame) for frame in self._held)
        kept = self._discard()
        self._void_id = self._context_id
        self.state = State.OPEN if complete else State.DROPPING
        self._in_answer = not complete
        return kept

    def take(self, frame: Frame) -> list[Frame]:
        """Take in a frame that keeps its place in the order."""
        if isinstance(frame, LLMFullResponseStartFrame):
            return self._begin(frame)
        if isinstance(frame, LLMFullResponseEndFrame) and not self._in_answer:
            return []
        if self._is_void(frame):
            return []
        if self.state is State.DROPPING:
            return self._drop(frame)
        if isinstance(frame, TTSAudioRawFrame) and self.state is State.OPEN and not self._sounded:
            self._sounded = True
            self._for_voice = self._voiced
            self.state = State.HELD if self._voiced else State.OPEN
        if isinstance(frame, LLMFullResponseEndFrame):
            self._in_answer = False
        return self._pass_or_hold(frame)

    @property
    def is_held_for_voice(self) -> bool:
        """True if nothing but the user's voice keeps the answer back."""
        return self.state is State.HELD and self._for_voice

    def _begin(self, frame: LLMFullResponseStartFrame) -> list[Frame]:
        """Begin a new answer, which supersedes all that was held."""
        superseded = self._speculation is not None and not self._for_voice
        before = (self._discard() if superseded else self._empty()) if self.state is State.HELD else []
        self._speculation = speculation_of(frame)
        self._in_answer, self._sounded, self._for_voice = True, False, False
        if self._speculation is not None and self._speculation.withdrawn:
            self.state = State.DROPPING
            return before
        pending = self._speculation is not None and self._speculation.pending
        self.state = State.HELD if pending else State.OPEN
        return [*before, *self._pass_or_hold(frame)]

    def _is_void(self, frame: Frame) -> bool:
        context_id = getattr(frame, "context_id", None)
        if context_id is None:
            return False
        self._context_id = context_id
        return context_id == self._void_id and frame.interruptible

    def _pass_or_hold(self, frame: Frame) -> list[Frame]:
        if self.state is State.OPEN:
            return [frame]
        self._held.append(frame)
        return []

    def _drop(self, frame: Frame) -> list[Frame]:
        if isinstance(frame, LLMFullResponseEndFrame):
            self.state, self._in_answer = State.OPEN, False
            return []
        return [] if frame.interruptible else [frame]

    def _release(self) -> list[Frame]:
        if self.state is not State.HELD or (self._speculation is not None and self._speculation.pending):
            return []
        sounds = any(isinstance(frame, TTSAudioRawFrame) for frame in self._held)
        if self._voiced and sounds:
            self._for_voice = True
            return []
        self.state, self._for_voice, self._sounded = State.OPEN, False, sounds or self._sounded
        return self._empty()

    def _discard(self) -> list[Frame]:
        return [frame for frame in self._empty() if not frame.interruptible]

    def _empty(self) -> list[Frame]:
        held, self._held = list(self._held), deque()
        return held


class AnswerGate(FrameProcessor):
    """Stands behind the voice."""

    def __init__(self) -> None:
        super().__init__()
        self._gate = GateState()
        self._order = asyncio.Lock()
        """Lock that sends released frames before those that come meanwhile: different tasks push the two."""
        self._waiting: asyncio.Task[None] | None = None
        self._quiet: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is not FrameDirection.DOWNSTREAM:
            if isinstance(frame, BotStoppedSpeakingFrame):
                self._gate.fell_silent()
            await self.push_frame(frame, direction)
        elif isinstance(frame, SystemFrame):
            await self.push_frame(frame, direction)
            if isinstance(frame, VoiceActivityFrame):
                await self._on_voice(frame.voiced)
            async with self._order:
                await self._push(self._on_system(frame))
        else:
            async with self._order:
                await self._push(self._on_ordered(frame))
        await self._time_hold()

    def _on_ordered(self, frame: Frame) -> list[Frame]:
        return [*self._gate.interrupted(), frame] if isinstance(frame, EndFrame) else self._gate.take(frame)

    def _on_system(self, frame: SystemFrame) -> list[Frame]:
        match frame:
            case VoiceActivityFrame() if frame.voiced:
                return self._gate.heard_voice(True)
            case UserStoppedSpeakingFrame() | EagerEndOfTurnCancelFrame():
                return self._gate.settled()
            case InterruptionFrame():
                return self._gate.interrupted()
        return []

    async def _push(self, frames: list[Frame]) -> None:
        for frame in frames:
            await self.push_frame(frame)

    async def _on_voice(self, voiced: bool) -> None:
        """Believe a silence when it has lasted."""
        quiet, self._quiet = self._quiet, None
        if quiet is not None:
            await self.cancel_task(quiet)
        if not voiced:
            self._quiet = self.create_task(self._quiet_for_a_moment(), "quiet")

    async def _quiet_for_a_moment(self) -> None:
        await asyncio.sleep(QUIET_S)
        self._quiet = None
        async with self._order:
            await self._push(self._gate.heard_voice(False))
        await self._time_hold()

    async def _time_hold(self) -> None:
        """Count the seconds of a hold from its beginning, and of no other."""
        if not self._gate.is_held_for_voice:
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                await self.cancel_task(waiting)
        elif self._waiting is None:
            self._waiting = self.create_task(self._give_up_waiting(), "voice")

    async def _give_up_waiting(self) -> None:
        await asyncio.sleep(VOICE_HOLD_S)
        self._waiting = None
        async with self._order:
            if self._gate.is_held_for_voice:
                await self._push(self._gate.give_up_waiting())

    async def cleanup(self) -> None:
        await super().cleanup()
        for task in (self._waiting, self._quiet):
            if task is not None:
                await self.cancel_task(task)
