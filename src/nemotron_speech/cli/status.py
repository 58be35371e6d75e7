"""`nemotron status`, `logs` and `down`: what another shell sees of the servers."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nemotron_speech.cli.display import COLOURS, STATE_STYLES, log_line
from nemotron_speech.cli.settings import CliSettings
from nemotron_speech.errors import BadRequest
from nemotron_speech.invocation import command
from nemotron_speech.supervisor.processes import wait_until_gone
from nemotron_speech.supervisor.records import RunRecord, RunRecords, ServerRecord, signal_run
from nemotron_speech.supervisor.supervisor import ServerState

FOLLOW_S = 0.2
STOP_TIMEOUT_S = 30.0
PIPE_WIDTH = 1000
"""Most characters of a line where nobody looks at it."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TIME = re.compile(r"(?P<day>\d{4}-\d\d-\d\d)[ T](?P<time>\d\d:\d\d:\d\d(?:[.,]\d+)?)")
NOTHING_RUNS = (
    f"Nothing runs. Start the servers with: {command('up')}; or talk at once with: {command('demo')}"
)


def records() -> RunRecords:
    return RunRecords(CliSettings().state_dir)


# ----------------------------------------------------------------------------------------- status


def status(out: Console, *, as_json: bool) -> int:
    """Print the servers of all live runs."""
    runs = records().live()
    if as_json:
        out.print_json(msgspec.json.encode(runs).decode())
    elif not runs:
        out.print(NOTHING_RUNS)
    else:
        if not out.is_terminal:
            out.width = PIPE_WIDTH  # one line for each server, for programs that read it
        out.print(_table(runs, time.time()))
    return 0


def _table(runs: Sequence[RunRecord], now: float) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("server", "state", "port", "pid", "uptime", "restarts", "engine", "run by"):
        can_shrink = column in ("state", "uptime", "engine", "run by")
        table.add_column(
            column,
            no_wrap=not can_shrink,
            overflow="fold",
            min_width=len("restarting") if column == "state" else None,
            justify="right" if column in ("port", "pid", "restarts") else "left",
        )
    for run in runs:
        for server in run.servers:
            table.add_row(*_row(run, server, now))
    return table


def _row(run: RunRecord, server: ServerRecord, now: float) -> tuple[Text, ...]:
    orphan = server in run.orphans
    state = "orphaned: nemotron down" if orphan else server.state
    style = "bold red" if orphan else STATE_STYLES.get(ServerState(server.state), "dim")
    running = server.process is not None
    return (
        Text(server.name, style=COLOURS.get(server.name, "blue")),
        Text(f"{state} ({server.reason})" if server.reason else state, style=style),
        Text(str(server.port)),
        Text(str(server.process.pid) if server.process else "-"),
        Text(duration(now - server.since) if running else "-"),
        Text(str(server.restarts)),
        Text(server.engine),
        Text(f"{run.command} ({run.supervisor.pid})", style="dim"),
    )


def duration(seconds: float) -> str:
    """Say a duration in two units: "42 s", "3 min 5 s", "2 h 10 min", "4 d 1 h"."""
    seconds = max(0, int(seconds))
    for size, name, smaller, smaller_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            return f"{seconds // size} {name} {seconds % size // smaller} {smaller_name}"
    return f"{seconds} s"


# ------------------------------------------------------------------------------------------- down


def down(out: Console, names: Sequence[str] = ()) -> int:
    """Stop live runs and wait for their end; kill what does not end.

    Args:
        names: Runs: `up`, `demo` or `talk`, or the process id that `status` shows; all if none is named.

    Raises BadRequest for one that does not run.
    """
    runs = _chosen(records().live(), names)
    if not runs:
        out.print("Nothing runs.")
        return 0
    for run in runs:
        names = ", ".join(server.name for server in run.servers)
        with out.status(f"stopping {names}"):
            killed = _stop(run)
        out.print(
            f"Stopped {names} (nemotron {run.command}, pid {run.supervisor.pid})" + ", by force" * killed
        )
    return 0


def _chosen(runs: Sequence[RunRecord], names: Sequence[str]) -> Sequence[RunRecord]:
    labels = [{run.command, str(run.supervisor.pid)} for run in runs]
    unknown = [name for name in names if not any(name in label for label in labels)]
    if unknown:
        there = ", ".join(f"{run.command} ({run.supervisor.pid})" for run in runs) or "nothing"
        raise BadRequest(f"no run is called {', '.join(unknown)}; there is: {there}")
    return [run for run, label in zip(runs, labels, strict=True) if not names or label & set(names)]


def _stop(run: RunRecord) -> bool:
    """Stop one run; whether it had to be killed."""
    processes = [run.supervisor, *(s.process for s in run.servers if s.process is not None)]
    signal_run(run, signal.SIGTERM)
    left = wait_until_gone(processes, STOP_TIMEOUT_S)
    for process in left:
        process.send(signal.SIGKILL)
    wait_until_gone(left, STOP_TIMEOUT_S)
    records().live()
    return bool(left)


# ------------------------------------------------------------------------------------------- logs


def logs(out: Console, names: Sequence[str], *, follow: bool, lines: int) -> int:
    """Print the last lines of each server's log, and what is added. Raises BadRequest."""
    paths = records().log_paths()
    unknown = [name for name in names if name not in paths]
    if unknown and paths:
        raise BadRequest(f"no log of {', '.join(unknown)}; there is one of: {', '.join(sorted(paths))}")
    if not paths:
        raise BadRequest(
            f"no server has run yet, so there are no logs in {records().logs}; start: {command('up')}"
        )
    chosen = {name: path for name, path in paths.items() if not names or name in names}
    tails = {name: Tail(path) for name, path in chosen.items()}
    for name, line in by_time({name: tail.last(lines) for name, tail in tails.items()}):
        out.print(log_line(name, line), soft_wrap=True)
    while follow:
        time.sleep(FOLLOW_S)
        for name, tail in tails.items():
            for line in tail.new():
                out.print(log_line(name, line), soft_wrap=True)
    return 0


def by_time(lines: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Return the lines of all servers in the order of their time; one without a time follows its own last."""
    stamped: list[tuple[str, str, str]] = []
    for name, of_one in lines.items():
        at = ""
        for line in of_one:
            found = _TIME.match(_COLOURS.sub("", line))
            at = f"{found['day']} {found['time']}".replace(",", ".") if found else at
            stamped.append((at, name, line))
    return [(name, line) for _, name, line in sorted(stamped, key=lambda one: one[0])]


class Tail:
    """End of a log file, followed across its rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO = path.open(encoding="utf-8", errors="replace")
        self._rest = ""

    def last(self, lines: int) -> list[str]:
        """Return the last complete lines; reading goes on after them."""
        return list(deque(self._read(), maxlen=lines))

    def new(self) -> Iterator[str]:
        """Yield the lines added since."""
        yield from self._read()
        if self._replaced():
            self._file.close()
            self._file, self._rest = self._path.open(encoding="utf-8", errors="replace"), ""
            yield from self._read()

    def _read(self) -> Iterator[str]:
        *complete, self._rest = (self._rest + self._file.read()).split("\n")
        yield from complete

    def _replaced(self) -> bool:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        return now.st_ino != os.fstat(self._file.fileno()).st_ino
