"""Shape of the tree: folders that can be surveyed, arrows that point one way, names that mean one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = (ROOT / "src" / "nemotron_speech", ROOT / "pipecat_bots")
MOST_MODULES = 15

FILES = {
    file: ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for file in package.rglob("*.py")
}
MODULES = {module: file for file, module in FILES.items()}


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imported(file: Path) -> Iterator[str]:
    """Yield the modules of ours that a file imports when it is imported itself."""
    for node in tree(file).body:
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name in MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                for alias in names:
                    full = f"{module}.{alias.name}"
                    target = full if full in MODULES else module
                    if target in MODULES:
                        yield target


def room(module: str) -> str:
    """Return the package a module stands in; a program of a root stands for itself."""
    if MODULES[module].name == "__init__.py":
        return module
    package = module.rpartition(".")[0]
    return module if "." not in package else package


def rooms() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = defaultdict(set)
    for file, module in FILES.items():
        for target in imported(file):
            if room(target) != room(module) and not is_the_seam(module, target):
                graph[room(module)].add(room(target))
    return graph


def is_the_seam(module: str, target: str) -> bool:
    """An engine's package stands below `engines` and imports the seam from it."""
    seam = "nemotron_speech.engines"
    return module.startswith(f"{seam}.") and room(target) == seam


def test_no_module_imports_itself_by_way_of_others() -> None:
    modules = {module: set(imported(file)) - {module} for file, module in FILES.items()}
    assert circle(modules) == []


def test_no_room_imports_itself_by_way_of_others() -> None:
    assert circle(rooms()) == []


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_a_circle_would_be_found() -> None:
    assert circle({"a": {"b"}, "b": {"a"}})


RANKS = (
    {
        "errors",
        "caller_log",
        "engine_options",
        "languages",
        "env_file",
        "invocation",
        "audio",
        "settings",
        "sound_files",
        "metrics",
    },
    {"protocol", "text", "models"},
    {"engines", "batching", "serving", "client", "responder"},
    {"asr", "tts", "bench", "supervisor"},
    {"server", "tts_server", "yap_server", "llama_server", "cli"},
)
"""Parts of the servers' package from the bottom up: a part knows those of its rank and below."""


def test_no_arrow_points_upwards() -> None:
    rank = {part: number for number, parts in enumerate(RANKS) for part in parts}
    upwards = {
        (module, target)
        for file, module in FILES.items()
        for target in imported(file)
        if module.count(".")
        and target.count(".")
        and {module.split(".")[0], target.split(".")[0]} == {"nemotron_speech"}
        if rank[target.split(".")[1]] > rank[module.split(".")[1]]
    }
    assert not upwards


@pytest.mark.parametrize(
    "folder", sorted({file.parent for file in FILES}), ids=lambda f: str(f.relative_to(ROOT))
)
def test_a_folder_can_be_surveyed(folder: Path) -> None:
    modules = [file.name for file in folder.glob("*.py") if not file.name.startswith("__")]
    assert len(modules) <= MOST_MODULES


def test_a_public_class_has_a_name_of_its_own() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for file, module in FILES.items():
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}
