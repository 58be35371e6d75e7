"""Start a set of servers, watch them, start them again, and stop them: nothing else and nothing less.

One keeper per server takes it through `ServerState`. Readiness is what the server's health address says.
A server that ends, hangs or says it can serve no longer is started again after a back-off; one that ends
again and again is reported as a crash loop with its last words, and still tried. One that cannot be what it
was asked to be (exit code 2, or a health address that says so, before it was ever ready) is not: starting it
again cannot help.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from nemotron_speech.errors import SpeechError
from nemotron_speech.supervisor.health import Health, HealthReport
from nemotron_speech.supervisor.processes import ProcessId

T = TypeVar("T")

CONFIGURATION_EXIT = 2
CRASH_LOOP = 3
"""Ends in a row, none of them after a healthy minute."""
LAST_WORDS = 12
"""Log lines kept to explain a failure."""
FIRST_PROBE_S, PROBE_S, WATCH_S = 0.05, 0.25, 5.0
"""Seconds between two health probes: at first, while starting, and once ready."""
SILENT_PROBES = 6
"""Unanswered questions in a row after which a server counts as hung: half a minute."""


# ---------------------------------------------------------------------------------------- values


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """One server: how to start it, where it is, and how to ask whether it is ready."""

    name: str
    argv: tuple[str, ...]
    port: int
    health_url: str
    host: str = "127.0.0.1"
    """Address it listens on."""
    engine: str = ""
    ready_timeout: float = 60.0
    stop_timeout: float = 12.0
    """Seconds between SIGTERM and SIGKILL: longer than the server's own drain."""
    stage: int = 0
    """Stage of the shutdown; the highest stops first, so callers of a server stop before it."""
    env: Mapping[str, str] = field(default_factory=dict)


class ServerState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    """Ended or hung; waiting before the next start."""
    CRASH_LOOP = "crash loop"
    """Ended or hung `CRASH_LOOP` times in a row; waiting before the next start."""
    FAILED = "failed"
    """Not started again."""
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """Status of one server now."""

    spec: ServerSpec
    state: ServerState = ServerState.STARTING
    process: ProcessId | None = None
    since: float = 0.0
    """Start time of the process: seconds since 1970."""
    restarts: int = 0
    reason: str = ""
    """Reason why the server is not ready."""


@dataclass(frozen=True, slots=True)
class RestartDelays:
    """Wait before the next start: doubling, bounded, forgotten after a healthy minute."""

    first_s: float = 0.5
    ceiling_s: float = 10.0
    reset_after_s: float = 60.0

    def ends_in_a_row(self, ends_before: int, healthy_s: float) -> int:
        return 1 if healthy_s >= self.reset_after_s else ends_before + 1

    def delay_s(self, ends: int) -> float:
        """Return the seconds to wait after the `ends`-th end in a row (from 1)."""
        return min(self.ceiling_s, self.first_s * 2 ** min(ends - 1, 30))


class StartFailed(SpeechError):
    """A server did not become ready; says which, why, and its last log lines."""

    def __init__(self, name: str, reason: str, last_words: Sequence[str] = ()) -> None:
        super().__init__(f"{name} {reason}")
        self.name = name
        self.last_words = tuple(last_words)


# ----------------------------------------------------------------------------------------- seams


class Process(Protocol):
    """A running program (`processes.Child`)."""

    @property
    def id(self) -> ProcessId: ...

    @property
    def exited(self) -> asyncio.Future[int]:
        """Exit code of the program, once it and its process group are gone."""
        ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


Start = Callable[[Sequence[str], Mapping[str, str], Callable[[str], None]], Awaitable[Process]]
"""Start a program: arguments, extra environment, and who takes its lines. (`processes.Child.start`)"""
Probe = Callable[[str], Awaitable[HealthReport]]
"""Ask a health address; never raises. (`health.HealthProbe`)"""


class SupervisorListener(Protocol):
    """Observer of the servers."""

    def line(self, name: str, text: str) -> None:
        """Take in a line that a server wrote."""
        ...

    def changed(self, status: ServerStatus) -> None:
        """Take in a server's new status."""
        ...


# ------------------------------------------------------------------------------------ supervisor


