"""Become another program that the kernel ends together with the process that started it.

    python -I -S supervisor/child_entry.py PARENT_PID [NAME=VALUE ...] -- PROGRAM [ARGUMENT ...]

The supervisor starts every server through this file, so that none outlives a supervisor that was killed.
It becomes the program (exec), so there is one process and one pid. Elsewhere than on Linux it only execs.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Ask for SIGKILL when `parent` ends; leave at once when it already has."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main(arguments: list[str]) -> None:
    """Never returns: becomes the program, or ends with one line that says why not."""
    split = arguments.index("--")
    parent, *variables = arguments[:split]
    program = arguments[split + 1 :]
    die_with(int(parent))
    for name, _, value in (variable.partition("=") for variable in variables):
        os.environ[name] = value
    try:
        os.execvp(program[0], program)
    except OSError as error:
        sys.exit(f"error: {program[0]} cannot be started: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
