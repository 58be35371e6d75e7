"""Suites of the benchmark: which pairs are measured with which calls."""

from __future__ import annotations

from benchmarks.outside.cells import OURS, OURS_5090, PLAIN, STREAMING, VLLM, WHOLE, Pair
from benchmarks.outside.lessons import QUESTIONS, SPLIT, interrupted, ordinary, restarted, split

_HALVES = (ordinary(QUESTIONS[:5]), ordinary(QUESTIONS[5:]))
_OTHERS = (interrupted(), split(), restarted())

FULL = [
    Pair(OURS, STREAMING, _HALVES, _OTHERS),
    Pair(OURS, WHOLE, _HALVES, _OTHERS),
    Pair(PLAIN, STREAMING, _HALVES, _OTHERS),
    Pair(PLAIN, WHOLE, _HALVES, _OTHERS),
    Pair(VLLM, WHOLE, _HALVES, _OTHERS),
    Pair(OURS_5090, STREAMING, _HALVES),
]
"""25 minutes."""

QUICK = [
    Pair(OURS, STREAMING, (ordinary(QUESTIONS[:4]),), (interrupted(), split(SPLIT[1:2])), paired=False),
    Pair(
        PLAIN,
        STREAMING,
        (ordinary(QUESTIONS[:4]),),
        (interrupted(), split(SPLIT[:1]), restarted()),
        paired=False,
    ),
    Pair(VLLM, WHOLE, (ordinary(QUESTIONS[6:]),), (interrupted(), split(SPLIT[2:])), paired=False),
]
"""Six minutes."""
