"""The command line: what it says, what it refuses, and with which exit code."""

from __future__ import annotations

import io
import json
import os
import re
import threading
import wave
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from nemotron_speech import audio
from nemotron_speech.cli import doctor, talk
from nemotron_speech.cli import status as inspect_runs
from nemotron_speech.cli import up as commands
from nemotron_speech.cli.app import app
from nemotron_speech.cli.display import View, log_line
from nemotron_speech.cli.doctor import Check, CheckResult
from nemotron_speech.cli.settings import CliSettings
from nemotron_speech.cli.up import RunOptions
from nemotron_speech.errors import BadRequest
from nemotron_speech.supervisor.processes import ProcessId
from nemotron_speech.supervisor.profiles import PROFILES, Ports
from nemotron_speech.supervisor.records import RunRecord, RunRecords, ServerLog, ServerRecord
from nemotron_speech.supervisor.supervisor import ServerSpec, ServerState, ServerStatus

Run = Callable[..., Result]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEMOTRON_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def run(state: Path) -> Run:
    def invoke(*arguments: object, input: bytes | None = None) -> Result:
        return CliRunner().invoke(app, [str(a) for a in arguments], input=input, env={"COLUMNS": "200"})

    return invoke


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m", "", text))


# --------------------------------------------------------------------------------- settings and help


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, Path.home() / ".local/state/nemotron-speech"),
        ({"XDG_STATE_HOME": ""}, Path.home() / ".local/state/nemotron-speech"),
        ({"XDG_STATE_HOME": "/x"}, Path("/x/nemotron-speech")),
        ({"XDG_STATE_HOME": "/x", "NEMOTRON_STATE_DIR": "~/y"}, Path.home() / "y"),
    ],
)
def test_the_state_is_kept_where_the_user_wants_it(
    variables: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_STATE_HOME", "NEMOTRON_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert CliSettings().state_dir == folder


COMMANDS = ("demo", "talk", "transcribe", "say", "chat", "up", "down", "status", "logs", "doctor")


def test_help_names_every_command(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"nemotron {command}" in result.output.split("Examples")[1]


# ------------------------------------------------------------------------------ talk: what is wrong


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"this is not audio", "not a sound file"),
        (audio.wav(b"", 16000), "holds no audio"),
    ],
)
def test_what_is_not_a_recording_is_refused(run: Run, tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "question.wav"
    path.write_bytes(content)
    result = run("talk", path)
    assert result.exit_code == 2
    assert says in plain(result.stderr)


def test_a_missing_file_is_refused_with_what_to_type(run: Run, tmp_path: Path) -> None:
    result = run("talk", tmp_path / "missing.wav")
    assert result.exit_code == 2
    assert "no file" in result.stderr
    assert "arecord" in result.stderr


def test_a_folder_is_not_a_recording(run: Run, tmp_path: Path) -> None:
    result = run("talk", tmp_path)
    assert result.exit_code == 2
    assert "cannot read" in result.stderr


def test_empty_standard_input_is_refused(run: Run) -> None:
    result = run("talk", "-", input=b"")
    assert result.exit_code == 2
    assert "standard input is empty" in result.stderr


def test_a_profile_that_does_not_exist_is_refused(run: Run, question: Path) -> None:
    result = run("talk", question, "--profile", "quantum")
    assert result.exit_code == 2
    assert "embedded|local|cpu|gpu" in result.stderr


def test_a_model_that_does_not_exist_is_refused(run: Run) -> None:
    result = run("up", "--llm", "/no/such/model.gguf")
    assert result.exit_code == 2
    assert "/no/such/model.gguf is not there" in plain(result.stderr)


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of a web server that is none of ours."""
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_taken_port_is_refused_with_another(run: Run, stranger: int) -> None:
    result = run("up", "--asr-port", stranger, "--asr-engine", "scripted", "--tts-engine", "scripted")
    assert result.exit_code == 2
    assert f"port {stranger}" in plain(result.stderr)
    assert f"--asr-port {stranger + 10}" in plain(result.stderr)


@pytest.fixture
def question(tmp_path: Path) -> Path:
    path = tmp_path / "question.wav"
    path.write_bytes(audio.wav(b"\1\0" * 16000, 16000))
    return path


# -------------------------------------------------------------------------- talk: reading and writing


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_common_wav_is_read(tmp_path: Path, rate: int, channels: int, width: int) -> None:
    path = tmp_path / "question.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(bytes(rate * channels * width))
    clip = talk.read_question(str(path))
    assert clip.seconds == pytest.approx(1.0)
    assert len(clip.at(16000).samples) == pytest.approx(16000, abs=2)


def test_a_wav_whose_length_is_not_known_yet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "streamed.wav"
    path.write_bytes(audio.wav_header(16000) + b"\1\0" * 16000)
    assert talk.read_question(str(path)).seconds == pytest.approx(1.0)


def test_an_answer_has_a_real_header(tmp_path: Path) -> None:
    clip = audio.Clip(audio.from_pcm(b"\1\0" * 2205), 22050)
    talk.write_answer(str(tmp_path / "answer.wav"), clip)
    with wave.open(str(tmp_path / "answer.wav")) as file:
        assert (file.getframerate(), file.getnframes(), file.getsampwidth()) == (22050, 2205, 2)


def test_an_answer_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="choose another file"):
        talk.write_answer(str(tmp_path / "no" / "answer.wav"), audio.Clip(audio.from_pcm(b"\1\0"), 16000))


# --------------------------------------------------------------------------------- status and logs


def remember(folder: Path, **changes: object) -> ServerRecord:
    me = ProcessId.of(os.getpid())
    fields = {
        "name": "asr",
        "state": "ready",
        "port": 8080,
        "engine": "x",
        "process": me,
        "since": 0.0,
    } | changes
    server = ServerRecord(**fields)  # type: ignore[arg-type]
    RunRecords(folder).write(RunRecord(command="up", profile="embedded", supervisor=me, servers=[server]))
    return server


def test_without_servers_status_says_how_to_start_them(run: Run) -> None:
    result = run("status")
    assert result.exit_code == 0
    assert "nemotron up" in result.output


def test_status_shows_each_server(run: Run, state: Path) -> None:
    remember(state, restarts=3, state="crash loop", reason="ended 3 times in a row")
    line = plain(run("status").output)
    for part in ("asr", "crash loop", "8080", str(os.getpid()), " 3 ", "up ("):
        assert part in line


def test_status_is_available_as_json(run: Run, state: Path) -> None:
    remember(state)
    (found,) = json.loads(run("status", "--json").output)
    assert found["servers"][0]["port"] == 8080


def test_logs_without_any_say_how_to_get_some(run: Run) -> None:
    result = run("logs")
    assert result.exit_code == 2
    assert "nemotron up" in plain(result.stderr)


def test_logs_show_the_last_lines_behind_the_servers_name(run: Run, state: Path) -> None:
    for name in ("asr", "tts"):
        log = ServerLog(RunRecords(state).log_path(name, 1))
        for number in range(9):
            log.write(f"{name} line {number}")
        log.close()
    output = run("logs", "asr", "-n", 2).output
    assert output.splitlines() == ["asr │ asr line 7", "asr │ asr line 8"]
    assert "tts line 8" in run("logs").output


def test_logs_of_an_unknown_server_are_answered_with_the_known(run: Run, state: Path) -> None:
    ServerLog(RunRecords(state).log_path("asr", 1)).close()
    result = run("logs", "nobody")
    assert result.exit_code == 2
    assert "one of: asr" in plain(result.stderr)


def test_a_log_is_followed_across_a_new_beginning(tmp_path: Path) -> None:
    path = tmp_path / "asr-1.log"
    log = ServerLog(path)
    log.write("old")
    tail = inspect_runs.Tail(path)
    assert tail.last(10) == ["old"]
    log.write("older than the new one")
    log.close()
    log = ServerLog(path)
    log.write("new")
    assert list(tail.new()) == ["older than the new one", "new"]
    log.close()


def test_half_a_line_is_shown_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "asr-1.log"
    path.write_text("whole\nha")
    tail = inspect_runs.Tail(path)
    assert tail.last(10) == ["whole"]
    with path.open("a") as file:
        file.write("lf\n")
    assert list(tail.new()) == ["half"]


def test_down_without_servers_is_no_error(run: Run) -> None:
    assert run("down").exit_code == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (59.9, "59 s"), (60, "1 min 0 s"), (3725, "1 h 2 min"), (90061, "1 d 1 h")],
)
def test_durations_are_said_in_two_units(seconds: float, words: str) -> None:
    assert inspect_runs.duration(seconds) == words


# ----------------------------------------------------------------------------------------- display


def shown(*statuses: ServerStatus, lines: Sequence[str] = (), verbose: bool = False) -> str:
    console = Console(file=io.StringIO(), width=120)
    view = View(console, [status.spec for status in statuses], verbose=verbose)
    with view.starting():
        for status in statuses:
            view.changed(status)
    for line in lines:
        view.line("asr", line)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


ASR = ServerSpec("asr", (), 8080, "", engine="x")


def test_without_a_terminal_progress_is_a_line_per_server() -> None:
    assert shown(ServerStatus(ASR, ServerState.READY)) == "asr │ ready on port 8080\n"


def test_troubles_are_shown_whoever_watches() -> None:
    text = shown(ServerStatus(ASR, ServerState.CRASH_LOOP, reason="ended 3 times in a row"))
    assert "crash loop: ended 3 times in a row" in text


def test_server_lines_are_shown_only_when_asked_for() -> None:
    assert shown(ServerStatus(ASR), lines=["a line"]) == ""
    assert shown(ServerStatus(ASR), lines=["a line"], verbose=True) == "asr │ a line\n"


def test_markup_in_a_log_line_is_text() -> None:
    assert log_line("asr", "[bold]x[/]").plain == "asr │ [bold]x[/]"


def test_a_detached_up_asks_for_the_same_servers(tmp_path: Path) -> None:
    wanted = RunOptions("embedded", tmp_path / "m.gguf", Ports(asr=1), "scripted", None)
    arguments = wanted.arguments()
    assert arguments[arguments.index("--asr-port") + 1] == "1"
    assert arguments[arguments.index("--llm") + 1] == str(tmp_path / "m.gguf")
    assert arguments[arguments.index("--asr-engine") + 1] == "scripted"
    assert "--tts-engine" not in arguments


def test_the_recogniser_s_model_and_look_ahead_reach_its_server(tmp_path: Path) -> None:
    (tmp_path / "mine.nemo").touch()
    wanted = RunOptions("embedded", asr_model=str(tmp_path / "mine.nemo"), right_context=6)
    flags = ["--model", str(tmp_path / "mine.nemo"), "--right-context", "6"]
    assert wanted.arguments()[-4:] == flags
    asr, tts, _ = wanted.servers()
    assert list(asr.argv[-4:]) == flags
    assert "--model" not in tts.argv


def test_a_look_ahead_no_model_has_is_refused_with_those_there_are(run: Run) -> None:
    result = run("up", "--right-context", "2")
    assert result.exit_code == 2
    assert "--right-context is 2; choose one of 0, 1, 6, 13" in " ".join(result.output.split())


def test_no_browser_is_opened_without_a_terminal() -> None:
    assert commands.has_browser() is False


# ------------------------------------------------------------------------------------------ doctor


def test_doctor_says_it_in_json(run: Run) -> None:
    result = run("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(result.output)}
    assert checks["python"]["verdict"] == "ok"
    assert {
        "profile embedded",
        "profile local",
        "profile cpu",
        "profile gpu",
        "asr port",
        "sound device",
        "models",
    } <= set(checks)
    assert result.exit_code == int(any(check["verdict"] == "bad" for check in checks.values()))


def test_doctor_shows_each_check_with_its_mend(run: Run) -> None:
    output = plain(run("doctor").output)
    for part in ("profile embedded", "profile gpu", "→", "--llm"):
        assert part in output


@pytest.mark.parametrize(
    "check",
    [
        doctor.python_check((3, 10, 2)),
        doctor.cores_check(1),
        doctor.memory_check(0.5),
        doctor.disk_check(0.1),
        doctor.pipecat_check(None),
        doctor.page_check(None),
        doctor.browser_check(None),
    ],
)
def test_what_is_wrong_comes_with_what_mends_it(check: Check) -> None:
    assert check.verdict is not CheckResult.OK
    assert check.mend


@pytest.mark.parametrize(
    "check",
    [
        doctor.python_check((3, 11, 0)),
        doctor.cores_check(2),
        doctor.memory_check(8),
        doctor.disk_check(50),
        doctor.gpu_check(["NVIDIA T4, 15360 MiB, 570.1"]),
        doctor.pipecat_check("1.14.0"),
        doctor.browser_check("firefox"),
        doctor.sound_check(lambda: "Speakers"),
        doctor.profile_check(PROFILES["embedded"]),
    ],
)
def test_what_is_right_needs_no_mending(check: Check) -> None:
    assert check.verdict is CheckResult.OK
    assert check.mend == ""


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (ModuleNotFoundError("sounddevice"), "uv sync --extra play --inexact"),
        (OSError("PortAudio library not found"), "apt"),
    ],
)
def test_a_missing_sound_device_is_only_a_note(error: Exception, mend: str) -> None:
    def device() -> str:
        raise error

    check = doctor.sound_check(device)
    assert check.verdict is CheckResult.NOTE
    assert mend in check.mend


def test_models_are_found_where_people_keep_them(tmp_path: Path) -> None:
    for name in ("a.gguf", "sub/b.gguf", "c-00001-of-00002.gguf", "c-00002-of-00002.gguf", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = {path.name for path in doctor.find_models([tmp_path, tmp_path / "none"])}
    assert found == {"a.gguf", "b.gguf", "c-00001-of-00002.gguf"}
    assert "--llm" in doctor.models_check(sorted(tmp_path.glob("*.gguf"))).mend


async def test_a_stranger_on_a_port_is_bad_news(stranger: int) -> None:
    checks = await doctor.port_checks(Ports(asr=stranger))
    assert checks[0].verdict is CheckResult.BAD
    assert f"--asr-port {stranger + 10}" in checks[0].mend
