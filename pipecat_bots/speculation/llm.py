"""Mixin of a language model service whose answers may be speculative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    Frame,
    FunctionCallFromLLM,
    LLMContextFrame,
    LLMFullResponseStartFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.turns.speculation_gate import GatedFrame, SpeculationGate

from pipecat_bots.speculation.speculation import Speculation, mark, speculation_of


class _OpenGate(SpeculationGate):
    """Pipecat's gate without its barrier: what is held back is held behind the voice (`gate.py`)."""

    speculation: Speculation | None = None

    @property
    def is_speculating(self) -> bool:
        return self.speculation is not None and self.speculation.pending

    def process(self, frame: Frame, direction: FrameDirection) -> list[GatedFrame]:
        return [(frame, direction)]


class SpeculativeLLM(LLMService[Any]):
    """Answer provisional contexts as any other, as far as words go; stop when the answer is withdrawn.

    A tool is never called for an answer that is pending: that answer is withdrawn, and begun again when the
    turn is over.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._speculation_gate = self._fate = _OpenGate(name=f"{self}::OpenGate")

    def is_withdrawn(self, frame: Frame) -> bool:
        """Return whether this asks for an answer that nobody wants any more."""
        if not isinstance(frame, LLMContextFrame):
            return False
        speculation = speculation_of(frame.context)
        return speculation is not None and speculation.withdrawn

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, LLMContextFrame):
            self._fate.speculation = speculation_of(frame.context)
        await super().process_frame(frame, direction)

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if isinstance(frame, LLMFullResponseStartFrame):
            mark(frame, self._fate.speculation)
        await super().push_frame(frame, direction)

    async def run_function_calls(self, function_calls: Sequence[FunctionCallFromLLM]) -> None:
        speculation = self._fate.speculation
        if function_calls and speculation is not None and speculation.withdraw():
            await self.broadcast_frame(EagerEndOfTurnCancelFrame)
        elif speculation is None or not speculation.withdrawn:
            await super().run_function_calls(function_calls)

    async def _handle_eager_end_of_turn_cancel(self, frame: EagerEndOfTurnCancelFrame) -> None:
        """Stop, if it is this answer that was withdrawn: a later one may be on its way already."""
        speculation, self._fate.speculation = self._fate.speculation, None
        if speculation is not None and speculation.withdrawn:
            await self._start_interruption()
            await self.stop_all_metrics()
        else:
            self._fate.speculation = speculation
