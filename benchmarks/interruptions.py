"""Barge-in benchmark: the delay until the bot is silent, and the sounds for which it is not.

    uv run python -m benchmarks.interruptions --json benchmarks/results/interruptions.json

Real processes, WebRTC, Silero and a synthesised user; the recogniser recites what is said. Times are taken
from the caller's recording: silent after is from the first sample of the user's sound to the last audible one
of the bot's; goes on after is from the last sample of the user's sound to the bot's next (0.2 s of it is the
detector's pause). Cut off is how often the answer did not go on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.caller import RATE, Caller, call
from benchmarks.latency import ENGINES, spoken
from benchmarks.machine import circumstances, panels, quantile, save
from benchmarks.stack import Stack
from nemotron_speech.audio import Clip, rms

WORDS = 420
REPLY = "Alpha " + "and another word of it " * (WORDS // 5)
"""A minute of speech without a pause."""
QUESTION = "tell me a long story please"
AUDIBLE = 200
SILENCE_S = 0.06
"""Silence, in seconds, that counts as the end of speech: this bot speaks without pauses."""
WINDOW_S = 0.02
ITS_OWN_S = 0.4
"""Seconds after a sound until which a silence counts as caused by it; "nothing" is the control."""


def cough(seed: int) -> Clip:
    """Return a burst of noise, 150 to 250 ms."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, 5000, int(RATE * random.uniform(0.15, 0.25)))
    envelope = np.exp(-np.arange(len(noise)) / (0.06 * RATE)) * np.minimum(1, np.arange(len(noise)) / 200)
    return Clip((noise * envelope).clip(-32000, 32000).astype(np.int16), RATE)


def click(seed: int) -> Clip:
    """Return a knock on the table, 15 ms."""
    noise = np.random.default_rng(seed).normal(0, 9000, int(RATE * 0.015))
    return Clip((noise * np.hanning(len(noise))).astype(np.int16), RATE)


@dataclass(frozen=True, slots=True)
class Kind:
    """A sound, what it is understood as, and whether it is an interruption."""

    clips: tuple[Clip, ...]
    transcript: str
    interrupts: bool