class Supervisor:
    """Keep servers running.

        async with Supervisor(specs, Child.start, probe, listener).running() as supervisor:
            await supervisor.ready()

    Leaving the block stops every server it started, whatever the reason for leaving.
    """

    def __init__(
        self,
        specs: Sequence[ServerSpec],
        start: Start,
        probe: Probe,
        listener: SupervisorListener,
        backoff: RestartDelays | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._hurry = asyncio.Event()
        seams = _Seams(start, probe, listener, backoff or RestartDelays(), now, self._hurry)
        self._keepers = [_Keeper(spec, seams) for spec in specs]

    @property
    def statuses(self) -> tuple[ServerStatus, ...]:
        return tuple(keeper.status for keeper in self._keepers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Supervisor]:
        """Start all servers at once; stop them on the way out."""
        tasks = {keeper: asyncio.create_task(keeper.keep()) for keeper in self._keepers}
        try:
            yield self
        finally:
            await _to_the_end(self._stop(tasks))

    async def ready(self) -> None:
        """Wait until every server is ready. Raises StartFailed at the first that will not be."""
        try:
            async with asyncio.TaskGroup() as group:
                for keeper in self._keepers:
                    group.create_task(keeper.first_ready())
        except* StartFailed as failures:
            failure = failures.exceptions[0]
        else:
            return
        raise failure

    def hurry(self) -> None:
        """Stop waiting for servers that are stopping: kill them."""
        self._hurry.set()

    async def _stop(self, tasks: dict[_Keeper, asyncio.Task[None]]) -> None:
        for stage in sorted({keeper.spec.stage for keeper in tasks}, reverse=True):
            stopping = [task for keeper, task in tasks.items() if keeper.spec.stage == stage]
            for task in stopping:
                task.cancel()
            await asyncio.wait(stopping)
        for task in tasks.values():
            if not task.cancelled():
                task.result()


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end even when this task is cancelled meanwhile; the cancellation comes after."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()


# ---------------------------------------------------------------------------------------- keeper


@dataclass(frozen=True, slots=True)
class _Seams:
    start: Start
    probe: Probe
    listener: SupervisorListener
    backoff: RestartDelays
    now: Callable[[], float]
    hurry: asyncio.Event


@dataclass(frozen=True, slots=True)
class _End:
    """End of one run of a server."""

    reason: str
    healthy_s: float = 0.0
    refused: bool = False
    """True if starting the server again cannot help."""


class _Keeper:
    """Keep one server running."""

    def __init__(self, spec: ServerSpec, seams: _Seams) -> None:
        self.spec = spec
        self.status = ServerStatus(spec)
        self._seams = seams
        self._last_words: deque[str] = deque(maxlen=LAST_WORDS)
        self._settled = asyncio.Event()
        """Set once the server has been ready, or can no longer become ready."""
        self._was_ready = False
        self._process: Process | None = None

    async def first_ready(self) -> None:
        """Wait until the server has been ready once. Raises StartFailed."""
        await self._settled.wait()
        if not self._was_ready:
            raise StartFailed(self.spec.name, self.status.reason, self._last_words)

    async def keep(self) -> None:
        """Run until cancelled, or until starting again cannot help."""
        ends = 0
        try:
            while True:
                end = await self._run_once()
                if end.refused:
                    self._change(state=ServerState.FAILED, process=None, reason=end.reason)
                    return
                ends = self._seams.backoff.ends_in_a_row(ends, end.healthy_s)
                await self._pause(ends, end.reason)
        finally:
            self._settled.set()
            await self._stop()

    async def _run_once(self) -> _End:
        """Run the server until it ends or is ended."""
        process = await self._start()
        problem, healthy_s = await self._unless_exited(process, self._become_ready(process.id)), 0.0
        if problem is None and not process.exited.done():
            self._become_known_as_ready()
            began = asyncio.get_running_loop().time()
            problem = await self._unless_exited(process, self._until_useless(process.id))
            healthy_s = asyncio.get_running_loop().time() - began
        if process.exited.done():
            code = process.exited.result()
            refused = code == CONFIGURATION_EXIT and not self._was_ready
            return _End(describe_exit(code), healthy_s, refused)
        await self._end_process(process)
        return replace(problem or _End("ended"), healthy_s=healthy_s)

    async def _start(self) -> Process:
        self._change(state=ServerState.STARTING, process=None)
        spec = self.spec
        self._process = process = await self._seams.start(spec.argv, spec.env, self._line)
        self._change(process=process.id, since=self._seams.now())
        return process

    async def _become_ready(self, process: ProcessId) -> _End | None:
        """Return when the server is healthy; why to end it when it will not be."""
        wait_s = FIRST_PROBE_S
        try:
            async with asyncio.timeout(self.spec.ready_timeout):
                while (report := await self._seams.probe(self.spec.health_url)).health is not Health.HEALTHY:
                    if report.health is Health.FAILED and report.pid in (None, process.pid):
                        return _End(f"cannot serve: {report.message}", refused=not self._was_ready)
                    await asyncio.sleep(wait_s)
                    wait_s = min(PROBE_S, wait_s * 1.5)
        except TimeoutError:
            self._change(reason=f"was not ready after {self.spec.ready_timeout:.0f} s")
            self._settled.set()
            return _End(self.status.reason)
        return self._unless_own(report, process)

    def _unless_own(self, report: HealthReport, process: ProcessId) -> _End | None:
        """Return None where the process itself answered: a port that answers may be another's."""
        if report.pid in (None, process.pid):
            return None
        reason = f"does not have port {self.spec.port}: pid {report.pid} answers there"
        return _End(reason, refused=not self._was_ready)

    def _become_known_as_ready(self) -> None:
        self._was_ready = True
        self._change(state=ServerState.READY, reason="")
        self._settled.set()

    async def _until_useless(self, process: ProcessId) -> _End:
        """Return when the server can serve no longer, or is silent; a busy one is asked many times."""
        silent = 0
        while silent < SILENT_PROBES:
            await asyncio.sleep(WATCH_S)
            report = await self._seams.probe(self.spec.health_url)
            if report.health is Health.HEALTHY and (end := self._unless_own(report, process)):
                return end
            if report.health is Health.FAILED:
                return _End(f"can serve no longer: {report.message}")
            silent = silent + 1 if report.health is Health.SILENT else 0
        return _End(f"has not answered for {SILENT_PROBES * WATCH_S:.0f} s")

    async def _pause(self, ends: int, reason: str) -> None:
        looping = ends >= CRASH_LOOP
        state = ServerState.CRASH_LOOP if looping else ServerState.RESTARTING
        if looping:
            reason = f"ended {ends} times in a row; the last time it {reason}"
        self._change(state=state, process=None, reason=reason, restarts=self.status.restarts + 1)
        if looping:
            self._settled.set()
        await asyncio.sleep(self._seams.backoff.delay_s(ends))

    async def _stop(self) -> None:
        if self._process is not None and not self._process.exited.done():
            self._change(state=ServerState.STOPPING)
            await self._end_process(self._process)
        if self.status.state is not ServerState.FAILED:
            self._change(state=ServerState.STOPPED, process=None)

    async def _end_process(self, process: Process) -> None:
        """SIGTERM, wait, SIGKILL what is left."""
        process.terminate()
        hurry = asyncio.ensure_future(self._seams.hurry.wait())
        await asyncio.wait(
            (process.exited, hurry),
            timeout=self.spec.stop_timeout,
            return_when=asyncio.FIRST_COMPLETED,
        )
        hurry.cancel()
        if not process.exited.done():
            process.kill()
            await process.exited

    @staticmethod
    async def _unless_exited(process: Process, work: Coroutine[Any, Any, T]) -> T | None:
        """Run `work` until it is done or the process has ended, whichever comes first."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, process.exited), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            task.cancel()

    def _line(self, text: str) -> None:
        self._last_words.append(text)
        self._seams.listener.line(self.spec.name, text)

    def _change(self, **changes: Any) -> None:
        self.status = replace(self.status, **changes)
        self._seams.listener.changed(self.status)


def describe_exit(code: int) -> str:
    """Say in words how a process ended: "ended with exit code 1", "was killed by signal SIGKILL"."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by signal {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
