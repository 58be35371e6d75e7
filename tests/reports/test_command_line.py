"""The command line in odd places: one line that says what to do, exit code 1 or 2, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nemotron_speech import audio
from nemotron_speech.cli import app as cli
from nemotron_speech.cli import status as inspect_runs
from nemotron_speech.cli import up as commands
from nemotron_speech.engines import requirements
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.supervisor.processes import ProcessId
from nemotron_speech.supervisor.records import RunRecord, RunRecords, ServerRecord


def run(
    *arguments: str | Path, env: Mapping[str, str] | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run the `nemotron` command in a process of its own."""
    environment = {**os.environ, "NEMOTRON_ENV_FILE": "none", "COLUMNS": "200", **(env or {})}
    command = [sys.executable, "-m", "nemotron_speech.cli", *map(str, arguments)]
    return subprocess.run(
        command,
        env=environment,
        text=True,
        capture_output="stdout" not in options,
        timeout=60,
        **options,  # type: ignore[call-overload]
    )


def assert_one_clear_line(
    result: subprocess.CompletedProcess[str], says: str, code: tuple[int, ...] = (1, 2)
) -> None:
    assert "Traceback" not in result.stderr
    assert says in result.stderr + (result.stdout or "")
    assert result.returncode in code


@pytest.fixture
def question(tmp_path: Path) -> Path:
    path = tmp_path / "q.wav"
    path.write_bytes(audio.wav(b"\1\0" * 8000, 16000))
    return path


