"""Real child processes: told apart, stopped completely, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from nemotron_speech.supervisor.processes import MAX_LINE_BYTES, Child, ProcessId, wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the guarantees of Linux")

LIMIT_S = 20
"""A bound for a loaded machine, not an expectation."""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


async def run(code: str, **env: str) -> tuple[int, list[str]]:
    lines: list[str] = []
    child = await Child.start(python(code), env, lines.append)
    return await asyncio.wait_for(child.exited, LIMIT_S), lines


async def started(code: str) -> tuple[Child, asyncio.Queue[str]]:
    lines: asyncio.Queue[str] = asyncio.Queue()
    child = await Child.start(python(code), {}, lines.put_nowait)
    return child, lines


async def line(lines: asyncio.Queue[str]) -> str:
    return await asyncio.wait_for(lines.get(), LIMIT_S)


async def test_the_exit_code_comes_after_the_last_line() -> None:
    code, lines = await run("import sys; print('one'); print('two', file=sys.stderr); sys.exit(7)")
    assert code == 7
    assert sorted(lines) == ["one", "two"]


async def test_a_last_line_without_an_end_is_kept() -> None:
    _, lines = await run("import sys; sys.stdout.write('no newline')")
    assert lines == ["no newline"]


async def test_an_endless_line_is_cut() -> None:
    size = MAX_LINE_BYTES * 3
    _, lines = await run(f"import sys; sys.stdout.write('x' * {size})")
    assert sum(map(len, lines)) == size
    assert max(map(len, lines)) <= MAX_LINE_BYTES


async def test_the_environment_is_passed_on_with_additions() -> None:
    _, lines = await run("import os; print(os.environ['EXTRA'], 'PATH' in os.environ)", EXTRA="a=b c")
    assert lines == ["a=b c True"]


async def test_a_program_that_is_not_there_ends_with_a_reason() -> None:
    lines: list[str] = []
    child = await Child.start(["/no/such/program"], {}, lines.append)
    assert await asyncio.wait_for(child.exited, LIMIT_S) == 1
    assert "/no/such/program" in lines[0]


async def test_the_pid_of_a_child_is_that_of_the_program() -> None:
    child, lines = await started("import os, time; print(os.getpid()); time.sleep(60)")
    assert int(await line(lines)) == child.id.pid
    assert child.id.alive
    child.kill()
    assert await asyncio.wait_for(child.exited, LIMIT_S) == -signal.SIGKILL
    assert not child.id.alive


async def test_terminate_lets_a_program_clean_up() -> None:
    child, lines = await started(
        """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (print('cleaned up'), sys.exit(3)))
        print('ready')
        time.sleep(60)
        """
    )
    assert await line(lines) == "ready"
    child.terminate()
    assert await asyncio.wait_for(child.exited, LIMIT_S) == 3
    assert await line(lines) == "cleaned up"


async def test_what_a_program_leaves_in_its_group_is_killed_with_it() -> None:
    child, lines = await started(
        """
        import subprocess, sys
        worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
        print(worker.pid)
        """
    )
    worker = ProcessId.of(int(await line(lines)))
    await asyncio.wait_for(child.exited, LIMIT_S)
    assert wait_until_gone([worker], LIMIT_S) == []


async def test_a_child_has_no_terminal_signals_of_ours() -> None:
    child, lines = await started("import os, time; print(os.getsid(0)); time.sleep(60)")
    assert int(await line(lines)) == child.id.pid != os.getsid(0)
    child.kill()
    await asyncio.wait_for(child.exited, LIMIT_S)


def test_children_do_not_outlive_a_supervisor_that_is_killed() -> None:
    supervisor = subprocess.Popen(
        python(
            """
            import asyncio, sys
            from nemotron_speech.supervisor.processes import Child

            async def main():
                sleep = [sys.executable, '-c', 'import time; time.sleep(60)']
                child = await Child.start(sleep, {}, print)
                print(child.id.pid, flush=True)
                await child.exited

            asyncio.run(main())
            """
        ),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert supervisor.stdout is not None
    child = ProcessId.of(int(supervisor.stdout.readline()))
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    assert wait_until_gone([child], LIMIT_S) == []


def test_a_recycled_pid_is_not_signalled() -> None:
    stranger = subprocess.Popen(python("import time; time.sleep(60)"))
    try:
        recycled = ProcessId(stranger.pid, "another boot:1")
        assert not recycled.alive
        assert recycled.send(signal.SIGKILL) is False
        assert stranger.poll() is None
        assert ProcessId.of(stranger.pid).send(signal.SIGTERM) is True
        assert stranger.wait(LIMIT_S) == -signal.SIGTERM
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_that_is_gone_cannot_be_identified() -> None:
    gone = subprocess.Popen(python("pass"))
    gone.wait()
    with pytest.raises(ProcessLookupError):
        ProcessId.of(gone.pid)


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen(python("pass"))
    id = ProcessId.of(child.pid)
    assert wait_until_gone([id], LIMIT_S) == []
    child.wait()


def test_waiting_for_who_does_not_end_says_who() -> None:
    me = ProcessId.of(os.getpid())
    assert wait_until_gone([me], 0.0) == [me]


def test_the_entry_needs_nothing_but_the_standard_library() -> None:
    entry = Path(__file__).parents[2] / "src" / "nemotron_speech" / "supervisor" / "child_entry.py"
    command = [sys.executable, "-I", "-S", str(entry), str(os.getpid()), "A=1", "--", "/bin/echo", "hello"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S).stdout == "hello\n"


def test_the_entry_leaves_when_its_parent_is_already_gone() -> None:
    entry = Path(__file__).parents[2] / "src" / "nemotron_speech" / "supervisor" / "child_entry.py"
    command = [sys.executable, "-I", "-S", str(entry), "1", "--", "/bin/echo", "hello"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert (answer.returncode, answer.stdout) == (1, "")
