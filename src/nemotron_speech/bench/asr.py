"""`nemotron bench asr`: call a recognition server many times over, in real time, and show what callers see.

A final's latency runs from the request for it to its arrival. An interim's lag runs from the moment the last
audio it covers was due to be sent to its arrival, so a slow sender cannot make a server look fast; it needs a
server that says which audio an interim covers (`end_ms`), as ours do.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from nemotron_speech import audio, sound_files
from nemotron_speech.bench.asr_load import FRAME_MS, Load, Outcome, call_all, frames_of
from nemotron_speech.bench.asr_wire import Answered, Event, TranscriptHeard
from nemotron_speech.bench.environment import circumstances
from nemotron_speech.bench.wer import word_error_rate
from nemotron_speech.errors import BadRequest, ConfigurationError
from nemotron_speech.serving.process import loop_factory

QUANTILES = (0.5, 0.9, 0.95, 0.99)
RAMP_PER_CALL_S = 0.005
LATE_MS = 10.0
"""Lateness of the benchmark's own callers, in ms, above which the report mentions it."""


@dataclass(frozen=True, slots=True)
class AsrBenchOptions:
    """Options of `bench asr`, as the user gave them."""

    file: Path
    url: str = "ws://localhost:8080"
    protocol: int = 1
    calls: int = 1
    concurrency: int | None = None
    rtf: float = 1.0
    duration_s: float | None = None
    reference: str | None = None
    json: Path | None = None
    plot: Path | None = None
    print_partials: bool = False
    full_text: bool = False


class Spread(msgspec.Struct, frozen=True):
    """Distribution of a time, in milliseconds."""

    count: int
    p50: float
    p90: float
    p95: float
    p99: float
    most: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread | None:
        """Summarise; None for nothing."""
        if not seconds:
            return None
        ordered = [round(value * 1000, 1) for value in sorted(seconds)]
        p50, p90, p95, p99 = (ordered[min(int(q * len(ordered)), len(ordered) - 1)] for q in QUANTILES)
        return cls(len(ordered), p50, p90, p95, p99, ordered[-1])


class AsrReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as it is written to a file."""

    circumstances: dict[str, Any]
    url: str
    protocol: int
    file: str
    audio_s: float
    rtf: float
    calls: int
    peak: int
    """Most calls at one time."""
    held: int
    refused: int
    refusals: dict[str, int]
    """Reasons that the server gave to the refused, and how many each."""
    failures: dict[str, int]
    """Error message to the number of calls, not refused, that ended with it."""
    final_ms: Spread | None
    interim_lag_ms: Spread | None
    drift_ms: float | None
    """Median interim lag of the last third of the run less that of the first (of finals without lags)."""
    wer: float | None
    blocked_frames: int
    """Frames that waited because the server did not read."""
    clients_late_ms: Spread | None
    """Lateness of the callers' own clock."""


def run(out: Console, wanted: AsrBenchOptions) -> int:
    """Call, print, write. Raises BadRequest, PeerError, ConfigurationError; returns 1 when a call failed."""
    load = _load(wanted, _listener(out, wanted))
    figure = figure_type() if wanted.plot else None
    before = circumstances()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        outcome = runner.run(call_all(load))
    report = report_of(wanted, before, len(load.frames) * FRAME_MS / 1000, outcome)
    if wanted.full_text:
        for text in outcome.texts:
            out.print(text, markup=False, soft_wrap=True)
    out.print(table(report))
    for line in complaints(report.refusals, report.failures):
        out.print(line, markup=False, style="red", soft_wrap=True)
    if wanted.json:
        wanted.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    if figure and wanted.plot:
        _plot(figure, outcome, report, wanted.plot)
    return 0 if report.held == report.calls else 1


def _load(wanted: AsrBenchOptions, listener: Callable[[Event], None]) -> Load:
    for name, value in (("--n", wanted.calls), ("--concurrency", wanted.concurrency), ("--rtf", wanted.rtf)):
        if value is not None and value <= 0:
            raise BadRequest(f"{name} is {value}; it must be above 0")
    concurrency = min(wanted.concurrency or wanted.calls, wanted.calls)
    return Load(
        url=address(wanted.url),
        protocol=wanted.protocol,
        frames=frames_of(_recording(wanted.file)),
        calls=wanted.calls,
        concurrency=concurrency,
        rtf=wanted.rtf,
        duration_s=wanted.duration_s,
        ramp_s=0.0 if concurrency == 1 else max(1.0, RAMP_PER_CALL_S * concurrency),
        listener=listener,
    )


def _recording(file: Path) -> audio.Clip:
    if not file.is_file():
        raise BadRequest(f"there is no file {file}")
    return sound_files.read(file)


