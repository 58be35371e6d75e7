"""Who is in the next step: a pure choice among those that are ready."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest
from typing import Protocol, TypeVar


class StepCandidate(Protocol):
    """Somebody with work ready."""

    def due(self) -> float:
        """When the work should be done; the smallest goes first. Any unit, the same for all."""
        ...


CandidateT = TypeVar("CandidateT", bound=StepCandidate)


def choose(ready: Iterable[CandidateT], limit: int) -> list[CandidateT]:
    """Return at most `limit` of `ready`, the most urgent first; equals keep their order."""
    return nsmallest(limit, ready, key=lambda candidate: candidate.due())