def kinds() -> dict[str, Kind]:
    def said(text: str, interrupts: bool) -> Kind:
        return Kind((spoken((text,)),), text, interrupts)

    return {
        "real words": said("what about the weather in Paris", interrupts=True),
        "one word": said("Paris", interrupts=True),
        "stop word": said("stop", interrupts=True),
        "mhm": said("mhm", interrupts=False),
        "okay": said("okay", interrupts=False),
        "yeah right": said("yeah right", interrupts=False),
        "nothing": Kind((Clip(np.zeros(RATE // 5, np.int16), RATE),), "", interrupts=False),
        "cough": Kind(tuple(cough(seed) for seed in range(5)), "", interrupts=False),
        "laughter": Kind((spoken(("ha ha ha ha ha",)),), "", interrupts=False),
        "click": Kind(tuple(click(seed) for seed in range(5)), "", interrupts=False),
    }


@dataclass
class Run:
    """Results for one kind of sound."""

    kind: str
    interrupts: bool
    silent_ms: list[float] = field(default_factory=list)
    goes_on_ms: list[float] = field(default_factory=list)
    paused_ms: list[float] = field(default_factory=list)
    trials: int = 0
    cut_off: int = 0

    def report(self) -> dict[str, Any]:
        return {
            "trials": self.trials,
            "interrupts": self.interrupts,
            "cut_off": self.cut_off,
            "fell_silent": len(self.silent_ms) + len(self.paused_ms),
            "silent_after_ms": _spread(self.silent_ms),
            "goes_on_after_ms": _spread(self.goes_on_ms),
            "pause_ms": _spread(self.paused_ms),
        }


def _spread(values: list[float]) -> dict[str, float]:
    shares = {"p50": 0.5, "p90": 0.9, "max": 1.0}
    return {name: round(quantile(values, share)) for name, share in shares.items()} if values else {}


# ------------------------------------------------------------------------------------------ measuring


async def measure(name: str, kind: Kind, trials: int, folder: Path) -> Run:
    """Make one kind of sound so many times while the bot speaks."""
    run = Run(name, kind.interrupts)
    script = folder / f"{name}.json"
    engines = {
        "asr": {**ENGINES["asr"], "transcripts": [QUESTION, *[kind.transcript] * 1000]},
        "llm": {**ENGINES["llm"], "replies": [REPLY]},
        "tts": {**ENGINES["tts"], "ms_per_character": 25, "tones": {"alpha": 450.0, "word": 450.0}},
    }
    script.write_text(json.dumps(engines))
    stack = Stack(folder / name.replace(" ", "-"), script, environment={"BOT_GREETING": "Hello."})
    async with stack:
        for trial in track(range(trials), description=f"{name:>12}"):
            async with call(stack.url) as caller:
                await caller.until("bot-stopped-speaking")
                said = await caller.say(spoken((QUESTION,)))
                await caller.hears(after=said)
                # at any phase of the transport's and the detector's windows
                await asyncio.sleep(1.5 + 0.037 * (trial % 7))
                await _one_trial(run, caller, kind.clips[trial % len(kind.clips)])
    return run


async def _one_trial(run: Run, caller: Caller, clip: Clip) -> None:
    since = len(caller.events)
    ended = await caller.say(clip)
    began = ended - clip.seconds
    await asyncio.sleep(1.6)
    run.trials += 1
    cut_off = any(event.type == "bot-interrupted" for event in caller.events[since:])
    run.cut_off += cut_off
    silence = _silence(caller, began)
    if silence is None or silence[0] > ended + ITS_OWN_S:
        return
    if cut_off:
        run.silent_ms.append((silence[0] - began) * 1000)
    else:
        run.paused_ms.append((silence[1] - silence[0]) * 1000)
        run.goes_on_ms.append((silence[1] - ended) * 1000)


def _silence(caller: Caller, after: float) -> tuple[float, float] | None:
    """Return begin and end of the bot's first silence after a moment, on the clock of what arrived."""
    frames = [(at, rms(samples) > AUDIBLE) for at, samples in caller.heard if at >= after - 0.1]
    last: float | None = None
    for at, loud in frames:
        if not loud:
            continue
        if last is not None and at > after and at - last > SILENCE_S + WINDOW_S:
            return last + WINDOW_S, at
        last = at
    end = frames[-1][0]
    return (last + WINDOW_S, end) if last is not None and end - last > SILENCE_S + WINDOW_S else None


# -------------------------------------------------------------------------------------------- showing


def show(runs: list[Run], console: Console) -> None:
    table = Table(
        "sound", "trials", "cut off", "silent after p50", "p90", "goes on after p50", "p90", "pause p50"
    )
    for run in runs:
        report = run.report()
        silent, goes_on = report["silent_after_ms"], report["goes_on_after_ms"]
        figures = (silent.get("p50"), silent.get("p90"), goes_on.get("p50"), goes_on.get("p90"))
        cells = (
            "" if figure is None else f"{figure:.0f}" for figure in (*figures, report["pause_ms"].get("p50"))
        )
        table.add_row(run.kind, str(run.trials), f"{run.cut_off / run.trials:.0%}", *cells)
    console.print(table)


def plot(runs: list[Run], path: Path) -> None:
    """Draw how soon the bot was silent, and how long it was for nothing."""
    with panels(path, 2) as (silent, paused):
        for axes, title, values in (
            (
                silent,
                "interrupted: silent after, ms",
                {run.kind: run.silent_ms for run in runs if run.interrupts},
            ),
            (
                paused,
                "not interrupted: pause, ms",
                {run.kind: run.paused_ms for run in runs if not run.interrupts},
            ),
        ):
            shown = {name: times for name, times in values.items() if times}
            axes.boxplot(list(shown.values()), tick_labels=list(shown), orientation="horizontal")
            axes.set(title=title, xlim=(0, None))
        silent.axvline(350, linestyle=":", color="grey")


def main() -> None:
    known = kinds()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=15)
    parser.add_argument("--kind", choices=known, action="append", help="default: all of them")
    parser.add_argument("--json", type=Path, help="write the figures here, and the plot beside them")
    arguments = parser.parse_args()
    console = Console()
    before = circumstances()
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            asyncio.run(measure(name, known[name], arguments.trials, Path(folder)))
            for name in arguments.kind or known
        ]
    show(runs, console)
    if arguments.json:
        save({"circumstances": before, **{run.kind: run.report() for run in runs}}, arguments.json)
        plot(runs, arguments.json.with_suffix(".png"))
        console.print(f"written: {arguments.json} and {arguments.json.with_suffix('.png')}")


if __name__ == "__main__":
    main()
