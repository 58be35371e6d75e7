"""Measure how many callers one recognition server process holds.

Starts the server with an engine that recites a script, calls it over real sockets with 20 ms frames in real
time, and climbs: the figure is the most callers with a p99 interim lag under the limit above the engine's own
time, nobody refused or cut off, nobody slowed down. Callers and server share this machine.

    python -m benchmarks.capacity --json capacity.json
    python -m benchmarks.capacity --protocol 2 --engine-ms 10 --start 400
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.machine import circumstances, panels, quantile, save
from benchmarks.stack import Process, free_port
from nemotron_speech.audio import Clip
from nemotron_speech.bench.asr_load import Load, Outcome, call_all, frames_of

UTTERANCE_S = 4
WORDS = " ".join(f"word{n}" for n in range(40))
ANCHORS = (1, 8, 32, 128)
"""Numbers of callers measured whatever the most is."""
SETTLE_S = 1.0
"""Seconds after the ramp that are not measured."""
CALLS_PER_S = 400
"""New calls a second during the ramp."""


@dataclass(frozen=True, slots=True)
class Rung:
    """Measurements with one number of callers, in milliseconds."""

    callers: int
    lag_p50_ms: float
    lag_p99_ms: float
    above_engine_p99_ms: float
    final_p50_ms: float
    final_p99_ms: float
    interims: int
    lost: int
    blocked_frames: int
    clients_late_p99_ms: float
    server_cpu: float
    """Cores."""
    clients_cpu: float
    load_average: float

    def holds(self, limit_ms: float) -> bool:
        """Return True if everybody was served in time."""
        return not self.lost and not self.blocked_frames and self.above_engine_p99_ms < limit_ms


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions of a measurement."""

    protocol: int
    engine_ms: float
    """Milliseconds of the engine's step, whatever its size."""
    step_ms: float
    """The server's least time between steps."""
    chunk_ms: int
    seconds: float
    limit_ms: float


# --------------------------------------------------------------------------------------- measuring


def server(conditions: Conditions, folder: Path) -> Process:
    """Return the server, not started; the port of the process is that of the protocol."""
    script = folder / "script.json"
    asr = {"transcripts": [WORDS], "chunk_ms": conditions.chunk_ms, "step_ms": conditions.engine_ms}
    script.write_text(json.dumps({"asr": {**asr, "capacity": 20000, "max_batch": 1024}}))
    port, other = free_port(), free_port()
    ports = (port, other) if conditions.protocol == 1 else (other, port)
    arguments = ["-m", "nemotron_speech.server", "--port", str(ports[0]), "--yap-port", str(ports[1])]
    arguments += ["--engine", "scripted", "--option", f"script={script}"]
    environment = {"NEMOTRON_ASR_STEP_MS": str(conditions.step_ms)}
    return Process("recogniser", arguments, port, folder / "server.log", environment=environment)


@contextmanager
def _running(conditions: Conditions) -> Iterator[Process]:
    with tempfile.TemporaryDirectory() as folder:
        process = server(conditions, Path(folder))
        process.start()
        try:
            process.wait_ready()
            yield process
        finally:
            process.kill(signal.SIGTERM)


