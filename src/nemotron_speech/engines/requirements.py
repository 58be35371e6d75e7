"""Requirements of the engines that this machine lacks, each with the command that mends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, metadata
from importlib.util import find_spec
from pathlib import Path

from nemotron_speech.engines.spec import KINDS, EngineSpec, Role, spec_of
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.invocation import command, install

USE_EMBEDDED = f"meanwhile, this runs here: {command('demo --profile embedded')}"


@dataclass(frozen=True, slots=True)
class Missing:
    """Requirement of a profile that this machine lacks, with the command that mends it."""

    what: str
    mend: str
    extra: str = ""
    """Extra of this package that mends it; several go into one command, or each undoes the last."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Queries about the machine; replaced in tests."""

    engines: Callable[[], tuple[tuple[str, ...], tuple[str, ...]]] = field(
        default_factory=lambda: _registered_engines
    )
    """Names of the registered recognisers and synthesisers."""
    importable: Callable[[str], bool] = field(default_factory=lambda: _importable)
    extras: Callable[[], tuple[str, ...]] = field(default_factory=lambda: _extras)
    """Extras this version of the package offers."""
    program: Callable[[str], str | None] = field(default_factory=lambda: shutil.which)
    has_file: Callable[[str], bool] = field(default_factory=lambda: _has_file)
    has_model: Callable[[str], bool] = field(default_factory=lambda: _has_model)
    """True for a model of the catalogue that is here."""


def voices(machine: Machine | None = None) -> dict[str, list[Missing]]:
    """Return the synthesisers there are, each with what this machine lacks for it (models apart)."""
    machine = machine or Machine()
    _, names = machine.engines()
    return {
        name: engine_missing(spec_of("tts", name), names, machine)
        or files_missing(spec_of("tts", name), machine)
        for name in names
        if name != "scripted"
    }


def files_missing(spec: EngineSpec, machine: Machine) -> list[Missing]:
    """List the model files of an engine that this machine lacks and nothing downloads."""
    absent = [file for file in spec.files or (spec.model,) if file and not machine.has_file(file)]
    if not absent or machine.has_model(spec.model):
        return []
    return [Missing(f"{spec.name} has no {absent[0]}", f"fetch it: {command(f'models pull {spec.model}')}")]


def mends(lacks: Sequence[Missing]) -> list[str]:
    """Return what to type for all of them: one command for all extras."""
    extras = [item.extra for item in lacks if item.extra]
    lines = [f"install it: {install(extras)}"] if extras else []
    return list(dict.fromkeys([*lines, *(item.mend for item in lacks if not item.extra)]))


def engine_missing(spec: EngineSpec, registered: Sequence[str], machine: Machine) -> list[Missing]:
    """List the Python modules of an engine that this machine lacks, or that no engine has this name."""
    kind = KINDS[spec.role]
    if spec.name not in registered:
        what = f"this version has no {kind} called {spec.name} (it has: {', '.join(registered)})"
        return [Missing(what, USE_EMBEDDED)]
    absent = [module for module in spec.modules if not machine.importable(module)]
    if not absent:
        return []
    what = f"the {kind} {spec.name} needs the Python module{'s' * (len(absent) > 1)} {', '.join(absent)}"
    extra = spec.extra if spec.extra in machine.extras() else ""
    return [Missing(what, _install(spec, machine), extra)]


def check_installed(role: Role, name: str, machine: Machine | None = None) -> None:
    """Raise ConfigurationError that says what to install for an engine whose packages are missing."""
    spec = spec_of(role, name)
    if lacks := engine_missing(spec, (name,), machine or Machine()):
        raise ConfigurationError(f"{lacks[0].what}; {lacks[0].mend}")


def _install(spec: EngineSpec, machine: Machine) -> str:
    if spec.script:
        return f"make its environment: {spec.script}"
    if not spec.extra:
        return f"install this package's own dependencies: {install()}"
    if spec.extra in machine.extras():
        return f"install it: {install([spec.extra])}"
    return USE_EMBEDDED


def _registered_engines() -> tuple[tuple[str, ...], tuple[str, ...]]:
    from nemotron_speech.engines.registry import asr_names, tts_names

    return asr_names(), tts_names()


def _has_file(path: str) -> bool:
    return Path(path).expanduser().is_file()


def _has_model(name: str) -> bool:
    from nemotron_speech import models

    return any(entry.name == name for entry in models.present())


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _extras() -> tuple[str, ...]:
    try:
        return tuple(metadata("nemotron-speech").get_all("Provides-Extra") or ())
    except PackageNotFoundError:
        return ()


def available_memory() -> int | None:
    """Return the bytes that programs can still get without swapping; None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None
