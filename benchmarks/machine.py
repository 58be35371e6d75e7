"""Shared parts of the benchmarks: the circumstances of a figure, its file, its plot, its quantiles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nemotron_speech.bench.environment import circumstances

__all__ = ["circumstances", "panels", "quantile", "save"]


def save(result: dict[str, Any], path: Path) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


@contextmanager
def panels(path: Path, count: int, *, width: float = 11.0, height: float = 4.0) -> Iterator[list[Any]]:
    """Draw panels side by side, sizes in inches; they are written to `path` when they are done."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    yield list(figure.subplots(1, count, squeeze=False)[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def quantile(values: list[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
