"""Servers that exist only in the test: scripted processes, and health that follows them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nemotron_speech.supervisor.health import Health, HealthReport
from nemotron_speech.supervisor.processes import ProcessId
from nemotron_speech.supervisor.supervisor import ServerSpec, ServerState, ServerStatus


@dataclass
class Script:
    """What one run of a server does, in seconds from its start."""

    healthy_after: float | None = 1.0
    exits_after: float | None = None
    code: int = 1
    silent_after: float | None = None
    answered_by: int | None = None
    """Process that answers on its port, where it is another one."""
    failed: str = ""
    failed_after: float = 0.0
    says: tuple[str, ...] = ()
    stop_takes: float | None = 0.1
    """None ignores SIGTERM."""


class FakeProcess:
    """One run."""

    def __init__(self, pid: int, script: Script, on_line: Callable[[str], None]) -> None:
        self.id = ProcessId(pid, f"start-{pid}")
        self.script = script
        self.signals: list[str] = []
        loop = asyncio.get_running_loop()
        self.started = loop.time()
        self.exited: asyncio.Future[int] = loop.create_future()
        for line in script.says:
            on_line(line)
        if script.exits_after is not None:
            loop.call_later(script.exits_after, self.exit, script.code)

    @property
    def age(self) -> float:
        return asyncio.get_running_loop().time() - self.started

    def exit(self, code: int) -> None:
        if not self.exited.done():
            self.exited.set_result(code)

    def terminate(self) -> None:
        self.signals.append("TERM")
        if self.script.stop_takes is not None:
            asyncio.get_running_loop().call_later(self.script.stop_takes, self.exit, -15)

    def kill(self) -> None:
        self.signals.append("KILL")
        self.exit(-9)


class World:
    """All runs of all servers; the last script of a server repeats."""

    def __init__(self, **scripts: Sequence[Script]) -> None:
        self._scripts = {
            name: iter([*plays, *itertools.repeat(plays[-1], 100)]) for name, plays in scripts.items()
        }
        self._pids = itertools.count(1000)
        self.runs: dict[str, list[FakeProcess]] = {name: [] for name in scripts}
        self.starts: list[tuple[float, str]] = []

    async def start(
        self, argv: Sequence[str], env: Mapping[str, str], on_line: Callable[[str], None]
    ) -> FakeProcess:
        name = argv[0]
        self.starts.append((asyncio.get_running_loop().time(), name))
        process = FakeProcess(next(self._pids), next(self._scripts[name]), on_line)
        self.runs[name].append(process)
        return process

    async def probe(self, url: str) -> HealthReport:
        process = self.runs[url][-1] if self.runs[url] else None
        if process is None or process.exited.done():
            return HealthReport(Health.SILENT)
        script = process.script
        if script.silent_after is not None and process.age >= script.silent_after:
            return HealthReport(Health.SILENT)
        if script.failed and process.age >= script.failed_after:
            return HealthReport(Health.FAILED, message=script.failed)
        healthy = script.healthy_after is not None and process.age >= script.healthy_after
        pid = script.answered_by or process.id.pid
        return HealthReport(Health.HEALTHY if healthy else Health.LOADING, pid=pid)

    @property
    def alive(self) -> list[FakeProcess]:
        return [p for runs in self.runs.values() for p in runs if not p.exited.done()]


@dataclass
class Notes:
    """A listener that remembers."""

    states: list[tuple[float, str, ServerState]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)

    def line(self, name: str, text: str) -> None:
        self.lines.append((name, text))

    def changed(self, status: ServerStatus) -> None:
        self.states.append((asyncio.get_running_loop().time(), status.spec.name, status.state))
        self.reasons.append(status.reason)


def spec(name: str, **changes: object) -> ServerSpec:
    return ServerSpec(name, (name,), 1, name, **changes)  # type: ignore[arg-type]
