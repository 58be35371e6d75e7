"""Voice to voice, design by design.

    uv run python -m benchmarks.latency --json benchmarks/results/latency.json

Scripted engines take fixed times, so what is measured is the design: what waits for what, and what our
queues, threads, sockets and frames add. The caller speaks requests with the pauses people make.

Voice to voice is the last sample of the user's speech to the first audible sample of the answer; inside as
the bot reckons it, outside as the caller hears it, both directions of WebRTC in it. A false cut-off is an
answer heard before the user was done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.caller import RATE, Caller, call
from benchmarks.machine import circumstances, panels, quantile, save
from benchmarks.speech import espeak
from benchmarks.stack import Stack
from nemotron_speech.audio import Clip, rms

ENGINES = {
    "asr": {"final_ms": 24.0, "chunk_ms": 40},
    "llm": {"first_token_ms": 90.0, "tokens_per_second": 60.0},
    "tts": {"first_audio_ms": 110.0, "step_ms": 4, "chunk_ms": 46, "ms_per_character": 15},
}
"""Times of the published voice agent on an RTX 5090 whose figures are the measure here."""
VOICE = "leo"
REQUESTS: Sequence[Sequence[str | float]] = (
    ("what time is it in Paris",),
    ("my number is five five five", 0.7, "one two three four"),
    ("yes please",),
    ("tell me a long story please",),
    ("remind me to", 0.9, "buy some milk"),
    ("no",),
    ("can you help me with my order",),
    ("I think we should go to the", 0.5, "station tomorrow morning"),
    ("seven",),
    ("how do I get to the airport",),
)
"""Utterances of the user, with pauses in seconds.

