"""Reports of a measurement: a table, JSON, a plot, and a list of wrong counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.machine import panels, quantile
from benchmarks.outside.cells import Cell
from benchmarks.outside.sound import GAP_MS

JITTER_BUFFER_MS = 0
"""Jitter buffer of the listener, in milliseconds."""
MOST_REQUESTS = 1.1
"""Answering requests for each response to an ordinary question."""


def faults(cell: Cell) -> list[str]:
    """Name the counts that are wrong."""
    found = cell.findings
    checks = {
        f"the greeting was heard in {found.greeted} of {found.calls} calls": found.greeted == found.calls,
        f"{found.answered} of {found.turns} turns were answered": found.answered == found.turns,
        f"{found.stale} old answers came back": not found.stale,
        f"the context was right in {found.contexts_right} of {found.contexts} turns": (
            found.contexts_right == found.contexts
        ),
        f"{requests(cell):.2f} requests a response": requests(cell) <= MOST_REQUESTS,
    }
    return [f"{cell.name}: {what}" for what, holds in checks.items() if not holds]


def requests(cell: Cell) -> float:
    """Return the answering requests for each response to an ordinary question."""
    return cell.ordinary_requests / max(1, cell.ordinary_responses)


def report(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return everything as JSON-ready data."""
    return {
        "listener_jitter_buffer_ms": JITTER_BUFFER_MS,
        "gap_ms": GAP_MS,
        "cells": [_cell(cell) for cell in cells],
        "speculation": [_gain(on, off) for on, off in pairs(cells)],
    }


def pairs(cells: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """Return the cells that differ in speculation alone: with it, and without."""
    return [
        (on, off)
        for on in cells
        for off in cells
        if (on.servers, on.bot) == (off.servers, off.bot)
        if (on.speculation, off.speculation) == ("on", "off")
    ]


def _gain(on: Cell, off: Cell) -> dict[str, Any]:
    """Return how much later an answer is heard with speculation than without, in ms."""
    with_it, without = (spread(cell.findings.voice_to_voice_ms) for cell in (on, off))
    later = {name: with_it[name] - without[name] for name in ("p50", "p95") if with_it["n"] and without["n"]}
    return {"servers": on.servers.name, "bot": on.bot, "on_less_off_ms": later}


def _cell(cell: Cell) -> dict[str, Any]:
    found, turns = cell.findings, max(1, len(cell.evaluated))
    return {
        "servers": cell.servers.name,
        "stages": dict(cell.servers.stages),
        "model": cell.servers.model,
        "bot": cell.bot,
        "speculation": cell.speculation,
        "calls": found.calls,
        "greetings_heard": found.greeted,
        "greeting_heard_after_ms": spread(found.greeting_ms),
        "turns": found.turns,
        "answered": found.answered,
        "spoke_over_the_user": found.spoke_over,
        "stale": found.stale,
        "contexts": found.contexts,
        "contexts_right": found.contexts_right,
        "voice_to_voice_ms": spread(found.voice_to_voice_ms),
        "outside_minus_inside_ms": spread(found.outside_minus_inside_ms),
        "silent_after_ms": spread(found.silent_after_ms),
        "gaps": len(found.gaps_ms),
        "gaps_ms": found.gaps_ms,
        "latest_frame_ms": max(found.late_ms, default=0.0),
        "requests_per_response": round(requests(cell), 2),
        "evaluated_tokens_per_turn": round(sum(cell.evaluated) / turns, 1),
        "evaluated_above_new_words": spread(
            [more - new for more, new in zip(cell.evaluated, cell.new_tokens, strict=True)]
        ),
        "new_words_per_turn": round(sum(cell.new_tokens) / turns, 1),
        "speculations": {"confirmed": cell.confirmed, "withdrawn": cell.withdrawn},
        "cpu_s_per_minute": round(cpu_per_minute(cell), 1),
        "rss_mb": round(cell.rss_mb),
        "turns_voice_to_voice_ms": found.voice_to_voice_ms,
        "faults": found.faults,
    }


def cpu_per_minute(cell: Cell) -> float:
    """Return the bot's seconds of processor time for each minute of conversation."""
    return 60 * cell.cpu_s / max(1.0, cell.talk_s)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the 95th percentile and the most."""
    shares = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    named = {name: round(quantile(list(values), share)) for name, share in shares.items()} if values else {}
    return {"n": len(values), **named}


def tables(cells: Sequence[Cell]) -> tuple[Table, Table]:
    """Return the counts and the times, a row for each cell."""
    return _counts(cells), _times(cells)


def _counts(cells: Sequence[Cell]) -> Table:
    columns = (
        "greeted",
        "answered",
        "context",
        "stale",
        "over",
        "gaps",
        "requests",
        "evaluated",
        "withdrawn",
    )
    shown = Table("servers", "bot", "spec.", *columns, title="Counts")
    for cell in cells:
        found = cell.findings
        shown.add_row(
            *_names(cell),
            *(f"{found.greeted}/{found.calls}", f"{found.answered}/{found.turns}"),
            *(f"{found.contexts_right}/{found.contexts}", str(found.stale), str(found.spoke_over)),
            *(str(len(found.gaps_ms)), f"{requests(cell):.2f}"),
            f"{sum(cell.evaluated) / max(1, len(cell.evaluated)):.0f}",
            f"{cell.withdrawn}/{cell.withdrawn + cell.confirmed}",
        )
    return shown


def _times(cells: Sequence[Cell]) -> Table:
    columns = ("v2v p50", "p95", "less inside", "silent p50", "max", "late frame", "CPU s/min", "RSS MB")
    shown = Table("servers", "bot", "spec.", *columns, title="Times at the caller, ms")
    for cell in cells:
        found = cell.findings
        voice, silent = spread(found.voice_to_voice_ms), spread(found.silent_after_ms)
        shown.add_row(
            *_names(cell),
            *(_figure(voice, "p50"), _figure(voice, "p95")),
            _figure(spread(found.outside_minus_inside_ms), "p50"),
            *(_figure(silent, "p50"), _figure(silent, "max"), f"{max(found.late_ms, default=0):.0f}"),
            *(f"{cpu_per_minute(cell):.1f}", f"{cell.rss_mb:.0f}"),
        )
    return shown


def _names(cell: Cell) -> tuple[str, str, str]:
    return cell.servers.name, cell.bot.removeprefix("bot_"), cell.speculation


def _figure(values: dict[str, float], name: str) -> str:
    return f"{values[name]:.0f}" if name in values else ""


def plot(cells: Sequence[Cell], path: Path) -> None:
    """Draw voice to voice and silence after an interruption, each turn of each cell."""
    with panels(path, 2, width=14, height=6) as (voices, silences):
        for axes, title, limit, values in (
            (voices, "voice to voice, ms", 900, [cell.findings.voice_to_voice_ms for cell in cells]),
            (
                silences,
                "silent after an interruption, ms",
                350,
                [cell.findings.silent_after_ms for cell in cells],
            ),
        ):
            shown = [(cell.name, times) for cell, times in zip(cells, values, strict=True) if times]
            if not shown:
                continue
            names, times = zip(*reversed(shown), strict=True)
            axes.boxplot(times, tick_labels=names, orientation="horizontal", whis=(0, 95))
            axes.axvline(limit, linestyle=":", color="grey")
            axes.set(title=title, xlim=(0, None))
            axes.tick_params(axis="y", labelsize="small")
