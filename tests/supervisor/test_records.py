"""Records of runs, log files, and ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nemotron_speech.supervisor.ports import holder, is_free
from nemotron_speech.supervisor.processes import ProcessId
from nemotron_speech.supervisor.records import RunRecord, RunRecords, ServerLog, ServerRecord, signal_run

DEAD = ProcessId(2**22 - 1, "long ago")


def me() -> ProcessId:
    return ProcessId.of(os.getpid())


def record(supervisor: ProcessId, process: ProcessId | None, port: int = 8080) -> RunRecord:
    server = ServerRecord(name="asr", state="ready", port=port, process=process)
    return RunRecord(command="up", profile="embedded", supervisor=supervisor, servers=[server])


@pytest.fixture
def records(tmp_path: Path) -> RunRecords:
    return RunRecords(tmp_path)


def test_a_live_run_is_read_back_as_it_was_written(records: RunRecords) -> None:
    run = record(me(), me())
    records.write(run)
    assert records.live() == [run]
    assert records.server_on(8080) == (run, run.servers[0])
    assert records.server_on(8081) is None


def test_a_run_of_which_nothing_lives_is_forgotten(records: RunRecords, tmp_path: Path) -> None:
    records.write(record(DEAD, DEAD))
    assert records.live() == []
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_dead_supervisor_with_a_live_server_leaves_an_orphan(records: RunRecords) -> None:
    run = record(DEAD, me())
    records.write(run)
    assert records.live() == [run]
    assert run.orphans == run.servers


def test_a_removed_run_is_gone(records: RunRecords) -> None:
    records.write(record(me(), me()))
    records.remove(me())
    assert records.live() == []


def test_a_broken_record_is_removed_rather_than_believed(records: RunRecords, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "17.json").write_text('{"half')
    assert records.live() == []


def test_signals_reach_the_supervisor_and_nobody_with_its_old_pid() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        real = ProcessId.of(child.pid)
        assert signal_run(record(ProcessId(child.pid, "other"), None), signal.SIGTERM) == []
        assert child.poll() is None
        assert signal_run(record(real, DEAD), signal.SIGTERM) == [real]
        assert child.wait(20) == -signal.SIGTERM
    finally:
        child.kill()
        child.wait()


def test_a_log_begins_anew_and_keeps_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "asr-8080.log"
    for text in ("first run", "second run"):
        log = ServerLog(path)
        log.write(text)
        log.close()
    assert path.read_text() == "second run\n"
    assert path.with_suffix(".log.1").read_text() == "first run\n"


def test_a_log_never_grows_beyond_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "asr-8080.log"
    log = ServerLog(path, limit_bytes=100)
    for number in range(1000):
        log.write(f"line {number}")
    log.close()
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 220
    assert "line 999" in path.read_text() + path.with_suffix(".log.1").read_text()


def test_the_newest_log_of_each_server_is_found(records: RunRecords) -> None:
    for port, age in ((8080, 100), (8090, 0)):
        ServerLog(records.log_path("asr", port)).close()
        os.utime(records.log_path("asr", port), (1e9 - age, 1e9 - age))
    assert records.log_paths() == {"asr": records.log_path("asr", 8090)}


def test_a_listener_is_named_by_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        if sys.platform == "linux":
            assert holder(port).pid == os.getpid()
            assert str(os.getpid()) in str(holder(port))
    assert is_free("127.0.0.1", port)
    assert holder(port).pid is None