def address(url: str) -> str:
    """Return the WebSocket address of a server named by any of its addresses, or by host and port."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return f"ws://{url}"
    scheme = {"http": "ws", "https": "wss"}.get(scheme, scheme)
    return f"{scheme}://{rest}"


def _listener(out: Console, wanted: AsrBenchOptions) -> Callable[[Event], None]:
    def show(event: Event) -> None:
        match event:
            case TranscriptHeard(text=text):
                out.print(f"… {text}", markup=False, soft_wrap=True, style="dim")
            case Answered(text):
                out.print(f"= {text}", markup=False, soft_wrap=True)

    return show if wanted.print_partials else lambda event: None


# -------------------------------------------------------------------------------------- the result


def report_of(wanted: AsrBenchOptions, before: dict[str, Any], audio_s: float, outcome: Outcome) -> AsrReport:
    """Summarise what the callers saw."""
    reasons = Counter(outcome.failures)
    wer = word_error_rate(wanted.reference, outcome.texts) if wanted.reference else None
    return AsrReport(
        circumstances=before,
        url=wanted.url,
        protocol=wanted.protocol,
        file=wanted.file.name,
        audio_s=round(audio_s, 2),
        rtf=wanted.rtf,
        calls=outcome.held + outcome.refused + len(outcome.failures),
        peak=outcome.peak,
        held=outcome.held,
        refused=outcome.refused,
        refusals=dict(Counter(outcome.refusals).most_common()),
        failures=dict(reasons.most_common()),
        final_ms=Spread.of([took for _, took in outcome.finals]),
        interim_lag_ms=Spread.of([lag for _, lag in outcome.lags]),
        drift_ms=drift_ms(outcome.lags or outcome.finals),
        wer=None if wer is None else round(wer, 4),
        blocked_frames=outcome.blocked_frames,
        clients_late_ms=Spread.of(outcome.late_s),
    )


def complaints(refusals: Mapping[str, int], failures: Mapping[str, int]) -> list[str]:
    """Return a line for each reason why calls were refused or ended early, with how many of them."""
    refused = [f"{count} × refused: {reason}" for reason, count in refusals.items()]
    return refused + [f"{count} × {reason}" for reason, count in failures.items()]


def drift_ms(samples: Sequence[tuple[float, float]]) -> float | None:
    """Return how much later the last third of the time was than the first; None where either is empty."""
    if not samples:
        return None
    first, last = (edge(when for when, _ in samples) for edge in (min, max))
    third = (last - first) / 3
    early = [seconds for when, seconds in samples if when <= first + third]
    late = [seconds for when, seconds in samples if when >= last - third]
    return round((median(late) - median(early)) * 1000, 1) if third else None


def table(report: AsrReport) -> Table:
    """Return the result for the eye; times in milliseconds."""
    shown = Table("", "p50", "p90", "p95", "p99", "most", "count", title=_title(report), title_justify="left")
    for name, spread in (("final latency", report.final_ms), ("interim lag", report.interim_lag_ms)):
        cells = [spread.p50, spread.p90, spread.p95, spread.p99, spread.most, spread.count] if spread else []
        shown.add_row(name, *map(str, cells or ["-"] * 6))
    shown.caption, shown.caption_justify = _caption(report), "left"
    return shown


def _title(report: AsrReport) -> str:
    return f"{report.calls} calls to {report.url}, {report.audio_s} s at {report.rtf:g} × real time (ms)"


def _caption(report: AsrReport) -> str:
    parts = [
        f"held {report.held} (at most {report.peak} at once), refused {report.refused}, "
        f"failed {sum(report.failures.values())}",
        f"drift over the run {report.drift_ms} ms" if report.drift_ms is not None else "",
        f"word error rate {report.wer:.1%}" if report.wer is not None else "",
        f"{report.blocked_frames} frames waited for the server" if report.blocked_frames else "",
    ]
    late = report.clients_late_ms
    if late and late.p99 > LATE_MS:
        parts.append(f"this machine is busy: the callers' own clock was {late.p99} ms late (p99)")
    return "; ".join(part for part in parts if part)


def figure_type() -> type[Any]:
    """Return what draws; asked for before a run, so that a missing library is no surprise after it."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigurationError(
            "--plot needs matplotlib: install it with `uv pip install matplotlib`"
        ) from None
    return Figure


def _plot(figure_type: type[Any], outcome: Outcome, report: AsrReport, path: Path) -> None:
    figure = figure_type(figsize=(9, 4), layout="constrained")
    over_time, spread = figure.subplots(1, 2)
    for name, samples in (("final latency", outcome.finals), ("interim lag", outcome.lags)):
        if samples:
            when, seconds = zip(*sorted(samples), strict=True)
            over_time.plot(when, [s * 1000 for s in seconds], ".", markersize=2, label=name)
            share = [(i + 1) / len(seconds) for i in range(len(seconds))]
            spread.plot(sorted(s * 1000 for s in seconds), share, label=name)
    over_time.set(xlabel="seconds since all had begun", ylabel="ms", ylim=(0, None))
    spread.set(xlabel="ms", ylabel="share of answers", ylim=(0, 1), xlim=(0, None))
    spread.legend()
    figure.suptitle(_title(report), fontsize=10)
    figure.savefig(path, dpi=120)
