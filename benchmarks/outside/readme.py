"""The README's table of what a caller hears, from the figures of a measurement.

uv run python -m benchmarks.outside.readme benchmarks/results/outside.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.stack import ROOT

BEGIN, END = "<!-- benchmarks.outside -->", "<!-- end of benchmarks.outside -->"
_COLUMNS = (
    "servers",
    "bot",
    "speculation",
    "voice to voice p50, p95",
    "silent after a barge-in p50, max",
    "answered",
    "greeted",
    "requests per response",
    "CPU s/min",
)


def table(report: Mapping[str, Any]) -> str:
    """Return the table in Markdown."""
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *map(_row, report["cells"])]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(cell: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        *(cell["servers"], f"`{cell['bot']}`", cell["speculation"]),
        _ms(cell["voice_to_voice_ms"], "p50", "p95"),
        _ms(cell["silent_after_ms"], "p50", "max"),
        f"{cell['answered']} of {cell['turns']}",
        f"{cell['greetings_heard']} of {cell['calls']}",
        *(f"{cell['requests_per_response']:.2f}", f"{cell['cpu_s_per_minute']:.1f}"),
    )


def _ms(figures: Mapping[str, float], *names: str) -> str:
    return ", ".join(f"{figures[name]} ms" for name in names) if figures["n"] else ""


def put(readme: str, made: str) -> str:
    """Put the table between its marks. Raises ValueError if they are not there."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def main() -> None:
    """Write the README's table."""
    readme = ROOT / "README.md"
    made = table(json.loads(Path(sys.argv[1]).read_text()))
    readme.write_text(put(readme.read_text(encoding="utf-8"), made), encoding="utf-8")


if __name__ == "__main__":
    main()
