"""Start servers that speak llama.cpp's protocol, for tests: the genuine one and the built-in responder."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from tempfile import TemporaryFile
from typing import IO

START_TIMEOUT = 60.0


@contextmanager
def running_llama_server(model: Path, *arguments: str) -> Iterator[str]:
    """A genuine llama.cpp server for `model` in a child process; gives its URL."""
    with running("nemotron_speech.llama_server", "--model", str(model), "--threads", "1", *arguments) as url:
        yield url


@contextmanager
def running_responder(*arguments: str) -> Iterator[str]:
    """The built-in responder in a child process; gives its URL."""
    with running("nemotron_speech.responder", *arguments) as url:
        yield url


@contextmanager
def running(module: str, *arguments: str) -> Iterator[str]:
    """`python -m module --port P` from ready to SIGTERM; gives `http://127.0.0.1:P`."""
    port = free_port()
    command = [sys.executable, "-m", module, "--port", str(port), *arguments]
    url = f"http://127.0.0.1:{port}"
    with TemporaryFile() as log:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        try:
            wait_until_healthy(child, url, command, log)
            yield url
        finally:
            stop(child)


def stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def wait_until_healthy(
    child: subprocess.Popen[bytes], url: str, command: Sequence[str], log: IO[bytes]
) -> None:
    """Return when `GET /health` answers 200. Raises RuntimeError when the child ends or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if child.poll() is not None:
            log.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended: {log.read().decode(errors='replace')[-2000:]}")
        if is_healthy(url):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{' '.join(command)} is not healthy after {START_TIMEOUT:.0f} s")


def is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
