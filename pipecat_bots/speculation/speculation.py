"""Answers begun before the user's turn is over: what becomes of each, and what they cost.

A `Speculation` is shared by everyone who works on the answer: whoever settles it settles it for all at that
moment, and what arrives late finds it settled. The frames that follow only tell that it was.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from pipecat.frames.frames import Frame, LLMFullResponseStartFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.turns.types import UserTurnSpeculation

from pipecat_bots.speculation.gain import Gain

_KEY = "speculation"


class SpeculationOutcome(Enum):
    PENDING = auto()
    CONFIRMED = auto()
    WITHDRAWN = auto()


@dataclass(eq=False)
class Speculation(UserTurnSpeculation):
    """An answer to a turn that may go on. Settled once, for good."""

    fate: SpeculationOutcome = SpeculationOutcome.PENDING
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def pending(self) -> bool:
        return self.fate is SpeculationOutcome.PENDING

    @property
    def confirmed(self) -> bool:
        return self.fate is SpeculationOutcome.CONFIRMED

    @property
    def withdrawn(self) -> bool:
        return self.fate is SpeculationOutcome.WITHDRAWN

    def confirm(self) -> bool:
        """Confirm that the turn ended with these words. Return whether the answer stands."""
        if self.pending:
            self.fate = SpeculationOutcome.CONFIRMED
        return self.confirmed

    def withdraw(self) -> bool:
        """Withdraw an answer that is not wanted. Return whether that is news."""
        was_pending = self.pending
        if was_pending:
            self.fate = SpeculationOutcome.WITHDRAWN
        return was_pending


class ProvisionalContext(LLMContext):
    """The conversation as it would be if the turn ended here. The conversation knows nothing of it."""

    def __init__(self, speculation: Speculation, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.speculation = speculation


def speculation_of(carrier: Frame | LLMContext) -> Speculation | None:
    """Return the speculation that a context, or the first frame of an answer, belongs to."""
    if isinstance(carrier, ProvisionalContext):
        return carrier.speculation
    return carrier.metadata.get(_KEY) if isinstance(carrier, LLMFullResponseStartFrame) else None


def mark(start: LLMFullResponseStartFrame, speculation: Speculation | None) -> None:
    """Say on the first frame of an answer what it belongs to."""
    if speculation is not None:
        start.metadata[_KEY] = speculation


class SpeculationBudget:
    """Decides whether another speculation may be afforded.

    Work is the time that models spent, or may have spent, on an answer before it was known to be wanted. When
    the withdrawn share of the last `memory` answers' work exceeds `bound`, nothing is begun for `pause_s`;
    and neither when the last turns that were speculated on gained nothing by it (`gain.py`), unless the bound
    is 1.

    Args:
        bound: The share, from 0 (never speculate) to 1 (always).
        pause_s: How long it stops.
        memory: Answers looked at.
        least_s: Work that says something about the share.
        most_s: Work of one answer at most: its first segment is made once, then everybody waits.
    """

    def __init__(
        self,
        bound: float,
        pause_s: float = 30.0,
        memory: int = 20,
        least_s: float = 1.0,
        most_s: float = 0.5,
    ) -> None:
        self._bound = bound
        self._pause_s, self._least_s, self._most_s = pause_s, least_s, most_s
        self._recent: deque[tuple[float, bool]] = deque(maxlen=memory)
        self._gain = Gain()
        self._paused_until = 0.0
        self.confirmed = self.withdrawn = 0
        self.confirmed_s = self.withdrawn_s = 0.0

    def allows(self, now: float) -> bool:
        return self._bound > 0 and now >= self._paused_until

    def settled(self, speculation: Speculation, now: float) -> None:
        """Take account of an answer that has just been confirmed or withdrawn."""
        self._gain.settled(speculation.confirmed, now - speculation.began)
        work = min(self._most_s, now - speculation.began)
        if speculation.withdrawn:
            self.withdrawn += 1
            self.withdrawn_s += work
        else:
            self.confirmed += 1
            self.confirmed_s += work
        self._recent.append((work, speculation.withdrawn))
        if self._is_excessive():
            self._recent.clear()
            self._paused_until = now + self._pause_s

    def turn_over(self, now: float) -> None:
        """Note that the user's turn is over, and an answer is due."""
        self._gain.turn_over(now)

    def heard(self, now: float) -> None:
        """Note that the bot begins to be heard."""
        if self._gain.heard(now) and self._bound < 1 and not self._gain.is_worthwhile:
            self._gain.pause()
            self._paused_until = now + self._pause_s

    def turn_began(self) -> None:
        """Note that the user speaks: an answer that was not heard yet tells nothing."""
        self._gain.turn_began()

    @property
    def gain_s(self) -> float:
        """Seconds by which the last answers that were begun ahead were heard sooner, on the mean."""
        return self._gain.mean_s

    @property
    def share(self) -> float:
        """The part of all work so far that was for nothing."""
        total = self.withdrawn_s + self.confirmed_s
        return self.withdrawn_s / total if total else 0.0

    def _is_excessive(self) -> bool:
        work = sum(work for work, _ in self._recent)
        wasted = sum(work for work, withdrawn in self._recent if withdrawn)
        return work >= self._least_s and wasted > self._bound * work
