"""`nemotron bench tts`: let many callers listen to a synthesis server at once, and show what they hear.

Every caller plays what it hears on a clock of its own; what comes too late for it is an underrun. The server
is asked by the streaming protocol, as the bots do.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from nemotron_speech.bench.asr import LATE_MS, Spread, address, complaints, figure_type
from nemotron_speech.bench.environment import circumstances
from nemotron_speech.bench.tts_load import ListenerLoad, SpeakMode, SpeechHeard, listen
from nemotron_speech.client.connections import tts_address
from nemotron_speech.errors import BadRequest
from nemotron_speech.serving.process import loop_factory

TEXT = (
    "Good morning, and welcome back. The weather is fine today, with a light wind from the west. "
    "It will stay dry until the evening, so you can leave the umbrella at home."
)


@dataclass(frozen=True, slots=True)
class TtsBenchOptions:
    """Options of `bench tts`, as the user gave them."""

    url: str = "http://localhost:8001"
    text: str = TEXT
    levels: str = "1,8,32,64"
    """Numbers of callers at once, one after the other."""
    rounds: int = 3
    mode: SpeakMode = "adaptive"
    voice: str | None = None
    language: str | None = None
    buffer_ms: float = 60.0
    pause_s: float = 0.5
    ramp_s: float = 1.0
    json: Path | None = None
    plot: Path | None = None


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """Measurements with one number of callers."""

    callers: int
    utterances: int
    """Number of utterances that were heard whole."""
    refused: int
    refusals: dict[str, int]
    """Reasons that the server gave to the refused, and how many each."""
    failures: dict[str, int]
    first_audio_ms: Spread | None
    gap_ms: Spread | None
    rtf_p50: float | None
    """Time until the last audio over the length of it all; below 1 is faster than it is played."""
    rtf_p99: float | None
    underruns: int
    underrun_ms: float
    """Silence of all underruns together, in milliseconds."""
    audio_s: float
    clients_late_ms: Spread | None

    @property
    def good(self) -> bool:
        """True if every utterance was whole and without a gap."""
        return not (self.refused or self.failures or self.underruns)


class TtsReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as it is written to a file."""

    circumstances: dict[str, Any]
    url: str
    text: str
    mode: str
    rounds: int
    buffer_ms: float
    levels: list[Level]


def run(out: Console, wanted: TtsBenchOptions) -> int:
    """Listen, print, write. Raises BadRequest, PeerError, ConfigurationError; returns 1 for a bad level."""
    loads = _loads(wanted)
    figure = figure_type() if wanted.plot else None
    before = circumstances()
    levels: list[Level] = []
    for load in loads:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            levels.append(level_of(load.callers, runner.run(listen(load))))
    report = TtsReport(
        circumstances=before,
        url=wanted.url,
        text=wanted.text,
        mode=wanted.mode,
        rounds=wanted.rounds,
        buffer_ms=wanted.buffer_ms,
        levels=levels,
    )
    out.print(table(report))
    for level in levels:
        for line in complaints(level.refusals, level.failures):
            out.print(f"{level.callers} callers: {line}", markup=False, style="red", soft_wrap=True)
    if wanted.json:
        wanted.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    if figure and wanted.plot:
        _plot(figure, report, wanted.plot)
    return 0 if all(level.good for level in levels) else 1


def _loads(wanted: TtsBenchOptions) -> list[ListenerLoad]:
    for name, value in (("--rounds", wanted.rounds), ("--buffer", wanted.buffer_ms + 1)):
        if value <= 0:
            raise BadRequest(f"{name} is {value:g}; it is too small")
    segments = _segments(wanted.text)
    return [
        ListenerLoad(
            url=tts_address(address(wanted.url)),
            segments=segments,
            callers=callers,
            rounds=wanted.rounds,
            mode=wanted.mode,
            voice=wanted.voice,
            language=wanted.language,
            buffer_s=wanted.buffer_ms / 1000,
            pause_s=wanted.pause_s,
            ramp_s=wanted.ramp_s,
        )
        for callers in _callers(wanted.levels)
    ]


def _callers(levels: str) -> list[int]:
    try:
        callers = [int(level) for level in levels.split(",")]
    except ValueError:
        callers = []
    if not callers or min(callers) < 1:
        raise BadRequest(f"--n is {levels!r}; give numbers of callers, like 1,8,32,64")
    return callers


