"""Interface of the places that have a model's files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nemotron_speech.models.catalogue import ModelFile

Progress = Callable[[int], None]
"""Takes the bytes of the file that are here."""


class Source(Protocol):
    """A place that has files of models."""

    name: str

    def fetch(self, file: ModelFile, to: Path, progress: Progress) -> None:
        """Write the file; what `to` holds already is its beginning, and is kept where that saves time.

        What is written may be wrong: the caller compares it with the hash. Raises SourceFailed that says why
        there is no file; what has been written until then is a beginning to go on from.
        """
        ...
