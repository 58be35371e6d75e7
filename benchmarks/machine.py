"""What benchmarks share: the circumstances of a figure, its file, its quantiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nemotron_speech.machine import circumstances

__all__ = ["circumstances", "quantile", "save"]


def save(result: dict[str, Any], path: Path) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


def quantile(values: list[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
