"""`nemotron` as a process of its own, with real servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from nemotron_speech import audio, sound_files
from nemotron_speech.supervisor.processes import ProcessId, wait_until_gone
from nemotron_speech.supervisor.records import RunRecord, RunRecords
from tests.llama.server import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the guarantees of Linux")

LIMIT_S = 100
"""A bound for a loaded machine, not an expectation."""
SCRIPTED = ("--asr-engine", "scripted", "--tts-engine", "scripted")


class Nemotron:
    """Runs the command with a state folder and ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.ports = {name: free_port() for name in ("asr", "tts", "llm", "bot")}
        self._records = RunRecords(folder / "state")
        self._env = {**os.environ, "NEMOTRON_STATE_DIR": str(folder / "state"), "COLUMNS": "200"}

    def server_ports(self) -> list[str]:
        return [part for name in ("asr", "tts", "llm") for part in (f"--{name}-port", str(self.ports[name]))]

    def run(self, *arguments: str, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "nemotron_speech.cli", *arguments]
        return subprocess.run(
            command, env=self._env, input=input, capture_output=True, timeout=LIMIT_S, check=False
        )

    @contextmanager
    def running(self, *arguments: str, until: str) -> Iterator[subprocess.Popen[str]]:
        """The command in the background, once it has printed `until`."""
        process = subprocess.Popen(
            [sys.executable, "-m", "nemotron_speech.cli", *arguments],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        try:
            output = ""
            for line in process.stdout:
                output += line
                if until in line:
                    break
            else:
                raise AssertionError(f"it ended without {until!r}:\n{output}")
            yield process
        finally:
            process.kill()
            process.communicate()

    def live(self) -> list[RunRecord]:
        return self._records.live()

    def processes(self) -> list[ProcessId]:
        return [s.process for run in self.live() for s in run.servers if s.process is not None]


@pytest.fixture
def nemotron(tmp_path: Path) -> Iterator[Nemotron]:
    command = Nemotron(tmp_path)
    yield command
    if command.live():
        command.run("down")


@pytest.fixture
def question(tmp_path: Path) -> Path:
    path = tmp_path / "question.wav"
    tone = (np.sin(np.arange(32000) / 5) * 8000).astype(np.int16)
    path.write_bytes(audio.wav(tone.tobytes(), 16000))
    return path


@pytest.mark.e2e
def test_up_in_the_background_talk_and_down(nemotron: Nemotron, question: Path, tmp_path: Path) -> None:
    servers = (*nemotron.server_ports(), *SCRIPTED)
    up = nemotron.run("up", "-d", *servers)
    assert (up.returncode, up.stderr) == (0, b"")
    processes = nemotron.processes()
    assert len(processes) == 3
    status = json.loads(nemotron.run("status", "--json").stdout)
    assert [server["state"] for server in status[0]["servers"]] == ["ready"] * 3

    again = nemotron.run("up", *servers)
    assert again.returncode == 2
    assert b"nemotron down" in again.stderr

    answer = tmp_path / "answer.wav"
    talk = nemotron.run("talk", str(question), "-o", str(answer), *servers)
    assert talk.returncode == 0, talk.stderr
    assert b"hello there" in talk.stdout
    assert b"ASR" in talk.stdout
    assert sound_files.read(answer).seconds > 0.3
    assert nemotron.processes() == processes

    assert nemotron.run("down").returncode == 0
    assert nemotron.live() == []
    assert not any(process.alive for process in processes)


@pytest.mark.e2e
def test_up_stops_its_servers_on_ctrl_c(nemotron: Nemotron) -> None:
    with nemotron.running("up", *nemotron.server_ports(), *SCRIPTED, until="All servers are ready") as up:
        processes = nemotron.processes()
        up.send_signal(signal.SIGINT)
        assert up.wait(LIMIT_S) == 0
        assert not any(process.alive for process in processes)


@pytest.mark.e2e
def test_a_killed_supervisor_takes_its_servers_along(nemotron: Nemotron) -> None:
    with nemotron.running("up", *nemotron.server_ports(), *SCRIPTED, until="All servers are ready") as up:
        processes = nemotron.processes()
        up.kill()
        up.wait()
        assert wait_until_gone(processes, LIMIT_S) == []
    assert nemotron.live() == []


@pytest.mark.e2e
def test_a_start_that_fails_says_why_and_leaves_nothing(nemotron: Nemotron, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    for flags in ((), ("-d",)):
        up = nemotron.run("up", *nemotron.server_ports(), *SCRIPTED, "--llm", str(broken), *flags)
        assert up.returncode == 1
        assert b"not a GGUF" in up.stdout + up.stderr
        assert b"nemotron logs llm" in up.stdout + up.stderr
        assert nemotron.live() == []


@pytest.mark.e2e
def test_talk_starts_what_it_needs_and_stops_it(nemotron: Nemotron, question: Path) -> None:
    talk = nemotron.run(
        "talk", "-", "-o", "-", *nemotron.server_ports(), *SCRIPTED, input=question.read_bytes()
    )
    assert talk.returncode == 0, talk.stderr
    assert sound_files.read(talk.stdout).seconds > 0.3
    assert b"hello there" in talk.stderr
    assert nemotron.live() == []


@pytest.mark.e2e
def test_talk_without_speech_is_the_users_mistake(nemotron: Nemotron, tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    silence.write_bytes(audio.wav(bytes(32000), 16000))
    talk = nemotron.run("talk", str(silence), *nemotron.server_ports(), *SCRIPTED)
    assert talk.returncode == 2
    assert b"no speech" in talk.stderr


@pytest.mark.e2e
def test_talk_on_the_embedded_engines(
    nemotron: Nemotron, tmp_path: Path, spoken: Callable[[str], bytes]
) -> None:
    path = tmp_path / "question.wav"
    path.write_bytes(spoken("what is twelve times seven"))
    talk = nemotron.run("talk", str(path), "-o", str(tmp_path / "answer.wav"), *nemotron.server_ports())
    assert talk.returncode == 0, talk.stderr
    assert b"times seven" in talk.stdout
    assert b"eighty-four" in talk.stdout.replace(b"eighty four", b"eighty-four")
    assert sound_files.read(tmp_path / "answer.wav").seconds > 0.5


@pytest.mark.e2e
def test_the_demo_serves_the_page_and_stops_only_what_it_started(nemotron: Nemotron) -> None:
    servers = (*nemotron.server_ports(), *SCRIPTED)
    assert nemotron.run("up", "-d", *servers).returncode == 0
    processes = nemotron.processes()
    port = str(nemotron.ports["bot"])
    with nemotron.running("demo", *servers, "--port", port, "--no-open", until="Ctrl-C stops it") as demo:
        with urllib.request.urlopen(f"http://localhost:{port}/client/", timeout=LIMIT_S) as page:
            assert page.status == 200
        second = nemotron.run("demo", *servers, "--port", port)
        assert second.returncode == 2
        assert b"nemotron demo" in second.stderr
        (bot,) = set(nemotron.processes()) - set(processes)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(LIMIT_S) == 0
        assert not bot.alive
    assert nemotron.processes() == processes
    assert all(process.alive for process in processes)


@pytest.mark.e2e
def test_the_demo_starts_everything_on_its_own(nemotron: Nemotron) -> None:
    port = str(nemotron.ports["bot"])
    flags = (*nemotron.server_ports(), *SCRIPTED, "--port", port)
    with nemotron.running("demo", *flags, until="Ctrl-C stops it") as demo:
        (run,) = nemotron.live()
        assert {server.name: server.state for server in run.servers} == dict.fromkeys(
            ("asr", "tts", "llm", "bot"), "ready"
        )
        processes = nemotron.processes()
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(LIMIT_S) == 0
        assert not any(process.alive for process in processes)


@pytest.fixture
def spoken() -> Callable[[str], bytes]:
    """Speech that PocketSphinx understands: Debian's flite."""
    import shutil

    if shutil.which("flite") is None:
        pytest.skip("flite is not installed")

    def speak(text: str) -> bytes:
        return subprocess.run(
            ["flite", "-voice", "slt", "-t", text, "-o", "/dev/stdout"], capture_output=True, check=True
        ).stdout

    return speak
