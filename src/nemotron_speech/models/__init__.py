"""Models by name: the catalogue, the folder in which they are kept, and the sources that have them.

models.find("joe")             the path that an engine's option `model` takes
models.pull("joe")             the same, fetched where it is not here
models.options("joe")          all options that have the engine use it
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nemotron_speech.errors import ConfigurationError
from nemotron_speech.invocation import command
from nemotron_speech.models.catalogue import Entry, Role, entries
from nemotron_speech.models.errors import DiskFull, ModelAbsent, ModelUnavailable
from nemotron_speech.models.fetching import Watcher, fetch
from nemotron_speech.models.places import sources, store

__all__ = [
    "DiskFull",
    "Entry",
    "ModelAbsent",
    "ModelUnavailable",
    "Role",
    "Watcher",
    "entries",
    "entry_named",
    "find",
    "options",
    "present",
    "pull",
]


def find(name_or_path: str | Path, *, engine: str = "") -> Path:
    """Return the path of a model that is here: a catalogue name's, or the path itself.

    It is what the engine takes as its model: a file, or the folder of several. Nothing is downloaded.

    Args:
        engine: Engine that is to run it; a catalogue entry for another one is refused.

    Raises ModelAbsent, which says what to type, and ConfigurationError for a name that is neither.
    """
    path = Path(name_or_path).expanduser()
    entry = entries().get(str(name_or_path))
    if entry is None:
        if path.exists():
            return path
        raise ConfigurationError(_unknown(str(name_or_path), engine))
    if engine and engine not in entry.engines:
        raise ConfigurationError(_of_another_engine(entry, engine))
    if not store().has(entry):
        raise ModelAbsent(
            f"the model {entry.name} ({entry.bytes / 1e6:.0f} MB) is not on this machine; "
            f"fetch it: {command(f'models pull {entry.name}')}"
        )
    return Path(store().options(entry)["model"])


def options(name: str, *, engine: str = "") -> Mapping[str, str]:
    """Return the options with which its engine uses a catalogue model that is here. Raises as `find`."""
    find(name, engine=engine)
    return store().options(entry_named(name))


def pull(name: str, watcher: Watcher | None = None) -> Path:
    """Return the folder of a catalogue model, fetched where it is not here.

    Raises ConfigurationError for another name, ModelUnavailable, DiskFull.
    """
    return fetch(entry_named(name), store(), sources(), watcher)


def present(role: Role | None = None) -> list[Entry]:
    """Return the catalogue models that are on this machine."""
    kept = store()
    return [entry for entry in entries().values() if role in (None, entry.role) and kept.has(entry)]


def entry_named(name: str) -> Entry:
    """Return a catalogue entry. Raises ConfigurationError with the names there are."""
    entry = entries().get(name)
    if entry is None:
        raise ConfigurationError(_unknown(name, ""))
    return entry


def _unknown(name: str, engine: str) -> str:
    known = [entry.name for entry in entries().values() if not engine or engine in entry.engines]
    return f"no model is called {name!r}, and no file; the catalogue has: {', '.join(known) or 'none'}"


def _of_another_engine(entry: Entry, engine: str) -> str:
    fitting = [other.name for other in entries().values() if engine in other.engines]
    return (
        f"the model {entry.name} is for {' and '.join(entry.engines)}, not {engine}; "
        f"for {engine} the catalogue has: {', '.join(fitting) or 'none'}"
    )
