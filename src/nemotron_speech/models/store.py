"""Folder of models on this machine: complete models, unfinished ones beside them, and a lock for each.

A model is a folder that appears all at once, when each of its files has the catalogue's hash. What is not
finished is in a folder with another name, and is never used.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from nemotron_speech.models.catalogue import Entry, ModelFile

UNFINISHED = ".partial"
_BLOCK = 1 << 20
_LOCK_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Fault:
    """A file of a model that is not what the catalogue says."""

    path: Path
    what: str


@dataclass(frozen=True, slots=True)
class ModelStore:
    """Models in one folder.

    Args:
        folder: Where they are kept; made when a model is first fetched.
        free: Bytes left on the disk of a folder.
    """

    folder: Path
    free: Callable[[Path], int] = field(default=lambda path: shutil.disk_usage(path).free)

    def path(self, entry: Entry) -> Path:
        """Return the folder of a model; it need not be there."""
        return self.folder / entry.name

    def has(self, entry: Entry) -> bool:
        """Return whether the model is here, by the sizes of its files: no hash is computed."""
        return all(_has_size(self.path(entry) / file.path, file) for file in entry.files)

    def options(self, entry: Entry) -> dict[str, str]:
        """Return the options that have the model's engine use it."""
        return {name: str(self.path(entry) / place) for name, place in entry.options.items()}

    def verify(self, entry: Entry) -> list[Fault]:
        """Compare each file of a model that is here with the catalogue."""
        faults = []
        for file in entry.files:
            path = self.path(entry) / file.path
            if not path.is_file():
                faults.append(Fault(path, "is missing"))
            elif not matches(path, file):
                faults.append(Fault(path, "is not the file of the catalogue"))
        return faults

    def remove(self, entry: Entry) -> int:
        """Delete a model and what is unfinished of it; return the bytes that are free again."""
        with self.lock(entry):
            freed = 0
            for folder in (self.path(entry), self.unfinished(entry)):
                freed += _size(folder)
                shutil.rmtree(folder, ignore_errors=True)
            return freed

    def unfinished(self, entry: Entry) -> Path:
        """Return the folder of what has been fetched of a model that is not complete."""
        return self.folder / f"{entry.name}{UNFINISHED}"

    def install(self, entry: Entry) -> Path:
        """Put the finished files of `unfinished` in the model's place, at once."""
        done, place = self.unfinished(entry), self.path(entry)
        if place.exists():
            shutil.rmtree(place)
        done.rename(place)
        return place

    @contextmanager
    def lock(self, entry: Entry, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Keep other processes from changing the model; `waiting` is called when one is changing it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f".{entry.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire(poll_interval=_LOCK_POLL_S)
        try:
            yield
        finally:
            lock.release()


def matches(path: Path, file: ModelFile) -> bool:
    """Return whether a file is the catalogue's, by size and SHA-256."""
    return _has_size(path, file) and sha256(path) == file.sha256


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _has_size(path: Path, file: ModelFile) -> bool:
    try:
        return path.is_file() and path.stat().st_size == file.bytes
    except OSError:
        return False


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
