"""Operation of the servers: where they listen, what a terminal and a pipe show, the supervisor's log."""

from __future__ import annotations

import io
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from nemotron_speech import invocation
from nemotron_speech.cli import app as cli
from nemotron_speech.cli import status as inspect_runs
from nemotron_speech.cli import up as commands
from nemotron_speech.cli.display import View
from nemotron_speech.cli.settings import ListeningHosts
from nemotron_speech.cli.up import RunOptions, page_url
from nemotron_speech.settings import read
from nemotron_speech.supervisor.plan import PortTaken
from nemotron_speech.supervisor.processes import ProcessId
from nemotron_speech.supervisor.profiles import Ports, bot_server
from nemotron_speech.supervisor.records import RunRecord, RunRecords, ServerRecord, keep_last
from nemotron_speech.supervisor.supervisor import ServerSpec, ServerState, ServerStatus

SCRIPTED = ("--asr-engine", "scripted", "--tts-engine", "scripted")
HOSTS = ("NEMOTRON_ASR_HOST", "NEMOTRON_TTS_HOST")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEMOTRON_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("NEMOTRON_ENV_FILE", "none")
    for name in HOSTS:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def listening(specs: list[ServerSpec]) -> list[tuple[str, str, str]]:
    """Return each server's name, the address it is told to listen on, and where its health is asked for."""
    return [(s.name, s.argv[s.argv.index("--host") + 1], s.health_url.split("/")[2]) for s in specs]


# ------------------------------------------------------------------------------- where they listen


