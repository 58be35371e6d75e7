"""The combinations that are measured: servers, bots, speculation; and how each is started and called."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec

from benchmarks.outside.judging import Findings, Judge, lost, speculated
from benchmarks.outside.lessons import GREETING, RESTART, Lesson
from benchmarks.outside.plan import Asked, load
from benchmarks.stack import ROOT, Process, Stack

VOICE = "leo"
CALL_S = 240.0
"""No call takes as long."""
STAGES: dict[str, dict[str, Any]] = {
    "asr": {"final_ms": 30.0, "chunk_ms": 80},
    "llm": {"request_ms": 15.0, "prompt_tokens_per_second": 1000.0, "tokens_per_second": 60.0},
    "tts": {"first_audio_ms": 150.0, "step_ms": 4.0, "chunk_ms": 46},
}
"""Times of the stages; words of the plain recogniser lag 200 ms behind."""
RTX_5090: dict[str, dict[str, Any]] = {
    "asr": {"final_ms": 24.0, "chunk_ms": 40},
    "llm": {
        "request_ms": 0.0,
        "first_token_ms": 90.0,
        "prompt_tokens_per_second": 0.0,
        "tokens_per_second": 60.0,
    },
    "tts": {"first_audio_ms": 110.0, "step_ms": 4.0, "chunk_ms": 46},
}
"""Stage times of the published voice agent on an RTX 5090, as in `benchmarks.latency`."""
SPECULATION = {"on": {}, "off": {"BOT_SPECULATION": "0"}}


@dataclass(frozen=True, slots=True)
class Servers:
    """A kind of servers: who recognises, who synthesises, which model, and how long each takes."""

    name: str
    plain: bool
    model: str
    slots: int = 1
    stages: Mapping[str, dict[str, Any]] = field(default_factory=lambda: STAGES)

    def stack(self, folder: Path, bot: str) -> Stack:
        """Return a stack of them, not started, with a bot; its script is `script.json` of the folder."""
        script = folder / "script.json"
        plain = [_double(name, script) if self.plain else None for name in ("plain_asr", "plain_tts")]
        model = [
            "-m",
            "benchmarks.outside.model",
            f"--kind={self.model}",
            f"--slots={self.slots}",
            *_place(script),
        ]
        environment = {"BOT_GREETING": GREETING.text}
        return Stack(folder, script, model, bot, environment, plain[0], plain[1])


def _double(name: str, script: Path) -> list[str]:
    return ["-m", f"benchmarks.doubles.{name}", *_place(script)]


def _place(script: Path) -> list[str]:
    return ["--host=127.0.0.1", "--port={port}", f"--script={script}"]


OURS = Servers("ours", plain=False, model="attention", slots=2)
OURS_5090 = Servers("ours, RTX 5090", plain=False, model="attention", slots=2, stages=RTX_5090)
PLAIN = Servers("plain", plain=True, model="hybrid")
VLLM = Servers("vLLM-like", plain=True, model="vllm")
STREAMING, WHOLE = "bot_interleaved_streaming", "bot_vllm"


@dataclass
class Cell:
    """One combination, and what its calls came to."""

    servers: Servers
    bot: str
    speculation: str
    findings: Findings = field(default_factory=Findings)
    evaluated: list[int] = field(default_factory=list)
    """Prompt tokens that the model evaluated, by turn of the ordinary calls; warm-ups included."""
    new_tokens: list[int] = field(default_factory=list)
    """Tokens of the user's words in each turn of `evaluated`."""
    ordinary_requests: int = 0
    ordinary_responses: int = 0
    confirmed: int = 0
    withdrawn: int = 0
    cpu_s: float = 0.0
    talk_s: float = 0.0
    rss_mb: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.servers.name}, {self.bot}, speculation {self.speculation}"


@dataclass(frozen=True, slots=True)
class Pair:
    """A bot on servers with speculation on and, where `paired`, off: the same questions to both, in turn."""

    servers: Servers
    bot: str
    lessons: tuple[Lesson, ...]
    """Lessons for both bots; `others` are for the one with speculation alone."""
    others: tuple[Lesson, ...] = ()
    paired: bool = True

    def only(self, names: Sequence[str] | None) -> Pair:
        """Return the pair with the lessons of these names alone; None for all of them."""
        if names is None:
            return self
        chosen = tuple(lesson for lesson in self.lessons if lesson.name in names)
        others = tuple(lesson for lesson in self.others if lesson.name in names)
        return replace(self, lessons=chosen, others=others)

    @property
    def all(self) -> tuple[Lesson, ...]:
        return (*self.lessons, *self.others)

    @property
    def calls(self) -> int:
        """Number of calls."""
        return len(self.lessons) * (1 + self.paired) + len(self.others)


