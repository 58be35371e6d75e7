"""Child processes that can be told apart, stopped completely, and never confused with a stranger.

A pid alone names nobody: it is given again. A `ProcessId` carries the start time as well, and signals go
through a pidfd opened before that time is compared, so a recycled pid is never signalled (Linux; other
systems compare just before they signal).
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

CHILD_ENTRY = Path(__file__).with_name("child_entry.py")
MAX_LINE_BYTES = 16 * 1024
LAST_WORDS_S = 1.0
"""Seconds that the output of a process is still read after its end."""


# -------------------------------------------------------------------------------------- identity


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process of one boot."""

    pid: int
    started: str
    """Start time in the system's own terms; compared, never read."""

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Identify a process that is there. Raises ProcessLookupError."""
        started, _ = _look_up(pid)
        if not started:
            raise ProcessLookupError(f"no process {pid}")
        return cls(pid, started)

    @property
    def alive(self) -> bool:
        """True if this very process runs; False for one that has ended and was not waited for."""
        return _look_up(self.pid) == (self.started, True)

    def send(self, number: signal.Signals) -> bool:
        """Signal this very process; whether it was there."""
        if not hasattr(os, "pidfd_open"):
            return self.alive and _signal_pid(self.pid, number)
        try:
            fd = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            if not self.alive:
                return False
            signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        return True


def wait_until_gone(processes: Sequence[ProcessId], timeout_s: float) -> list[ProcessId]:
    """Block until all have ended, at most `timeout_s`; who has not."""
    deadline = time.monotonic() + timeout_s
    while (left := [p for p in processes if p.alive]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _look_up(pid: int) -> tuple[str, bool]:
    """Return the start time of process `pid` ("" when there is none), and whether it still runs."""
    if sys.platform != "linux":
        started = _start_time_from_ps(pid)
        return started, bool(started)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "", False
    state, ticks = fields[0], fields[19]
    return f"{boot}:{ticks}", state not in "ZX"


def _start_time_from_ps(pid: int) -> str:
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return answer.stdout.strip()


def _signal_pid(pid: int, number: signal.Signals) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


# -------------------------------------------------------------------------------------- children


class Child:
    """A program in its own session, that dies with this process; its output comes line by line.

    `exited` is set when the process has ended, whatever it left in its process group has been killed, and
    its last lines have been read.
    """

    def __init__(self, popen: subprocess.Popen[bytes], on_line: Callable[[str], None]) -> None:
        self._popen = popen
        self._output = _Lines(on_line)
        self.id = ProcessId.of(popen.pid)
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(
        cls, argv: Sequence[str], env: Mapping[str, str], on_line: Callable[[str], None]
    ) -> Child:
        """Start a program with `env` added to this process's environment.

        Must be called in the main thread: the kernel ends the child with the *thread* that started it.
        """
        loop = asyncio.get_running_loop()
        child = cls(_spawn(argv, env), on_line)
        with ExitStack() as unless_read:
            unless_read.callback(child._popen.wait)
            unless_read.callback(child.kill)
            await loop.connect_read_pipe(lambda: child._output, child._popen.stdout)
            unless_read.pop_all()
        child._watch(loop)
        return child

    def terminate(self) -> None:
        """Ask it to end (SIGTERM to the process, which ends its own children)."""
        self.id.send(signal.SIGTERM)

    def kill(self) -> None:
        """End it and everything in its process group."""
        if self._popen.returncode is None:
            self._kill_group()

    def _kill_group(self) -> None:
        """Kill the process group. Until the process is waited for, its pid names only that group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.id.pid, signal.SIGKILL)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            fd = os.pidfd_open(self.id.pid)
        except (AttributeError, OSError):
            self._watch_in_thread(loop)
            return

        def ended() -> None:
            loop.remove_reader(fd)
            os.close(fd)
            self._bury(loop)

        loop.add_reader(fd, ended)

    def _watch_in_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        def wait() -> None:
            self._popen.wait()
            with suppress(RuntimeError):  # the loop may be gone by then
                loop.call_soon_threadsafe(self._bury, loop)

        threading.Thread(target=wait, name=f"wait-{self.id.pid}", daemon=True).start()

    def _bury(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._popen.returncode is None:
            self._kill_group()
        code = self._popen.wait()
        self._output.when_closed(
            loop, LAST_WORDS_S, lambda: self.exited.done() or self.exited.set_result(code)
        )


def _spawn(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    variables = [f"{name}={value}" for name, value in {"PYTHONUNBUFFERED": "1", **env}.items()]
    entry = [sys.executable, "-I", "-S", str(CHILD_ENTRY), str(os.getpid()), *variables, "--"]
    return subprocess.Popen(
        [*entry, *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


class _Lines(asyncio.Protocol):
    """Decode a pipe into lines; a line without end is cut at `MAX_LINE_BYTES`."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        self._transport: asyncio.BaseTransport | None = None
        self._closed = False
        self._then: Callable[[], object] = lambda: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._say(line)
        if len(self._rest) > MAX_LINE_BYTES:
            self._say(self._rest)
            self._rest = b""

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._say(self._rest)
        self._closed = True
        self._then()

    def _say(self, line: bytes) -> None:
        for start in range(0, max(len(line), 1), MAX_LINE_BYTES):
            piece = line[start : start + MAX_LINE_BYTES]
            self._on_line(piece.decode(errors="replace").rstrip("\r"))

    def when_closed(
        self, loop: asyncio.AbstractEventLoop, seconds: float, then: Callable[[], object]
    ) -> None:
        """Call `then` at the end of the output, or after `seconds` if somebody holds the pipe open."""
        self._then = then
        if self._closed:
            then()
        elif self._transport is not None:
            loop.call_later(seconds, self._transport.close)