def _segments(text: str) -> list[str]:
    """Return the sentences of a text, as a bot sends them."""
    from nemotron_speech.text import Budget, Chunker

    chunker = Chunker(first=Budget(1, 10_000), rest=Budget(1, 10_000))
    segments = [chunk for token in text.split(" ") for chunk in chunker.feed(token + " ")]
    segments.append(chunker.finish())
    spoken = [segment.strip() for segment in segments if segment.strip()]
    if not spoken:
        raise BadRequest("--text is empty; give what is to be spoken")
    return spoken


# -------------------------------------------------------------------------------------- the result


def level_of(callers: int, heard: SpeechHeard) -> Level:
    """Summarise what a number of callers heard."""
    factors = sorted(heard.factors)
    return Level(
        callers=callers,
        utterances=heard.whole,
        refused=heard.refused,
        refusals=dict(Counter(heard.refusals).most_common()),
        failures=dict(Counter(heard.failures).most_common()),
        first_audio_ms=Spread.of(heard.first_audio),
        gap_ms=Spread.of(heard.gaps),
        rtf_p50=_rank(factors, 0.5),
        rtf_p99=_rank(factors, 0.99),
        underruns=heard.underruns,
        underrun_ms=round(heard.silent_s * 1000, 1),
        audio_s=round(heard.audio_s, 2),
        clients_late_ms=Spread.of(heard.late_s),
    )


def _rank(ordered: list[float], share: float) -> float | None:
    return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 3) if ordered else None


def table(report: TtsReport) -> Table:
    """Return the result for the eye: one column for each number of callers, times in milliseconds."""
    shown = Table("callers", title=f"{report.url}, {report.mode}", title_justify="left")
    for level in report.levels:
        shown.add_column(str(level.callers), justify="right")
    for name, cells in zip(_ROWS, zip(*map(_cells, report.levels), strict=True), strict=True):
        shown.add_row(name, *cells)
    shown.caption, shown.caption_justify = _caption(report), "left"
    return shown


_ROWS = (
    "first audio p50", "first audio p90", "first audio p99", "gap p50", "gap p99", "RTF p50", "RTF p99",
    "underruns", "silent", "heard whole", "refused", "failed",
)  # fmt: skip


def _cells(level: Level) -> list[str]:
    first, gap = level.first_audio_ms, level.gap_ms
    figures = [
        *((first.p50, first.p90, first.p99) if first else (None,) * 3),
        *((gap.p50, gap.p99) if gap else (None,) * 2),
        level.rtf_p50,
        level.rtf_p99,
        level.underruns,
        level.underrun_ms,
        level.utterances,
        level.refused,
        sum(level.failures.values()),
    ]
    return ["-" if figure is None else f"{figure:g}" for figure in figures]


def _caption(report: TtsReport) -> str:
    late = max((level.clients_late_ms.p99 for level in report.levels if level.clients_late_ms), default=0.0)
    played = f"times in ms; played from the first audio on with {report.buffer_ms:g} ms held back"
    if late <= LATE_MS:
        return played
    return f"{played}; this machine is busy: the callers' own clock was {late} ms late (p99)"


def _plot(figure_type: Callable[..., Any], report: TtsReport, path: Path) -> None:
    figure = figure_type(figsize=(9, 4), layout="constrained")
    first, factor = figure.subplots(1, 2)
    known = [(level.callers, level.first_audio_ms) for level in report.levels if level.first_audio_ms]
    for name in ("p50", "p90", "p99"):
        first.plot(
            [c for c, _ in known], [getattr(s, name) for _, s in known], "o-", markersize=3, label=name
        )
    first.set(xlabel="callers", ylabel="first audio, ms", ylim=(0, None))
    first.legend()
    callers = [level.callers for level in report.levels]
    factor.plot(callers, [level.rtf_p99 for level in report.levels], "o-", markersize=3, label="RTF p99")
    factor.axhline(1.0, color="grey", linewidth=0.8)
    share = [level.underruns / max(1, level.utterances) for level in report.levels]
    factor.plot(callers, share, "s--", markersize=3, label="underruns per utterance")
    factor.set(xlabel="callers", ylim=(0, None))
    factor.legend()
    for axes in (first, factor):
        axes.set_xscale("log", base=2)
        axes.set_xticks(callers, [str(count) for count in callers])
    figure.suptitle(f"{report.url}, {report.mode}", fontsize=10)
    figure.savefig(path, dpi=120)
