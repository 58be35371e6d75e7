"""Starting servers: what stops them is said in one line, and they end when told or orphaned."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from nemotron_speech.llama_server import LlamaServerOptions, binary_arguments, thread_count
from nemotron_speech.supervisor.processes import CHILD_ENTRY
from tests.llama.server import free_port, is_healthy, running_llama_server
from tests.llama.tiny_gguf import build


def run(*arguments: str, module: str = "nemotron_speech.llama_server") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = run("--model", str(tmp_path / "none.gguf"), "--port", str(free_port()))
    assert result.returncode == 2
    assert "none.gguf does not exist" in result.stderr


def test_a_file_that_is_no_model_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    for content in (b"", b"GG", b"PK\x03\x04 something else"):
        (tmp_path / "x.gguf").write_bytes(content)
        result = run("--model", str(tmp_path / "x.gguf"), "--port", str(free_port()))
        assert result.returncode == 2
        assert "is not a GGUF model" in result.stderr


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(build(tmp_path / "whole.gguf").read_bytes()[:100_000])
    result = run("--model", str(broken), "--port", str(free_port()), "--bundled")
    assert result.returncode == 2
    assert f"cannot serve {broken}" in result.stderr


@pytest.mark.parametrize("module", ["nemotron_speech.llama_server", "nemotron_speech.responder"])
def test_a_port_in_use_is_named(tmp_path: Path, module: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        model = ["--model", str(build(tmp_path / "m.gguf"))] if "llama" in module else []
        result = run(*model, "--port", str(port), module=module)
    assert result.returncode == 2
    assert f"127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments", [["--parallel", "0"], ["--ctx", "10"], ["--binary", "/nonexistent/llama-server"]]
)
def test_settings_that_cannot_work_are_named(tmp_path: Path, arguments: list[str]) -> None:
    result = run("--model", str(build(tmp_path / "m.gguf")), "--port", str(free_port()), *arguments)
    assert result.returncode == 2
    assert arguments[0].removeprefix("--binary") in result.stderr


def test_a_binary_is_run_with_the_same_settings(tmp_path: Path) -> None:
    binary = tmp_path / "llama-server"
    binary.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    binary.chmod(0o755)
    model = build(tmp_path / "m.gguf")
    port = free_port()
    result = run("--model", str(model), "--binary", str(binary), "--port", str(port), "--parallel", "3")
    options = LlamaServerOptions(model, port=port, parallel=3, binary=binary)
    assert result.stdout.split() == binary_arguments(options)
    given = dict(zip(result.stdout.split(), result.stdout.split()[1:], strict=False))
    assert (given["--parallel"], given["--cache-ram"], given["--reasoning"]) == ("3", "0", "off")


def test_a_binary_on_path_is_preferred_unless_the_bundled_build_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = tmp_path / "llama-server"
    binary.write_text("#!/bin/sh\necho from the path\n")
    binary.chmod(0o755)
    model = build(tmp_path / "m.gguf")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert "from the path" in run("--model", str(model), "--port", str(free_port())).stdout
    with running_llama_server(model, "--bundled") as url:
        assert is_healthy(url)


def test_threads_leave_room_for_others() -> None:
    assert 1 <= thread_count(LlamaServerOptions(Path("m"))) <= max(1, (os.cpu_count() or 1) // 2)
    assert thread_count(LlamaServerOptions(Path("m"), threads=7)) == 7


@contextmanager
def started_by_a_shell(model: Path, *before: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A shell that starts a server, `before` in front of its command; yields it and the server's URL."""
    port = free_port()
    server = f"{sys.executable} -m nemotron_speech.llama_server --bundled --threads 1"
    script = f"{' '.join(before)} {server} --model {model} --port {port} & echo $!; read line"
    shell = subprocess.Popen(
        ["sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert shell.stdout is not None
    child = int(shell.stdout.readline())
    try:
        wait(lambda: is_healthy(f"http://127.0.0.1:{port}"))
        yield shell, f"http://127.0.0.1:{port}"
    finally:
        shell.kill()
        shell.wait()
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
        wait(lambda: not is_healthy(f"http://127.0.0.1:{port}"))


def test_a_server_started_by_hand_outlives_the_shell_that_started_it(tmp_path: Path) -> None:
    with started_by_a_shell(build(tmp_path / "m.gguf")) as (shell, url):
        shell.kill()
        shell.wait()
        time.sleep(0.5)
        assert is_healthy(url)


def test_a_server_that_a_supervisor_started_ends_with_it(tmp_path: Path) -> None:
    entry = (sys.executable, "-I", "-S", str(CHILD_ENTRY), "$$", "--")
    with started_by_a_shell(build(tmp_path / "m.gguf"), *entry) as (supervisor, url):
        supervisor.kill()
        supervisor.wait()
        wait(lambda: not is_healthy(url))


LEAVING = """
import os
from nemotron_speech.llama_server import leave_on_signal

read = os.read
os.read = lambda *arguments: (print(flush=True), read(*arguments))
leave_on_signal()
"""


@pytest.mark.parametrize("apart_s", [0.0, 50e-6])
def test_two_signals_in_a_row_end_the_server_every_time(apart_s: float) -> None:
    """Twenty times, four processes at once."""
    for _ in range(5):
        processes = [
            subprocess.Popen([sys.executable, "-c", LEAVING], stdout=subprocess.PIPE) for _ in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            until = time.perf_counter() + apart_s
            while time.perf_counter() < until:
                pass
            process.send_signal(signal.SIGINT)
        try:
            assert [process.wait(timeout=10) for process in processes] == [0] * len(processes)
        finally:
            for process in processes:
                process.kill()
                process.communicate()


def wait(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_sigterm_ends_a_server_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    model = build(tmp_path / "m.gguf", kind="random")
    with running_llama_server(model, "--bundled") as url:
        host, port = url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)))
        body = b'{"prompt":"x","stream":true,"ignore_eos":true}'
        head = f"POST /completion HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        assert connection.recv(100)
    connection.close()
    assert not is_healthy(url)
