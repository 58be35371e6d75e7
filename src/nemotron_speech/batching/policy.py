"""Batch selection: a pure choice of the next step's items among those that are ready."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest
from typing import Protocol, TypeVar


class StepCandidate(Protocol):
    """Candidate for the next step, with work ready."""

    def due(self) -> float:
        """Return the time at which the work is due, in one unit for all; the smallest goes first."""
        ...


CandidateT = TypeVar("CandidateT", bound=StepCandidate)


def choose(ready: Iterable[CandidateT], limit: int) -> list[CandidateT]:
    """Return at most `limit` of `ready`, the most urgent first; equals keep their order."""
    return nsmallest(limit, ready, key=lambda candidate: candidate.due())
