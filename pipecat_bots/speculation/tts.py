"""Mixin of a voice that may speak answers that are not certainly wanted."""

from __future__ import annotations

from typing import Any

from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.tts_service import TTSService

from pipecat_bots.frames import AnnouncementFrame, LLMChunkFrame
from pipecat_bots.speculation.speculation import Speculation, speculation_of

_OF_AN_ANSWER = (LLMFullResponseStartFrame, LLMChunkFrame, LLMTextFrame, LLMFullResponseEndFrame)


class SpeculativeTTS(TTSService):
    """Make the first segment of a pending answer and no more; leave nothing of one that was withdrawn.

    Words of the bot's own accord meanwhile wait until the user's turn is over.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._speculation: Speculation | None = None
        self._settled: Speculation | None = None
        self._kept_back: list[Frame] = []
        self._announcements: list[Frame] = []
        self._user_speaks = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, LLMFullResponseStartFrame):
            self._speculation = speculation_of(frame)
        if self._is_withdrawn(frame):
            return
        if isinstance(frame, AnnouncementFrame):
            frame.interruptible = True
            if self._is_undecided or self._user_speaks:
                self._announcements.append(frame)
                return
        await super().process_frame(frame, direction)
        if isinstance(frame, (UserStoppedSpeakingFrame, EagerEndOfTurnCancelFrame)):
            await self._decided()
        if isinstance(frame, UserStartedSpeakingFrame):
            self._user_speaks = True
        elif isinstance(frame, UserStoppedSpeakingFrame):
            self._user_speaks = False
            await self._announce()

    async def tell_model(self, frame: Frame) -> None:
        """Push upstream what makes the model go on; kept back while the answer is not confirmed."""
        if self._is_undecided:
            self._kept_back.append(frame)
        else:
            await self.push_frame(frame, FrameDirection.UPSTREAM)

    @property
    def _is_undecided(self) -> bool:
        return self._speculation is not None and self._speculation.pending

    def _is_withdrawn(self, frame: Frame) -> bool:
        """Return whether this frame was on its way while its answer was withdrawn."""
        withdrawn = self._speculation is not None and self._speculation.withdrawn
        return withdrawn and isinstance(frame, _OF_AN_ANSWER)

    async def _decided(self) -> None:
        speculation = self._speculation
        if speculation is None or speculation.pending or speculation is self._settled:
            return
        self._settled = speculation
        kept_back, self._kept_back = self._kept_back, []
        if speculation.withdrawn:
            await self._stop_speaking()
        for frame in kept_back:
            await self.push_frame(frame, FrameDirection.UPSTREAM)

    async def _announce(self) -> None:
        announcements, self._announcements = self._announcements, []
        for frame in announcements:
            await super().process_frame(frame, FrameDirection.DOWNSTREAM)

    async def _stop_speaking(self) -> None:
        """Drop what was asked and made, as an interruption does; no more of this answer comes."""
        await self._start_interruption()
        await self._handle_interruption(InterruptionFrame(), FrameDirection.DOWNSTREAM)
        await self.push_frame(LLMFullResponseEndFrame())
