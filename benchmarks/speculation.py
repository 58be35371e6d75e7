"""Speculation on and off, the same utterances turn by turn in one run, by the recogniser's lag.

    uv run python -m benchmarks.speculation --turns 20 --json benchmarks/results/speculation.json

Two bots on the same servers are told each utterance, one after the other: one begins answers ahead, one does
not. The recogniser is our own with scripted words, or a plain one whose words lag (`doubles/plain_asr.py`).
The times are the caller's: the last sample of speech to the first audible sample of the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.caller import call
from benchmarks.latency import ENGINES, REPLIES, Run, answered, spoken
from benchmarks.machine import circumstances, quantile, save
from benchmarks.stack import Process, Stack

QUESTIONS = (
    "what time is it in Paris",
    "tell me about the history of the Roman empire",
    "can you help me with my order",
    "how do I get to the airport",
    "could you please book a table for two at eight",
    "who won the football match last night",
    "yes please",
    "set a timer for ten minutes please",
    "tell me a long story please",
    "what is the weather like in London today",
)
"""Ordinary sentences, said in one breath."""
OURS = "ours"
LAGS = (OURS, "0", "100", "200", "300")
"""Our own recogniser, or the lag in milliseconds of a plain one."""


@dataclass
class Pair:
    """Runs of a recogniser with speculation and without."""

    recogniser: str
    on: Run = field(default_factory=lambda: Run("on"))
    off: Run = field(default_factory=lambda: Run("off"))

    @property
    def withdrawn(self) -> int:
        return self.on.speculated.get("withdrawn", 0)

    def gained_ms(self, share: float) -> float:
        """Return by how much the quantile is lower with speculation."""
        return quantile(self.off.outside_ms, share) - quantile(self.on.outside_ms, share)

    def report(self) -> dict[str, Any]:
        gained = {f"p{round(100 * share)}": round(self.gained_ms(share), 1) for share in (0.5, 0.95)}
        return {"gained_ms": gained, "on": self.on.report(), "off": self.off.report()}


async def measure(recogniser: str, turns: int, folder: Path) -> Pair:
    """Tell both bots so many utterances."""
    pair, script = Pair(recogniser), folder / "script.json"
    asr: dict[str, Any] = {"transcripts": QUESTIONS, **ENGINES["asr"]}
    if recogniser != OURS:
        asr["word_lag_ms"] = int(recogniser)
    llm = {"replies": REPLIES, **ENGINES["llm"]}
    script.write_text(json.dumps({"asr": asr, "llm": llm, "tts": ENGINES["tts"]}))
    plain = ["-m", "benchmarks.doubles.plain_asr", "--port={port}", f"--script={script}"]
    stack = Stack(
        folder / recogniser,
        script,
        environment={"BOT_GREETING": "Hello."},
        recogniser=None if recogniser == OURS else plain,
    )
    without = stack.another_bot("without", {"BOT_GREETING": "Hello.", "BOT_SPECULATION": "0"})
    async with AsyncExitStack() as running:
        await running.enter_async_context(stack)
        await _start(without, running)
        callers = [await running.enter_async_context(call(bot.url)) for bot in (stack.agent, without)]
        for caller in callers:
            await caller.until("bot-stopped-speaking")
        for turn in track(range(turns), description=f"{recogniser:>8}"):
            clip = spoken([QUESTIONS[turn % len(QUESTIONS)]])
            for run, caller in zip((pair.on, pair.off), callers, strict=True):
                await asyncio.sleep(0.5)
                await answered(run, caller, clip)
    return pair


async def _start(bot: Process, running: AsyncExitStack) -> None:
    bot.start()
    running.callback(bot.kill, signal.SIGTERM)
    await asyncio.to_thread(bot.wait_ready)


def show(pairs: list[Pair], console: Console) -> None:
    columns = ("on p50", "off p50", "on p95", "off p95", "gained p50", "p95", "withdrawn", "confirmed")
    table = Table("recogniser", *columns, title="voice to voice at the caller, ms")
    for pair in pairs:
        on, off = pair.on.outside_ms, pair.off.outside_ms
        figures = [quantile(values, share) for share in (0.5, 0.95) for values in (on, off)]
        figures += [pair.gained_ms(0.5), pair.gained_ms(0.95)]
        confirmed = pair.on.speculated.get("confirmed", 0)
        table.add_row(pair.recogniser, *(f"{x:.0f}" for x in figures), str(pair.withdrawn), str(confirmed))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--recogniser", choices=LAGS, action="append", help="default: all of them")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    before = circumstances()
    with tempfile.TemporaryDirectory() as folder:
        pairs = [
            asyncio.run(measure(recogniser, arguments.turns, Path(folder)))
            for recogniser in arguments.recogniser or LAGS
        ]
    show(pairs, Console())
    if arguments.json:
        reports = {pair.recogniser: pair.report() for pair in pairs}
        save({"circumstances": before, "engines": ENGINES, **reports}, arguments.json)


if __name__ == "__main__":
    main()
