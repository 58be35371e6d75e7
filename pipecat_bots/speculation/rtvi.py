"""Messages to a client about the pipeline: nothing of an answer before it is known to be wanted."""

from __future__ import annotations

from collections import deque
from typing import Any

from pipecat.frames.frames import (
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.observers.base_observer import FramePushed
from pipecat.processors.frameworks.rtvi import RTVIObserver, RTVIObserverParams, RTVIProcessor

from pipecat_bots.speculation.speculation import Speculation, speculation_of

_OF_AN_ANSWER = (
    LLMContextFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    LLMFullResponseEndFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    MetricsFrame,
)
_MOST_DEFERRED = 512
"""Events of one first segment are fewer by far."""


class QuietRTVIObserver(RTVIObserver):
    """Pipecat's observer, which tells of a speculative answer when it is confirmed, and else never."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._speculation: Speculation | None = None
        self._deferred: deque[FramePushed] = deque(maxlen=_MOST_DEFERRED)

    async def on_push_frame(self, data: FramePushed) -> None:
        if not isinstance(data.frame, _OF_AN_ANSWER):
            await super().on_push_frame(data)
            await self._settle()
            return
        await self._settle()
        if isinstance(data.frame, LLMContextFrame):
            self._begin(speculation_of(data.frame.context))
        if self._speculation is None:
            await super().on_push_frame(data)
        elif data.first_push and not self._speculation.withdrawn:
            self._deferred.append(data)

    def _begin(self, speculation: Speculation | None) -> None:
        if speculation is not self._speculation:
            self._speculation = speculation
            self._deferred.clear()

    async def _settle(self) -> None:
        speculation = self._speculation
        if speculation is None or speculation.pending:
            return
        deferred = list(self._deferred)
        self._deferred.clear()
        if speculation.withdrawn:
            # what is still on its way belongs to it, until another answer is asked for
            return
        self._speculation = None
        for data in deferred:
            await super().on_push_frame(data)


class QuietRTVIProcessor(RTVIProcessor):
    """Pipecat's processor with that observer."""

    def create_rtvi_observer(
        self, *, params: RTVIObserverParams | None = None, **kwargs: Any
    ) -> QuietRTVIObserver:
        return QuietRTVIObserver(self, params=params, **kwargs)
