"""What is started, what is used as it runs, and what is in the way."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nemotron_speech.supervisor.health import Health, HealthReport, understand
from nemotron_speech.supervisor.plan import AlreadyRunning, Plan, PortTaken, plan, running
from nemotron_speech.supervisor.processes import ProcessId
from nemotron_speech.supervisor.records import RunRecord, RunRecords, ServerRecord
from nemotron_speech.supervisor.supervisor import ServerSpec, ServerState, ServerStatus
from tests.supervisor.fakes import Notes


@pytest.fixture
def taken() -> Iterator[int]:
    """A port this very process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def records(tmp_path: Path) -> RunRecords:
    return RunRecords(tmp_path)


def spec(port: int, name: str = "asr", engine: str = "pocketsphinx") -> ServerSpec:
    return ServerSpec(name, ("true",), port, f"http://127.0.0.1:{port}/health", engine=engine)


def says(*reports: HealthReport):
    """A server that gives these answers, the last one for ever."""
    answers = list(reports)

    async def probe(url: str) -> HealthReport:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    return probe


HEALTHY = HealthReport(Health.HEALTHY, "pocketsphinx")
SILENT = HealthReport(Health.SILENT)


def remember(records: RunRecords, port: int, engine: str = "pocketsphinx", name: str = "asr") -> None:
    me = ProcessId.of(os.getpid())
    server = ServerRecord(name=name, state="ready", port=port, engine=engine, process=me)
    records.write(RunRecord(command="up", profile="embedded", supervisor=me, servers=[server]))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


async def test_a_server_on_a_free_port_is_started(records: RunRecords) -> None:
    wanted = spec(free_port())
    assert await plan([wanted], says(SILENT), records, reuse=True) == Plan((wanted,))


async def test_a_healthy_server_of_the_same_engine_is_reused(records: RunRecords, taken: int) -> None:
    wanted = spec(taken)
    assert await plan([wanted], says(HEALTHY), records, reuse=True) == Plan((), (wanted,))


async def test_a_server_that_is_still_loading_is_waited_for(records: RunRecords, taken: int) -> None:
    remember(records, taken)
    probe = says(HealthReport(Health.LOADING, status="loading"), HEALTHY)
    assert (await plan([spec(taken)], probe, records, reuse=True)).reuse == (spec(taken),)


async def test_a_server_with_another_engine_is_not_passed_off_as_the_one_asked_for(
    records: RunRecords, taken: int
) -> None:
    remember(records, taken, "scripted")
    with pytest.raises(AlreadyRunning, match=r"scripted.*wanted is asr \(pocketsphinx\)"):
        await plan([spec(taken)], says(HEALTHY), records, reuse=True)


async def test_our_own_server_of_an_earlier_run_is_named_as_such(records: RunRecords, taken: int) -> None:
    remember(records, taken)
    with pytest.raises(AlreadyRunning, match=r"`nemotron up`.*nemotron status.*nemotron down"):
        await plan([spec(taken)], says(HEALTHY), records, reuse=False)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens")
@pytest.mark.parametrize(
    "report", [SILENT, HealthReport(Health.STRANGE), HealthReport(Health.HEALTHY, "other")]
)
async def test_a_stranger_on_the_port_is_named_with_what_to_type(
    records: RunRecords, taken: int, report: HealthReport
) -> None:
    with pytest.raises(PortTaken, match=rf"pid {os.getpid()} .*--asr-port {taken + 10}"):
        await plan([spec(taken)], says(report), records, reuse=True)


async def test_a_healthy_stranger_is_in_the_way_of_up(records: RunRecords, taken: int) -> None:
    with pytest.raises(PortTaken):
        await plan([spec(taken)], says(HEALTHY), records, reuse=False)


@pytest.mark.parametrize(
    ("code", "body", "health"),
    [
        (200, {"status": "healthy", "engine": "x"}, Health.HEALTHY),
        (200, {"status": "ok"}, Health.HEALTHY),
        (200, None, Health.HEALTHY),
        (503, {"status": "loading"}, Health.LOADING),
        (503, {"error": {"message": "Loading model"}}, Health.LOADING),
        (503, ["?"], Health.LOADING),
        (503, {"status": "failed", "message": "no model"}, Health.FAILED),
        (404, None, Health.STRANGE),
        (307, None, Health.STRANGE),
    ],
)
def test_a_health_answer_is_understood(code: int, body: object, health: Health) -> None:
    assert understand(code, body).health is health


SERVER = """
import http.server, sys
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args): pass
print("serving", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy).serve_forever()
"""


def real_server(port: int) -> ServerSpec:
    argv = (sys.executable, "-c", SERVER, str(port))
    return ServerSpec("asr", argv, port, f"http://127.0.0.1:{port}/health", engine="tiny", ready_timeout=30)


async def test_a_real_server_runs_is_recorded_and_leaves_nothing(records: RunRecords) -> None:
    wanted, notes = real_server(free_port()), Notes()
    async with running(Plan((wanted,)), "up", "embedded", records, notes) as supervisor:
        await supervisor.ready()
        (run,) = records.live()
        (server,) = run.servers
        assert (server.state, server.engine, server.port) == ("ready", "tiny", wanted.port)
        assert server.process is not None
        assert server.process.alive
    assert records.live() == []
    assert not server.process.alive
    assert ("asr", "serving") in notes.lines
    assert "serving" in records.log_path("asr", wanted.port).read_text()


async def test_a_real_server_that_is_killed_comes_back(records: RunRecords) -> None:
    import asyncio
    import signal

    back = asyncio.Event()

    class Watcher(Notes):
        def changed(self, status: ServerStatus) -> None:
            super().changed(status)
            if status.state is ServerState.READY and status.restarts == 1:
                back.set()

    wanted = real_server(free_port())
    async with running(Plan((wanted,)), "up", "embedded", records, Watcher()) as supervisor:
        await supervisor.ready()
        first = supervisor.statuses[0].process
        assert first is not None
        assert first.send(signal.SIGKILL)
        await asyncio.wait_for(back.wait(), 30)
        assert supervisor.statuses[0].process != first
    log = records.log_path("asr", wanted.port).read_text()
    assert "was killed by signal SIGKILL" in log
