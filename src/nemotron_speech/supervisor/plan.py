"""A set of servers on this machine: what runs already, what is to be started, and running it.

The part of `nemotron up`, `demo` and `talk` that does not care who is watching.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from nemotron_speech.errors import ConfigurationError
from nemotron_speech.invocation import command
from nemotron_speech.supervisor.health import Health, HealthProbe, HealthReport
from nemotron_speech.supervisor.ports import Holder, holder, is_free
from nemotron_speech.supervisor.processes import Child, ProcessId
from nemotron_speech.supervisor.records import RunRecord, RunRecords, ServerLog, ServerRecord
from nemotron_speech.supervisor.supervisor import (
    Probe,
    ServerSpec,
    ServerState,
    ServerStatus,
    Supervisor,
    SupervisorListener,
)

LOADING_PATIENCE_S = 60.0
LOADING_PROBE_S = 0.25


class PortTaken(ConfigurationError):
    """Port held by another program; the message names the program, and what to type."""


class AlreadyRunning(PortTaken):
    """Port held by a server of our own, from an earlier run."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Servers to start, and those that run already and will be used as they are."""

    start: tuple[ServerSpec, ...]
    reuse: tuple[ServerSpec, ...] = ()


# --------------------------------------------------------------------------------------- planning


async def plan(
    specs: Sequence[ServerSpec],
    probe: Probe,
    records: RunRecords,
    *,
    reuse: bool,
    any_engine: Collection[str] = (),
) -> Plan:
    """Look at the ports of `specs`.

    Args:
        reuse: True if servers that run already are used.
        any_engine: Servers of which any engine will do.

    Raises PortTaken for a port that a stranger has, and AlreadyRunning for one that our own server has
    when `reuse` is off, or when it is not the server that was asked for.
    """
    wanted = [replace(spec, engine="") if spec.name in any_engine else spec for spec in specs]
    found = await asyncio.gather(*(_look(spec, probe, records, reuse) for spec in wanted))
    return Plan(
        tuple(spec for spec, running in zip(specs, found, strict=True) if not running),
        tuple(spec for spec, running in zip(specs, found, strict=True) if running),
    )


async def _look(spec: ServerSpec, probe: Probe, records: RunRecords, reuse: bool) -> bool:
    """Return True if the server runs already and may be used. Raises PortTaken if its port is not free."""
    if _is_free(spec):
        return False
    recorded = records.server_on(spec.port)
    if recorded is None:
        return await _look_at_stranger(spec, probe, reuse)
    run, server = recorded
    if server.name != spec.name or not _same_engine(spec.engine, server.engine):
        raise AlreadyRunning(f"{_already(spec, run, server)}; wanted is {spec.name} ({spec.engine})")
    if not reuse:
        raise AlreadyRunning(_already(spec, run, server))
    report = await _settled(spec, probe)
    if report.health is not Health.HEALTHY:
        raise AlreadyRunning(f"{_already(spec, run, server)}; it is not healthy: {report.message}")
    return True


def _is_free(spec: ServerSpec) -> bool:
    try:
        return is_free(spec.host, spec.port)
    except OSError as error:
        raise ConfigurationError(
            f"{spec.name} cannot listen on {spec.host}: {error.strerror}; choose --host 127.0.0.1 "
            "(this machine alone), 0.0.0.0 (all of its addresses) or one of them"
        ) from None


async def _look_at_stranger(spec: ServerSpec, probe: Probe, reuse: bool) -> bool:
    report = await _settled(spec, probe)
    if reuse and report.health is Health.HEALTHY and _same_engine(spec.engine, report.engine):
        return True
    raise PortTaken(_taken(spec, holder(spec.port), report))


async def _settled(spec: ServerSpec, probe: Probe) -> HealthReport:
    """Return the server's health report once it has finished loading."""
    report = await probe(spec.health_url)
    try:
        async with asyncio.timeout(LOADING_PATIENCE_S):
            while report.health is Health.LOADING and report.status != "draining":
                await asyncio.sleep(LOADING_PROBE_S)
                report = await probe(spec.health_url)
    except TimeoutError:
        pass
    return report


def _same_engine(wanted: str, found: str) -> bool:
    """Return True if a running server has the engine asked for, or does not report its engine."""
    return not (found and wanted) or found == wanted


def _already(spec: ServerSpec, run: RunRecord, server: ServerRecord) -> str:
    pid = server.process.pid if server.process else "?"
    return (
        f"port {spec.port} has the {server.name} server ({server.engine}, pid {pid}) "
        f"of `nemotron {run.command}` (pid {run.supervisor.pid}); see it: {command('status')}; "
        f"stop it: {command('down')}; or choose another port: --{spec.name}-port {spec.port + 10}"
    )


def _taken(spec: ServerSpec, who: Holder, report: HealthReport) -> str:
    engine = f", a server with the engine {report.engine}" if report.engine else ""
    return (
        f"port {spec.port}, wanted for {spec.name} ({spec.engine}), is taken by {who}{engine}; "
        f"stop that, or choose another: --{spec.name}-port {spec.port + 10}"
    )


# ---------------------------------------------------------------------------------------- running


@asynccontextmanager
async def running(
    to_start: Plan, command: str, profile: str, records: RunRecords, view: SupervisorListener
) -> AsyncIterator[Supervisor]:
    """Run the servers of a plan, recorded and logged, until the block is left."""
    recorder = Recorder(to_start.start, command, profile, records, view)
    try:
        async with (
            HealthProbe.open() as probe,
            Supervisor(to_start.start, Child.start, probe, recorder).running() as supervisor,
        ):
            yield supervisor
    finally:
        recorder.close()


class Recorder:
    """Writes down what happens to servers, and passes it on to who is watching."""

    def __init__(
        self,
        specs: Sequence[ServerSpec],
        command: str,
        profile: str,
        records: RunRecords,
        view: SupervisorListener,
    ) -> None:
        self._records = records
        self._view = view
        self._logs = {spec.name: ServerLog(records.log_path(spec.name, spec.port)) for spec in specs}
        self._run = RunRecord(command=command, profile=profile, supervisor=ProcessId.of(os.getpid()))
        self._servers: dict[str, ServerRecord] = {}

    def line(self, name: str, text: str) -> None:
        self._logs[name].write(text)
        self._view.line(name, text)

    def changed(self, status: ServerStatus) -> None:
        log = self._logs[status.spec.name]
        if status.reason and status.state is not ServerState.STOPPED:
            log.write(f"[supervisor] {status.spec.name} {status.state}: {status.reason}")
        self._servers[status.spec.name] = ServerRecord(
            name=status.spec.name,
            state=status.state,
            port=status.spec.port,
            engine=status.spec.engine,
            url=status.spec.health_url,
            process=status.process,
            since=status.since,
            restarts=status.restarts,
            reason=status.reason,
            log=str(log.path),
        )
        self._run.servers = list(self._servers.values())
        self._records.write(self._run)
        self._view.changed(status)

    def close(self) -> None:
        """Remove the record: everything in it has stopped."""
        self._records.remove(self._run.supervisor)
        for log in self._logs.values():
            log.close()