@pytest.mark.parametrize("home", ["/sys/kernel", "/etc/hostname"])
@pytest.mark.parametrize("command", [("up", "-d"), ("status",)])
def test_a_home_that_cannot_be_written_is_named(home: str, command: tuple[str, ...]) -> None:
    flags = () if command == ("status",) else ("--asr-engine", "scripted", "--tts-engine", "scripted")
    result = run(*command, *flags, env={"HOME": home, "XDG_STATE_HOME": "", "NEMOTRON_STATE_DIR": ""})
    if command == ("status",):  # nothing is written, nothing runs
        assert "Traceback" not in result.stderr
    else:
        assert_one_clear_line(result, "NEMOTRON_STATE_DIR")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def expanduser(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", expanduser)
    for name in ("NEMOTRON_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(cli.app, ["status"])
    assert result.exit_code == 2
    assert "NEMOTRON_STATE_DIR" in result.stderr


def test_foreign_files_in_the_state_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "notes.json").write_text("{}")
    assert RunRecords(tmp_path).live() == []
    assert (tmp_path / "runs" / "notes.json").exists()


def test_a_closed_standard_input_is_said() -> None:
    command = f"{sys.executable} -m nemotron_speech.cli talk - <&-"
    environment = {**os.environ, "NEMOTRON_ENV_FILE": "none"}
    result = subprocess.run(
        ["sh", "-c", command], env=environment, text=True, capture_output=True, timeout=60
    )
    assert_one_clear_line(result, "standard input is", code=(2,))


def test_a_full_terminal_is_said(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        result = run("status", env={"NEMOTRON_STATE_DIR": str(tmp_path)}, stdout=full, stderr=subprocess.PIPE)
    assert_one_clear_line(result, "cannot write the output: No space left on device", code=(1,))
    assert "Exception ignored" not in result.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_what_a_terminal_cannot_show_is_replaced(encoding: str, tmp_path: Path) -> None:
    result = run("doctor", env={"PYTHONIOENCODING": encoding, "NEMOTRON_STATE_DIR": str(tmp_path)})
    assert "Traceback" not in result.stderr
    assert "python" in result.stdout


@pytest.mark.parametrize("command", ["up", "demo", "talk"])
def test_two_servers_on_one_port_are_refused(command: str, question: Path) -> None:
    arguments = [command, *([str(question)] if command == "talk" else [])]
    result = CliRunner().invoke(cli.app, [*arguments, "--asr-port", "18390", "--tts-port", "18390"])
    assert result.exit_code == 2
    assert "--asr-port and --tts-port are both 18390" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [("asr", "--file", "q.wav", "--url", "ws://127.0.0.1:9"), ("tts", "--url", "http://127.0.0.1:9")],
)
def test_a_benchmark_without_a_server_says_so(
    arguments: tuple[str, ...], question: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(question.parent)
    result = CliRunner().invoke(cli.app, ["bench", *arguments])
    assert result.exit_code == 1
    assert "nothing answers" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("module", "variable", "says"),
    [
        ("server", "NEMOTRON_ASR_ENGINE=whisper", "--extra whisper"),
        ("tts_server", "NEMOTRON_TTS_ENGINE=kokoro", "--extra kokoro"),
    ],
)
def test_an_engine_that_is_not_installed_ends_the_server_with_what_to_type(
    module: str, variable: str, says: str
) -> None:
    name, _, engine = variable.partition("=")
    program = (
        "import sys; from nemotron_speech.engines import requirements;"
        "requirements._importable = lambda module: False;"
        f"from nemotron_speech.{module} import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, name: engine, "NEMOTRON_ENV_FILE": "none"},
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert_one_clear_line(result, says, code=(2,))


def test_the_version_is_shown() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.startswith("nemotron-speech 0.")


def test_a_line_of_env_that_is_none_ends_every_command(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("no setting at all\n")
    result = run("status", env={"NEMOTRON_ENV_FILE": str(tmp_path / ".env")})
    assert_one_clear_line(result, "line 1", code=(2,))


def test_commands_are_shown_as_they_are_typed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    from nemotron_speech import invocation

    assert "uv run nemotron up" in inspect_runs.NOTHING_RUNS
    monkeypatch.setattr(invocation, "CHECKOUT", Path("/nowhere"))
    assert invocation.command("up") == "nemotron up"
    assert invocation.install(["piper", "whisper"]) == "pip install 'nemotron-speech[piper,whisper]'"


# --------------------------------------------------------------------------------- what an operator sees


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEMOTRON_STATE_DIR", str(tmp_path))
    return tmp_path


def remember(state: Path, command: str = "up") -> RunRecord:
    me = ProcessId.of(os.getpid())
    servers = [
        ServerRecord(name=name, state="ready", port=18080, engine="pocketsphinx", process=me, since=1.0)
        for name in ("asr", "tts", "llm", "bot")
    ]
    record = RunRecord(command=command, profile="embedded", supervisor=me, servers=servers)
    RunRecords(state).write(record)
    return record


@pytest.mark.parametrize("width", [80, 60])
def test_status_keeps_state_and_process_on_a_narrow_terminal(
    width: int, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    remember(state)
    output = CliRunner().invoke(cli.app, ["status"]).output
    assert output.count("ready") == 4
    assert output.count(str(os.getpid())) >= 4


def test_a_run_that_is_not_there_is_not_stopped(state: Path) -> None:
    remember(state, "demo")
    result = CliRunner().invoke(cli.app, ["down", "talk"])
    assert result.exit_code == 2
    assert f"there is: demo ({os.getpid()})" in " ".join(result.stderr.split())


def test_one_run_is_chosen_by_its_command_or_its_process(state: Path) -> None:
    runs = [remember(state, "demo"), remember(state, "up")]
    assert inspect_runs._chosen(runs, ["up"]) == runs[1:]
    assert inspect_runs._chosen(runs, [str(os.getpid())]) == runs
    assert inspect_runs._chosen(runs, []) == runs


def test_logs_are_in_the_order_of_time() -> None:
    lines = {
        "asr": ["2026-11-30 10:00:01.000 | one", "  more of one", "2026-11-30 10:00:03.000 | three"],
        "tts": ["\x1b[32m2026-11-30 10:00:02,500\x1b[0m two"],
    }
    assert [name for name, _ in inspect_runs.by_time(lines)] == ["asr", "asr", "tts", "asr"]


def test_options_of_engines_reach_their_servers() -> None:
    wanted = commands.RunOptions(asr_options=["workers=1"], tts_options=["speed=2"])
    asr, tts, _ = wanted.servers()
    assert asr.argv[-2:] == ("--option", "workers=1")
    assert tts.argv[-2:] == ("--option", "speed=2")
    assert wanted.arguments()[-4:] == ["--asr-option", "workers=1", "--tts-option", "speed=2"]
    with pytest.raises(ConfigurationError, match="NAME=VALUE"):
        commands.RunOptions(tts_options=["speed"]).servers()


def test_servers_that_run_are_used_whatever_their_engine() -> None:
    assert commands.RunOptions().any_engine == {"asr", "tts", "llm"}
    assert commands.RunOptions(tts_engine="espeak").any_engine == {"asr", "llm"}
    assert commands.RunOptions(profile="cpu").any_engine == set()


def test_a_voice_without_its_files_is_not_offered() -> None:
    machine = requirements.Machine(
        engines=lambda: ((), ("kokoro",)),
        importable=lambda module: True,
        has_file=lambda path: False,
        has_model=lambda name: False,
    )
    (lacks,) = requirements.voices(machine)["kokoro"]
    assert "kokoro-v1.0.onnx" in lacks.what
    assert "nemotron models pull kokoro-heart" in lacks.mend


def test_a_voice_whose_model_is_in_the_catalogue_and_here_is_offered() -> None:
    machine = requirements.Machine(
        engines=lambda: ((), ("kokoro",)),
        importable=lambda module: True,
        has_file=lambda path: False,
        has_model=lambda name: name == "kokoro-heart",
    )
    assert requirements.voices(machine) == {"kokoro": []}
