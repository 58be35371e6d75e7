"""What a voice needs so that it may speak answers that are not certainly wanted."""

from __future__ import annotations

from typing import Any

from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.tts_service import TTSService

from pipecat_bots.frames import LLMChunkFrame
from pipecat_bots.speculation.speculation import Speculation, speculation_of

_OF_AN_ANSWER = (LLMFullResponseStartFrame, LLMChunkFrame, LLMTextFrame, LLMFullResponseEndFrame)


class SpeculativeTTS(TTSService):
    """Make the first segment of a pending answer and no more; leave nothing of one that was withdrawn."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._speculation: Speculation | None = None
        self._settled: Speculation | None = None
        self._kept_back: list[Frame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, LLMFullResponseStartFrame):
            self._speculation = speculation_of(frame)
        if self._is_withdrawn(frame):
            return
        await super().process_frame(frame, direction)
        if isinstance(frame, (UserStoppedSpeakingFrame, EagerEndOfTurnCancelFrame)):
            await self._decided()

    async def tell_model(self, frame: Frame) -> None:
        """Push upstream what makes the model go on; kept back while the answer is not confirmed."""
        if self._speculation is not None and self._speculation.pending:
            self._kept_back.append(frame)
        else:
            await self.push_frame(frame, FrameDirection.UPSTREAM)

    def _is_withdrawn(self, frame: Frame) -> bool:
        """Whether this was on its way while its answer was withdrawn."""
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

    async def _stop_speaking(self) -> None:
        """Drop what was asked and made, as an interruption does; no more of this answer comes."""
        await self._start_interruption()
        await self._handle_interruption(InterruptionFrame(), FrameDirection.DOWNSTREAM)
        await self.push_frame(LLMFullResponseEndFrame())
