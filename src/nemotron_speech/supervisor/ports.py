"""Port checks: the process that listens on a port, if any."""

from __future__ import annotations

import errno
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that listens on a port, as far as this user may see."""

    pid: int | None = None
    command: str = ""

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command})" if self.pid else "a process this user cannot see"


def is_free(host: str, port: int) -> bool:
    """Return True if a server could listen there now. Raises OSError when the address itself is wrong."""
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, proto) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(address)
            attempt.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def holder(port: int) -> Holder:
    """Say who listens on `port`; an empty Holder where the system does not tell."""
    if sys.platform != "linux":
        return Holder()
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*") if wanted else ():
        if _holds(process, wanted):
            return Holder(int(process.name), _command(process))
    return Holder()


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _holds(process: Path, sockets: set[str]) -> bool:
    try:
        return any(str(fd.readlink()) in sockets for fd in (process / "fd").iterdir())
    except OSError:
        return False


def _command(process: Path) -> str:
    """Return the command line, short enough for one line of a terminal."""
    try:
        parts = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "?"
    line = " ".join([Path(parts[0]).name, *parts[1:]]).strip()
    return line if len(line) <= 80 else line[:79] + "…"