@pytest.mark.parametrize(
    ("host", "environment", "addresses"),
    [
        (None, {}, ["127.0.0.1"] * 3),
        ("0.0.0.0", {}, ["0.0.0.0"] * 3),
        (None, {"NEMOTRON_ASR_HOST": "0.0.0.0"}, ["0.0.0.0", "127.0.0.1", "127.0.0.1"]),
        (None, {"NEMOTRON_ASR_HOST": ""}, ["127.0.0.1"] * 3),
        ("127.0.0.1", {"NEMOTRON_ASR_HOST": "0.0.0.0", "NEMOTRON_TTS_HOST": "::"}, ["127.0.0.1"] * 3),
    ],
)
def test_servers_listen_where_the_flag_else_their_setting_says(
    host: str | None, environment: dict[str, str], addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    specs = RunOptions(asr_engine="scripted", tts_engine="scripted", host=host).servers()
    assert [told for _, told, _ in listening(specs)] == addresses
    assert {asked.rpartition(":")[0] for _, _, asked in listening(specs)} == {"127.0.0.1"}
    assert [spec.host for spec in specs] == addresses


@pytest.mark.parametrize(
    ("host", "url", "health"),
    [
        ("127.0.0.1", "http://localhost:7860/client", "http://127.0.0.1:7860/health"),
        ("0.0.0.0", "http://localhost:7860/client", "http://127.0.0.1:7860/health"),
        ("::", "http://localhost:7860/client", "http://[::1]:7860/health"),
        ("10.0.0.7", "http://10.0.0.7:7860/client", "http://10.0.0.7:7860/health"),
    ],
)
def test_the_page_is_opened_where_it_is_served(host: str, url: str, health: str) -> None:
    page = bot_server("interleaved", Ports(), host=host)
    assert (page_url(host, 7860), page.health_url) == (url, health)
    assert listening([page])[0][1] == host
    assert page.env["NVIDIA_ASR_URL"] == "ws://127.0.0.1:8080", "the servers stay where they are"


@pytest.mark.parametrize("host", ["203.0.113.9", "no.such.host.invalid"])
def test_an_address_that_this_machine_does_not_have_is_refused(host: str) -> None:
    result = CliRunner().invoke(cli.app, ["up", "-d", "--host", host, *SCRIPTED])
    assert result.exit_code == 2
    assert f"asr cannot listen on {host}" in " ".join(result.output.split())


def test_a_detached_up_listens_where_it_was_asked_to() -> None:
    arguments = RunOptions(host="0.0.0.0").arguments()
    assert arguments[arguments.index("--host") + 1] == "0.0.0.0"
    assert "--host" not in RunOptions().arguments()


def test_settings_of_hosts_are_read() -> None:
    assert read(ListeningHosts).or_all(None).asr == "127.0.0.1"


# ------------------------------------------------------------------------------------ what is shown


LONG = "Nemotron-3-Nano-30B-A3B-Instruct-Q4_K_M.gguf"
REASON = "ended 3 times in a row; the last time it was killed by signal SIGKILL"


def remember(state: Path) -> None:
    me = ProcessId.of(os.getpid())
    servers = [
        ServerRecord(
            name=name, state=shown, port=18080, engine=LONG, process=me, since=1.0, restarts=12, reason=REASON
        )
        for name, shown in (("asr", "crash loop"), ("tts", "restarting"), ("llm", "ready"))
    ]
    RunRecords(state).write(RunRecord(command="demo", profile="embedded", supervisor=me, servers=servers))


@pytest.mark.parametrize("width", [80, 100])
def test_a_narrow_terminal_shows_every_state_and_pid_whatever_else_is_long(
    width: int, surroundings: Path
) -> None:
    remember(surroundings)
    out = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    inspect_runs.status(out, as_json=False)
    assert isinstance(out.file, io.StringIO)
    lines = out.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for name, first_word in (("asr", "crash"), ("tts", "restarting"), ("llm", "ready")):
        (line,) = [line for line in lines if line.startswith(name)]
        assert first_word in line
        assert "18080" in line
        assert str(os.getpid()) in line


def test_a_pipe_gets_a_line_for_each_server(surroundings: Path) -> None:
    remember(surroundings)
    lines = CliRunner().invoke(cli.app, ["status"]).output.splitlines()
    assert len(lines) == 4
    for line in lines[1:]:
        assert LONG in line
        assert REASON in line
        assert str(os.getpid()) in line


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("nemotron up", "uv run nemotron up"),
        ("nemotron demo --llm ~/models/nemotron.gguf", "uv run nemotron demo --llm ~/models/nemotron.gguf"),
        ("nemotron up -d && python -m x", "uv run nemotron up -d && uv run python -m x"),
        ("nemotron talk - -o - < q.wav | aplay", "uv run nemotron talk - -o - < q.wav | aplay"),
    ],
)
def test_a_line_is_shown_as_it_is_typed_here(line: str, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invocation.prefixed(line) == typed
    monkeypatch.setattr(invocation, "CHECKOUT", Path("/nowhere"))
    assert invocation.prefixed(line) == line


@pytest.mark.parametrize("command", ["demo", "talk", "up", "down", "status", "logs", "doctor", "bench"])
def test_examples_work_where_they_are_shown(command: str) -> None:
    arguments = [command, "asr", "--help"] if command == "bench" else [command, "--help"]
    output = CliRunner().invoke(cli.app, arguments, env={"COLUMNS": "200"}).output
    examples = re.findall(r"^ +(\S.*)$", output[output.index("Examples") :], re.MULTILINE)
    assert examples
    assert [line for line in examples if re.match(r"nemotron |python ", line)] == []


# --------------------------------------------------------------------------------- the supervisor's log


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_a_second_up_leaves_the_log_of_the_first_alone(surroundings: Path, taken: int) -> None:
    log = RunRecords(surroundings).log_path("supervisor", taken)
    log.parent.mkdir(parents=True)
    log.write_text("of the first\n")
    wanted = RunOptions(ports=Ports(asr=taken), asr_engine="scripted", tts_engine="scripted")
    with pytest.raises(PortTaken):
        await commands.up_detached(Console(quiet=True), wanted)
    assert log.read_text() == "of the first\n"


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "supervisor-1.log"
    keep_last(log)
    assert not list(tmp_path.glob("*.1"))
    log.write_text("before")
    keep_last(log)
    assert (tmp_path / "supervisor-1.log.1").read_text() == "before"
    assert not log.exists()


def test_what_the_supervisor_says_stands_among_the_servers_lines_at_its_time() -> None:
    console = Console(file=io.StringIO(), width=120)
    spec = ServerSpec("asr", (), 8080, "", engine="x")
    View(console, [spec], verbose=False, stamped=True).changed(ServerStatus(spec, ServerState.READY))
    assert isinstance(console.file, io.StringIO)
    line = console.file.getvalue().strip()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ asr │ ready on port 8080", line)
    lines = {
        "asr": ["2020-01-01 00:00:00.000 | early", "2999-01-01 00:00:00.000 | late"],
        "supervisor": [line],
    }
    assert [name for name, _ in inspect_runs.by_time(lines)] == ["asr", "supervisor", "asr"]
