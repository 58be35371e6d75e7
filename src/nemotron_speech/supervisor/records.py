"""Records of the running servers, kept in files so that another shell can see and stop them.

One JSON file per supervisor in `runs/`, replaced whole at every change, and one log per server and port in
`logs/`. A record counts only while the very processes it names are alive.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import msgspec

from nemotron_speech.supervisor.processes import ProcessId

MAX_LOG_BYTES = 16 * 1024 * 1024


class ServerRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One server as its supervisor last saw it."""

    name: str
    state: str
    port: int
    engine: str = ""
    url: str = ""
    process: ProcessId | None = None
    since: float = 0.0
    restarts: int = 0
    reason: str = ""
    log: str = ""


class RunRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One supervisor and its servers."""

    command: str
    """Command that started the run: up, demo or talk."""
    profile: str
    supervisor: ProcessId
    servers: list[ServerRecord] = []

    @property
    def orphans(self) -> list[ServerRecord]:
        """Servers that still run although their supervisor does not."""
        if self.supervisor.alive:
            return []
        return [s for s in self.servers if s.process is not None and s.process.alive]


_DECODER = msgspec.json.Decoder(RunRecord)


class RunRecords:
    """The records in one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self._runs = state_dir / "runs"
        self.logs = state_dir / "logs"

    def write(self, record: RunRecord) -> None:
        """Replace the record of a supervisor."""
        self._runs.mkdir(parents=True, exist_ok=True)
        path = self._path(record.supervisor)
        draft = path.with_suffix(".new")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
        draft.replace(path)

    def remove(self, supervisor: ProcessId) -> None:
        self._path(supervisor).unlink(missing_ok=True)

    def live(self) -> list[RunRecord]:
        """Return the runs with a live process, oldest first; records of the others are removed."""
        runs = []
        ours = (path for path in self._runs.glob("*.json") if path.stem.isdecimal())
        for path in sorted(ours, key=lambda path: int(path.stem)):
            record = _read(path)
            if record is not None and (record.supervisor.alive or record.orphans):
                runs.append(record)
            else:
                path.unlink(missing_ok=True)
        return runs

    def server_on(self, port: int) -> tuple[RunRecord, ServerRecord] | None:
        """Return the server of a live run that has this port."""
        for run in self.live():
            for server in run.servers:
                if server.port == port and server.process is not None and server.process.alive:
                    return run, server
        return None

    def log_path(self, name: str, port: int) -> Path:
        return self.logs / f"{name}-{port}.log"

    def log_paths(self, names: Iterable[str] = ()) -> dict[str, Path]:
        """Return the most recently written log of each server."""
        found: dict[str, Path] = {}
        for path in sorted(self.logs.glob("*-*.log"), key=lambda path: path.stat().st_mtime):
            found[path.stem.rpartition("-")[0]] = path
        wanted = set(names)
        return {name: path for name, path in found.items() if not wanted or name in wanted}

    def _path(self, supervisor: ProcessId) -> Path:
        return self._runs / f"{supervisor.pid}.json"


def _read(path: Path) -> RunRecord | None:
    try:
        return _DECODER.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def signal_run(run: RunRecord, number: signal.Signals) -> list[ProcessId]:
    """Signal the supervisor, or its orphans where it is gone; who was signalled."""
    targets = [run.supervisor, *(s.process for s in run.orphans if s.process is not None)]
    return [target for target in targets if target.send(number)]


def keep_last(log: Path) -> None:
    """Put a log aside, in place of the one before it: another run begins its own."""
    if log.exists():
        os.replace(log, log.with_suffix(".log.1"))


class ServerLog:
    """The log file of one server: begun anew at each run and when too large, the one before kept."""

    def __init__(self, path: Path, limit_bytes: int = MAX_LOG_BYTES) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._begin()

    def write(self, line: str) -> None:
        self._file.write(line + "\n")
        if self._file.tell() > self._limit_bytes:
            self._file.close()
            self._begin()

    def close(self) -> None:
        self._file.close()

    def _begin(self) -> None:
        keep_last(self.path)
        self._file = self.path.open("w", encoding="utf-8", errors="replace", buffering=1)
