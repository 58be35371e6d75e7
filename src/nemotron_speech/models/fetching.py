"""Fetching of a model: each file from the first source that gives the right bytes, then all in place."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from nemotron_speech.models.advice import advice
from nemotron_speech.models.catalogue import Entry, ModelFile
from nemotron_speech.models.errors import DiskFull, ModelUnavailable, SourceFailed
from nemotron_speech.models.packages import ARCHIVES
from nemotron_speech.models.sources import Source
from nemotron_speech.models.store import UNFINISHED, ModelStore, matches, sha256

_SPARE = 32 << 20
"""Bytes of the disk that are left alone."""


class Watcher(Protocol):
    """Follower of a download."""

    def waiting(self, entry: Entry) -> None:
        """Note that another process is fetching the model."""
        ...

    def progress(self, file: ModelFile, done: int) -> None:
        """Note the bytes of a file that are here."""
        ...

    def failed(self, source: str, reason: str) -> None:
        """Note that a source gave nothing; the next one is asked."""
        ...


class Nobody:
    """Watcher that is not interested."""

    def waiting(self, entry: Entry) -> None:
        return None

    def progress(self, file: ModelFile, done: int) -> None:
        return None

    def failed(self, source: str, reason: str) -> None:
        return None


def fetch(entry: Entry, store: ModelStore, sources: Sequence[Source], watcher: Watcher | None = None) -> Path:
    """Return the folder of the model, fetched where it is not there.

    One process at a time fetches a model; others wait, and find it. What an interrupted fetch has left is
    gone on from. Raises ModelUnavailable, and DiskFull before or while the disk fills up.
    """
    watcher = watcher or Nobody()
    if store.has(entry):
        return store.path(entry)
    with store.lock(entry, lambda: watcher.waiting(entry)):
        if store.has(entry):
            return store.path(entry)
        try:
            _Fetch(entry, store, sources, watcher).files()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"{_full(entry, store)}; what is here is kept, and gone on from") from None
            raise
        return store.install(entry)


class _Fetch:
    """One model being fetched."""

    def __init__(self, entry: Entry, store: ModelStore, sources: Sequence[Source], watcher: Watcher) -> None:
        self._entry, self._sources, self._watcher = entry, sources, watcher
        self._folder = store.unfinished(entry)
        self._store = store

    def files(self) -> None:
        """Have every file in the unfinished folder, and nothing else."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._adopt_right_ones()
        missing = [file for file in self._entry.files if not matches(self._folder / file.path, file)]
        self._check_space(missing)
        for file in missing:
            self._file(file)
        shutil.rmtree(self._folder / ARCHIVES, ignore_errors=True)

    def _adopt_right_ones(self) -> None:
        """Take over the right files of a model that is in its place but not complete."""
        for file in self._entry.files:
            kept = self._store.path(self._entry) / file.path
            if matches(kept, file):
                kept.replace(_made(self._folder / file.path))

    def _check_space(self, missing: Sequence[ModelFile]) -> None:
        have = sum(_size(self._part(file)) for file in missing)
        archive = max((part.archive_bytes for file in missing for part in file.parts), default=0)
        needed = sum(file.bytes for file in missing) - have + archive + _SPARE
        if missing and self._store.free(self._folder) < needed:
            raise DiskFull(f"{_full(self._entry, self._store)}; it takes {needed / 1e6:.0f} MB")

    def _part(self, file: ModelFile) -> Path:
        return self._folder / f"{file.path}{UNFINISHED}"

    def _file(self, file: ModelFile) -> None:
        reasons = []
        for source in self._sources:
            try:
                self._from(source, file)
            except SourceFailed as error:
                reasons.append(f"{source.name}: {error}")
                self._watcher.failed(source.name, str(error))
            else:
                return
        raise ModelUnavailable(self._entry.name, reasons, advice(self._entry))

    def _from(self, source: Source, file: ModelFile) -> None:
        """Fetch a file from one source; anew where what another one had left was not its beginning."""
        part = _made(self._part(file))
        resumed = _size(part) > 0
        source.fetch(file, part, lambda done: self._watcher.progress(file, done))
        if matches(part, file):
            part.replace(self._folder / file.path)
            return
        found = sha256(part)
        part.unlink()
        if not resumed:
            raise SourceFailed(f"its {file.path} is another file (SHA-256 {found[:12]}…)")
        self._from(source, file)


def _full(entry: Entry, store: ModelStore) -> str:
    return (
        f"the disk of {store.folder} has no room for {entry.name} ({entry.bytes / 1e6:.0f} MB): "
        "free some space, or set NEMOTRON_MODELS_DIR to a folder on another disk"
    )


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
