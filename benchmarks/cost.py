"""Processor time and memory of a bot: of a conversation, of callers at once, of one caller after another.

    uv run python -m benchmarks.cost --sessions 60 --json benchmarks/results/cost.json

Servers recite a script on the same machine; what is counted is the bot's process alone, from /proc (Linux).
Processor time is that of a conversation of a minute in which both sides speak, seconds per minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.caller import Caller, call
from benchmarks.latency import ENGINES, REPLIES, spoken
from benchmarks.machine import circumstances, panels, save
from benchmarks.stack import Stack
from nemotron_speech.audio import rms

SAID = ("what time is it in Paris", "tell me a long story please", "how do I get to the airport")
PAUSE_S = 1.0
"""Pause between an answer and the next question, in seconds."""
SETTLED_S = 3.0
"""Wait after a call until its end has been cleaned up, in seconds."""
AT_ONCE = 3
"""Callers beside the first."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources a process has used.

    Attributes:
        cpu_s: Processor time since its start, user and system, in seconds.
        rss_mb: Resident memory, in units of 10^6 bytes.
        threads: Threads that are alive.
    """

    cpu_s: float
    rss_mb: float
    threads: int


def usage(pid: int) -> Usage:
    """Read what a process has used so far from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return Usage(cpu, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6, int(fields[17]))


@dataclass
class Cost:
    """Cost of a bot; memory in MB of 10^6 bytes, times in seconds."""

    rss_started: float = 0.0
    rss_first: float = 0.0
    """Memory with the first caller, after a conversation."""
    rss_further: float = 0.0
    """Memory of each caller beside the first."""
    cpu_per_minute: float = 0.0
    cpu_silent_per_minute: float = 0.0
    """Processor time per minute of a call in which nobody says anything."""
    turns: int = 0
    bot_speaks: float = 0.0
    """Share of the conversation in which the bot is heard."""
    rss_after: list[float] = field(default_factory=list)
    """Memory after each of the calls in a row."""
    threads_after: list[int] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """Memory after the last of the calls in a row, to that after the first."""
        return self.rss_after[-1] / self.rss_after[0] if self.rss_after else 1.0

    def report(self) -> dict[str, Any]:
        return {
            "cpu_s_per_minute": round(self.cpu_per_minute, 2),
            "cpu_s_per_minute_of_silence": round(self.cpu_silent_per_minute, 2),
            "turns": self.turns,
            "share_the_bot_speaks": round(self.bot_speaks, 2),
            "rss_mb": {
                "started": round(self.rss_started, 1),
                "first_session": round(self.rss_first, 1),
                "each_further_session": round(self.rss_further, 1),
                "last_to_first_call": round(self.growth, 3),
                "after_each_call": [round(mb, 1) for mb in self.rss_after],
            },
            "threads_after_each_call": self.threads_after,
        }


# ------------------------------------------------------------------------------------------ measuring


async def measure(stack: Stack, sessions: int, seconds: float) -> Cost:
    """Hold a conversation of so many seconds, calls at once, and so many calls in a row."""
    cost = Cost(rss_started=usage(stack.agent.pid).rss_mb)
    async with call(stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        await _converse(cost, stack, caller, seconds)
        await _be_silent(cost, stack, seconds / 4)
        cost.rss_first = usage(stack.agent.pid).rss_mb
        await _call_at_once(cost, stack)
    for _ in track(range(sessions), description="one after another"):
        await _call_briefly(cost, stack)
    await asyncio.sleep(SETTLED_S)
    _note(cost, stack)
    return cost


async def _converse(cost: Cost, stack: Stack, caller: Caller, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    before, began = usage(stack.agent.pid), loop.time()
    while loop.time() < began + seconds:
        clip = spoken((SAID[cost.turns % len(SAID)],))
        said = await caller.say(clip)
        heard = await caller.hears(after=said)
        await caller.until(_stops(heard))
        cost.turns += 1
        await asyncio.sleep(PAUSE_S)
    took = loop.time() - began
    cost.cpu_per_minute = (usage(stack.agent.pid).cpu_s - before.cpu_s) * 60 / took
    loud = sum(rms(samples) > 200 for at, samples in caller.heard if at > began)
    cost.bot_speaks = loud * 0.02 / took


def _stops(after: float) -> Any:
    return lambda event: event.type == "bot-stopped-speaking" and event.at > after


async def _be_silent(cost: Cost, stack: Stack, seconds: float) -> None:
    before = usage(stack.agent.pid).cpu_s
    await asyncio.sleep(seconds)
    cost.cpu_silent_per_minute = (usage(stack.agent.pid).cpu_s - before) * 60 / seconds


async def _call_at_once(cost: Cost, stack: Stack) -> None:
    async with AsyncExitStack() as calls:
        for _ in range(AT_ONCE):
            caller = await calls.enter_async_context(call(stack.url))
            await caller.until("bot-stopped-speaking")
        cost.rss_further = (usage(stack.agent.pid).rss_mb - cost.rss_first) / AT_ONCE


async def _call_briefly(cost: Cost, stack: Stack) -> None:
    async with call(stack.url):
        await asyncio.sleep(1.0)
    _note(cost, stack)


def _note(cost: Cost, stack: Stack) -> None:
    now = usage(stack.agent.pid)
    cost.rss_after.append(now.rss_mb)
    cost.threads_after.append(now.threads)


@asynccontextmanager
async def bot(folder: Path, name: str) -> AsyncIterator[Stack]:
    """Run a bot and servers that recite a script."""
    script = folder / "script.json"
    engines = {
        "asr": {**ENGINES["asr"], "transcripts": SAID},
        "llm": {**ENGINES["llm"], "replies": REPLIES},
        "tts": ENGINES["tts"],
    }
    script.write_text(json.dumps(engines))
    stack = Stack(folder / "stack", script, bot=name, environment={"BOT_GREETING": "Hello."})
    async with stack:
        yield stack


# -------------------------------------------------------------------------------------------- showing


def show(cost: Cost, console: Console) -> None:
    report = cost.report()
    memory = {k: v for k, v in report.pop("rss_mb").items() if k != "after_each_call"}
    report.pop("threads_after_each_call")
    console.print(report, memory)


def plot(cost: Cost, path: Path) -> None:
    """Draw the memory after each call."""
    with panels(path, 1, width=7) as (axes,):
        axes.plot(range(1, len(cost.rss_after) + 1), cost.rss_after, "o-", markersize=3)
        axes.axhline(cost.rss_after[0] * 1.1, linestyle=":", color="grey", label="the first one's + 10 %")
        axes.set(title="memory of the bot after each call", xlabel="call", ylabel="MB", ylim=(0, None))
        axes.legend()


async def run(name: str, sessions: int, seconds: float) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        async with bot(Path(folder), name) as stack:
            return await measure(stack, sessions, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=60, help="calls in a row, of a second each")
    parser.add_argument("--seconds", type=float, default=60.0, help="of conversation")
    parser.add_argument("--bot", default="bot_interleaved_streaming")
    parser.add_argument("--json", type=Path, help="write the figures here, and the plot beside them")
    arguments = parser.parse_args()
    console = Console()
    before = circumstances()
    cost = asyncio.run(run(arguments.bot, arguments.sessions, arguments.seconds))
    show(cost, console)
    if arguments.json:
        save({"circumstances": before, "bot": arguments.bot, **cost.report()}, arguments.json)
        plot(cost, arguments.json.with_suffix(".png"))
        console.print(f"written: {arguments.json} and {arguments.json.with_suffix('.png')}")


if __name__ == "__main__":
    main()