class Measurement:
    """The calls of one pair.

    Args:
        pair: Subject of the measurement.
        folder: Where logs, recordings and records go.
        called: Told of each call that is over.
    """

    def __init__(self, pair: Pair, folder: Path, called: Callable[[str], None]) -> None:
        self._pair = pair
        self._folder = folder
        self._called = called
        self._calls = 0
        self.cells = {
            speculation: Cell(pair.servers, pair.bot, speculation)
            for speculation in SPECULATION
            if pair.paired or speculation == "on"
        }

    async def run(self) -> list[Cell]:
        """Measure; return the cells."""
        self._folder.mkdir(parents=True, exist_ok=True)
        stack = self._pair.servers.stack(self._folder, self._pair.bot)
        environment = {**stack.environment, **SPECULATION["off"]}
        bots = {"on": stack.agent, "off": stack.another_bot("bot-off", environment)}
        used = [bots[speculation] for speculation in self.cells]
        try:
            await self._recite(stack, self._pair.all[0], used)
            await self._hold(stack, bots)
        finally:
            for process in (*used, *stack.servers):
                await asyncio.to_thread(process.kill, 15)
        return list(self.cells.values())

    async def _hold(self, stack: Stack, bots: Mapping[str, Process]) -> None:
        for number, lesson in enumerate(self._pair.all):
            if number:
                await self._recite(stack, lesson)
            shared = number < len(self._pair.lessons)
            for speculation in list(self.cells)[:: 1 if number % 2 else -1]:
                if shared or speculation == "on":
                    await self._call(stack, bots[speculation], lesson, self.cells[speculation])

    async def _recite(self, stack: Stack, lesson: Lesson, bots: Sequence[Process] = ()) -> None:
        """Start the servers anew with the script of a lesson, and bots beside them."""
        stages = self._pair.servers.stages
        script = lesson.script(stages["asr"], stages["llm"], stages["tts"])
        (self._folder / "script.json").write_text(json.dumps(script))
        for server in stack.servers:
            await asyncio.to_thread(server.kill, 15)
        for process in (*stack.servers, *bots):
            process.start()
        for process in (*stack.servers, *bots):
            await asyncio.to_thread(process.wait_ready)

    async def _call(self, stack: Stack, bot: Process, lesson: Lesson, cell: Cell) -> None:
        """Make one call, and judge it."""
        self._calls += 1
        folder = self._folder / f"call-{self._calls}-{lesson.name}-{cell.speculation}"
        folder.mkdir()
        plan = folder / "plan.json"
        plan.write_bytes(msgspec.json.encode(lesson.plan(bot.url, VOICE)))
        asked, counted = await _asked(stack), await _counted(stack)
        cpu_s = _cpu_s(bot.pid)
        failure = await _make(plan, folder, stack)
        self._called(f"{cell.name}: {lesson.name}")
        if failure is not None:
            cell.findings.add(lost(lesson, failure))
            return
        cell.cpu_s += _cpu_s(bot.pid) - cpu_s
        cell.rss_mb = max(cell.rss_mb, _rss_mb(bot.pid))
        new, costs = (await _asked(stack))[len(asked) :], (await _counted(stack))[len(counted) :]
        (folder / "asked.json").write_bytes(msgspec.json.encode(new))
        self._judge(folder, lesson, cell, new, costs)

    def _judge(
        self,
        folder: Path,
        lesson: Lesson,
        cell: Cell,
        asked: Sequence[Asked],
        costs: Sequence[dict[str, Any]],
    ) -> None:
        call = load(folder)
        judge = Judge(lesson, call, asked)
        cell.findings.add(judge.judge())
        cell.talk_s += call.record.ended - call.record.began
        counts = speculated(call)
        cell.confirmed += counts.get("confirmed", 0)
        cell.withdrawn += counts.get("withdrawn", 0)
        if lesson.name != "ordinary":
            return
        cell.ordinary_requests += judge.findings.requests
        cell.ordinary_responses += judge.findings.responses
        starts = [turn.said[0].began for turn in judge.turns]
        for turn, (start, end) in zip(
            judge.turns, zip(starts, [*starts[1:], float("inf")], strict=True), strict=True
        ):
            of_turn = [cost for one, cost in zip(asked, costs, strict=False) if start <= one.at < end]
            cell.evaluated.append(sum(cost["evaluated"] for cost in of_turn))
            cell.new_tokens.append(sum(len(str(part).split()) for said in turn.said for part in said.parts))


async def _make(plan: Path, folder: Path, stack: Stack) -> str | None:
    """Have a caller in a process of its own make the call, and do what it asks for; return why it failed."""
    with (folder / "caller.log").open("wb") as log:
        caller = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.outside.calling", str(plan), str(folder)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
        )
        try:
            async with asyncio.timeout(CALL_S):
                await _serve(caller, stack)
        except TimeoutError:
            return f"the call was not over after {CALL_S:.0f} s"
        finally:
            if caller.returncode is None:
                caller.kill()
                await caller.wait()
    lines = (folder / "caller.log").read_text(errors="replace").splitlines()
    return (lines or ["the caller ended"])[-1] if caller.returncode else None


async def _serve(caller: asyncio.subprocess.Process, stack: Stack) -> None:
    assert caller.stdin is not None
    assert caller.stdout is not None
    async for line in caller.stdout:
        if line.decode().strip() == RESTART:
            await asyncio.to_thread(stack.tts.kill)
            stack.tts.start()
            await asyncio.to_thread(stack.tts.wait_ready)
        caller.stdin.write(b"done\n")
    await caller.wait()


async def _asked(stack: Stack) -> list[Asked]:
    body = await asyncio.to_thread(_get, f"{stack.llm_server.url}/asked")
    return msgspec.json.decode(body, type=list[Asked])


async def _counted(stack: Stack) -> list[dict[str, Any]]:
    return json.loads(await asyncio.to_thread(_get, f"{stack.llm_server.url}/counts"))["records"]


def _get(url: str) -> bytes:
    with urlopen(url, timeout=5) as response:
        return response.read()


def _cpu_s(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    """Return the memory that a process holds, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