def measure(process: Process, callers: int, conditions: Conditions) -> Rung:
    """Call with `callers` at once."""
    load = Load(
        url=f"ws://127.0.0.1:{process.port}/",
        protocol=conditions.protocol,
        frames=frames_of(speech()),
        calls=callers,
        concurrency=callers,
        duration_s=SETTLE_S + conditions.seconds,
        ramp_s=max(1.0, callers / CALLS_PER_S),
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        cpu = _Cpu(process.pid)
        outcome = runner.run(call_all(load))
        server_cpu, clients_cpu = cpu.cores()
    return _rung(callers, outcome, conditions, server_cpu, clients_cpu)


def speech() -> Clip:
    """Return what every caller says: loud enough for the script to go on."""
    noise = np.random.default_rng(0).normal(0, 3000, 16000 * UTTERANCE_S)
    return Clip(noise.clip(-32768, 32767).astype(np.int16), 16000)


class _Cpu:
    """Cores used by the server and by this process since it was made."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._now()

    def cores(self) -> tuple[float, float]:
        wall, server, own = (b - a for a, b in zip(self._before, self._now(), strict=True))
        return server / wall, own / wall

    def _now(self) -> tuple[float, float, float]:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        server = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        own = resource.getrusage(resource.RUSAGE_SELF)
        wall = float(Path("/proc/uptime").read_text().split()[0])
        return wall, server, own.ru_utime + own.ru_stime


def _rung(
    callers: int, outcome: Outcome, conditions: Conditions, server_cpu: float, clients_cpu: float
) -> Rung:
    window = (SETTLE_S, SETTLE_S + conditions.seconds)
    lags = [lag * 1000 for when, lag in outcome.lags if window[0] <= when <= window[1]] or [float("inf")]
    finals = [took * 1000 for when, took in outcome.finals if window[0] <= when <= window[1]] or [0.0]
    return Rung(
        callers=callers,
        lag_p50_ms=round(quantile(lags, 0.5), 2),
        lag_p99_ms=round(quantile(lags, 0.99), 2),
        above_engine_p99_ms=round(quantile(lags, 0.99) - conditions.engine_ms, 2),
        final_p50_ms=round(quantile(finals, 0.5), 2),
        final_p99_ms=round(quantile(finals, 0.99), 2),
        interims=len(lags),
        lost=callers - outcome.held,
        blocked_frames=outcome.blocked_frames,
        clients_late_p99_ms=round(quantile(outcome.late_s, 0.99) * 1000, 2),
        server_cpu=round(server_cpu, 2),
        clients_cpu=round(clients_cpu, 2),
        load_average=round(os.getloadavg()[0], 2),
    )


# ---------------------------------------------------------------------------------------- climbing


def climb(start: int, most: int, precision: int) -> Iterator[int]:
    """Yield numbers to try, in quarters upwards, then by halves between; send whether each held."""
    held, failed, callers = 0, most + 1, start
    while failed - held > precision and callers <= most:
        if (yield callers):
            held = callers
            callers = callers * 5 // 4 if failed > most else (held + failed) // 2
        else:
            failed = callers
            callers = (held + failed) // 2


def search(conditions: Conditions, start: int, most: int, precision: int, out: Console) -> list[Rung]:
    """Measure the anchors, then climb until nothing between the best and the first failure is left to try."""
    rungs: list[Rung] = []

    def held(callers: int) -> bool:
        rungs.append(measure(process, callers, conditions))
        holds = rungs[-1].holds(conditions.limit_ms)
        out.print(f"{callers} callers: {'held' if holds else 'not held'}  {asdict(rungs[-1])}")
        return holds

    with _running(conditions) as process:
        for callers in ANCHORS:
            held(callers)
        steps: Any = climb(start, most, precision)
        with suppress(StopIteration):
            callers = next(steps)
            while True:
                callers = steps.send(held(callers))
    return rungs


def table(rungs: list[Rung], conditions: Conditions) -> Table:
    columns = ("callers", "held", "lag p50", "lag p99", "final p50", "final p99", "server cores", "lost")
    shown = Table(*columns, title=f"Protocol {conditions.protocol}, times in ms")
    for rung in sorted(rungs, key=lambda rung: rung.callers):
        held = "yes" if rung.holds(conditions.limit_ms) else "no"
        times = (rung.lag_p50_ms, rung.lag_p99_ms, rung.final_p50_ms, rung.final_p99_ms)
        row = (rung.callers, held, *times, rung.server_cpu, rung.lost)
        shown.add_row(*map(str, row))
    return shown


def plot(rungs: list[Rung], conditions: Conditions, path: Path) -> None:
    """Draw the lag above the engine's own time, and the server's cores, over the callers."""
    ordered = sorted(rungs, key=lambda rung: rung.callers)
    callers = [rung.callers for rung in ordered]
    with panels(path, 2) as (lags, cores):
        lags.plot(callers, [rung.lag_p50_ms - conditions.engine_ms for rung in ordered], "o-", label="p50")
        lags.plot(callers, [rung.above_engine_p99_ms for rung in ordered], "o-", label="p99")
        lags.axhline(conditions.limit_ms, linestyle="--", color="grey", label="limit")
        lags.set(
            xscale="log", yscale="log", xlabel="callers", ylabel="ms", title="interim lag above the engine"
        )
        lags.legend()
        cores.plot(callers, [rung.server_cpu for rung in ordered], "o-", label="server")
        cores.plot(callers, [rung.clients_cpu for rung in ordered], "o-", label="clients")
        cores.set(xlabel="callers", ylabel="cores", title="what it costs")
        cores.legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--protocol", type=int, choices=(1, 2), default=1)
    parser.add_argument("--engine-ms", type=float, default=5.0, help="time of one engine step")
    parser.add_argument("--step-ms", type=float, default=5.0, help="the server's NEMOTRON_ASR_STEP_MS")
    parser.add_argument("--chunk-ms", type=int, default=80, help="audio the engine takes in one step")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured time of each number")
    parser.add_argument("--limit-ms", type=float, default=20.0, help="p99 lag above the engine's time")
    parser.add_argument("--start", type=int, default=1000, help="callers to begin with")
    parser.add_argument("--most", type=int, default=10000, help="callers to end with")
    parser.add_argument("--precision", type=int, default=50, help="callers")
    parser.add_argument("--json", type=Path, help="write the figures here, and the plot beside them")
    args = parser.parse_args()
    conditions = Conditions(
        args.protocol, args.engine_ms, args.step_ms, args.chunk_ms, args.seconds, args.limit_ms
    )
    _raise_file_limit()
    out = Console(highlight=False)
    before = circumstances()
    rungs = search(conditions, args.start, args.most, args.precision, out)
    out.print(table(rungs, conditions))
    best = max((rung.callers for rung in rungs if rung.holds(args.limit_ms)), default=0)
    out.print(f"held: {best} callers")
    if args.json:
        result = {**before, "conditions": asdict(conditions), "held": best}
        save({**result, "rungs": [asdict(rung) for rung in rungs]}, args.json)
        plot(rungs, conditions, args.json.with_suffix(".png"))


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