Turns that the detector misjudges are the subject of `end_of_turn`.
"""
REPLIES = (
    "Yes, I have heard you, and here is what I know. There is a second sentence, spoken while you listen.",
    "It is a quarter past nine. The next one leaves in ten minutes, and there are still seats.",
    "Okay, that is noted. Is there anything else I can do for you today?",
    "The weather will be fine, with a little wind from the west. Take a coat for the evening.",
)
LONG_S = 1.0
STAGES = ("endpointing", "transcription", "turn detection", "llm", "tts", "output")
DESIGNS: dict[str, dict[str, str]] = {
    "plain": {"BOT_OVERLAP": "false", "BOT_SPECULATION": "0"},
    "chunked": {"BOT_LLM_STRATEGY": "chunked", "BOT_SPECULATION": "0"},
    "chunked + speculation": {"BOT_LLM_STRATEGY": "chunked"},
    "streamed": {"BOT_LLM_STRATEGY": "streamed", "BOT_SPECULATION": "0"},
    "streamed + speculation": {},
}
"""Settings of the bot in each design; the last design is its default."""


@dataclass
class Run:
    """Measurements of one design."""

    design: str
    inside_ms: list[float] = field(default_factory=list)
    outside_ms: list[float] = field(default_factory=list)
    cut_off: int = 0
    speculated: dict[str, int] = field(default_factory=dict)
    stages_ms: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})

    def add(self, metrics: dict[str, Any]) -> None:
        self.inside_ms.append(metrics["voice_to_voice_ms"])
        stages = {stage["name"]: stage["ms"] for stage in metrics["stages"]}
        for stage in STAGES:
            self.stages_ms[stage].append(stages.get(stage, 0))
        self.speculated = metrics["speculated"]

    @property
    def long_turns(self) -> int:
        return sum(ms > LONG_S * 1000 for ms in self.inside_ms)

    @property
    def waste(self) -> float:
        """The share of the work on answers begun ahead, before they were settled, that was for nothing."""
        wasted = self.speculated.get("withdrawn_work_ms", 0)
        return wasted / max(1, wasted + self.speculated.get("work_ms", 0))

    def report(self) -> dict[str, Any]:
        def spread(values: list[float]) -> dict[str, float]:
            shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
            return {name: round(quantile(values, share), 1) for name, share in shares.items()}

        return {
            "turns": len(self.inside_ms),
            "voice_to_voice_ms": {"inside": spread(self.inside_ms), "outside": spread(self.outside_ms)},
            "turns_above_1_s": self.long_turns,
            "false_cut_offs": self.cut_off,
            "speculated": self.speculated,
            "withdrawn_share_of_work": round(self.waste, 3),
            "stages": {stage: spread(self.stages_ms[stage]) for stage in STAGES},
            "turns_inside_ms": self.inside_ms,
            "turns_outside_ms": [round(ms, 1) for ms in self.outside_ms],
        }


# ------------------------------------------------------------------------------------------ measuring


async def measure(design: str, turns: int, folder: Path) -> Run:
    """Hold a conversation of so many turns with one design."""
    run = Run(design)
    script = folder / "script.json"
    texts = [part for request in REQUESTS for part in request if isinstance(part, str)]
    engines = {
        "asr": {**ENGINES["asr"], "transcripts": texts},
        "llm": {**ENGINES["llm"], "replies": REPLIES},
        "tts": ENGINES["tts"],
    }
    script.write_text(json.dumps(engines))
    clips = [spoken(request) for request in REQUESTS]
    environment = {"BOT_GREETING": "Hello.", **DESIGNS[design]}
    stack = Stack(folder / design.replace(" ", "-"), script, environment=environment)
    async with stack, call(stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        for turn in track(range(turns), description=f"{design:>34}"):
            await asyncio.sleep(0.7)
            await answered(run, caller, clips[turn % len(clips)])
    return run


async def answered(run: Run, caller: Caller, clip: Clip) -> None:
    """Say a clip, wait until the answer to it is over, and note how long it took to come."""
    loop = asyncio.get_running_loop()
    began, since = loop.time(), len(caller.events)
    said = await caller.say(clip)
    heard = await caller.hears(after=said)
    report = await caller.until(
        lambda e: e.at >= said and e.type == "server-message" and e.data.get("type") == "turn-metrics",
        since=since,
    )
    await caller.until(lambda e: e.type == "bot-stopped-speaking" and e.at > max(heard, report.at))
    run.outside_ms.append((heard - said) * 1000)
    run.add(report.data)
    run.cut_off += any(began <= at < said and rms(samples) > 200 for at, samples in caller.heard)


def spoken(request: Sequence[str | float]) -> Clip:
    """Return a spoken request whose last sample is its last sound."""
    parts = [
        np.zeros(int(p * RATE), np.int16) if isinstance(p, float) else espeak(str(p), VOICE).at(RATE).samples
        for p in request
    ]
    return Clip(np.concatenate(parts), RATE)


# -------------------------------------------------------------------------------------------- showing


def show(runs: list[Run], console: Console) -> None:
    columns = ("p50", "p90", "p99", "max", "outside p50", "p99", "> 1 s", "cut off", "withdrawn", "waste")
    table = Table("design", *columns, title="voice to voice, ms")
    for run in runs:
        report = run.report()
        inside, outside = (report["voice_to_voice_ms"][side] for side in ("inside", "outside"))
        figures = (*inside.values(), outside["p50"], outside["p99"], run.long_turns, run.cut_off)
        withdrawn = run.speculated.get("withdrawn", 0)
        table.add_row(run.design, *(f"{x:.0f}" for x in figures), str(withdrawn), f"{run.waste:.0%}")
    console.print(table)


def plot(runs: list[Run], path: Path) -> None:
    """Draw where each millisecond went, and every turn."""
    with panels(path, 2, width=13, height=4.5) as (bars, turns):
        for index, run in enumerate(runs):
            left = 0.0
            for number, stage in enumerate(STAGES):
                width = quantile(run.stages_ms[stage], 0.5)
                label = stage if index == 0 else None
                bars.barh(run.design, width, left=left, color=f"C{number}", label=label)
                left += width
            turns.plot(sorted(run.inside_ms), np.linspace(0, 1, len(run.inside_ms)), label=run.design)
        bars.set(title="what a median turn waits for", xlabel="ms")
        bars.legend(ncols=3, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.15))
        turns.set(title="share of turns answered within", xlabel="ms")
        turns.legend(fontsize="small")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--design", choices=DESIGNS, action="append", help="default: all of them")
    parser.add_argument("--json", type=Path, help="write the figures here, and the plot beside them")
    arguments = parser.parse_args()
    console = Console()
    before = circumstances()
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            asyncio.run(measure(design, arguments.turns, Path(folder)))
            for design in arguments.design or DESIGNS
        ]
    show(runs, console)
    if arguments.json:
        reports = {run.design: run.report() for run in runs}
        save({"circumstances": before, "engines": ENGINES, **reports}, arguments.json)
        plot(runs, arguments.json.with_suffix(".png"))
        console.print(f"written: {arguments.json} and {arguments.json.with_suffix('.png')}")


if __name__ == "__main__":
    main()
