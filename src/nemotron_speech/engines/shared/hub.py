"""Models from the Hugging Face hub: kept from an earlier download, or fetched while showing how far it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loguru import logger

from nemotron_speech.errors import ConfigurationError


def model_file(repository: str, pattern: str) -> Path:
    """Return the file of `repository` that matches `pattern`; where it is here already, no network is asked.

    Raises ConfigurationError that says what to type where it is neither here nor to be had.
    """
    folder = _kept(repository, pattern) or fetched(repository, [pattern])
    if file := next(folder.glob(pattern), None):
        return file
    raise ConfigurationError(f"model: {repository} holds no file {pattern}")


def _kept(repository: str, pattern: str) -> Path | None:
    from huggingface_hub import snapshot_download  # pyright: ignore[reportMissingImports]
    from huggingface_hub.errors import (  # pyright: ignore[reportMissingImports]
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        folder = Path(snapshot_download(repository, allow_patterns=[pattern], local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise ConfigurationError(f"model: {error}") from error
    return folder if any(folder.glob(pattern)) else None


def fetched(repository: str, files: Sequence[str]) -> Path:
    """Download the `files` of `repository`. Raises ConfigurationError that says what to type instead."""
    from huggingface_hub import snapshot_download  # pyright: ignore[reportMissingImports]

    logger.info("fetching the model {} from the hub", repository)
    try:
        with _bars(repository) as bar:
            return Path(snapshot_download(repository, allow_patterns=list(files), tqdm_class=bar))
    except Exception as error:
        short = repository.rpartition("/")[2]
        raise ConfigurationError(
            f"model: {repository} is not on this machine and cannot be downloaded ({first_line(error)}). "
            f"Where there is a network, type: hf download {repository} --local-dir {short} "
            "— copy that folder here, and give its path as the model"
        ) from error


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def _bars(what: str) -> Iterator[type[Any]]:
    """Give the class of a progress bar: on a terminal Rich's, elsewhere a line in the log at every tenth."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
    from tqdm import tqdm  # pyright: ignore[reportMissingModuleSource]

    console = Console(stderr=True)
    columns = (what, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as shown:

        class Bar(tqdm):
            def __init__(self, *args: Any, **options: Any) -> None:
                options.pop("name", None)
                self._tenths = 0
                bytes_only = options.get("unit") == "B"
                super().__init__(*args, **{**options, "gui": True, "disable": not bytes_only})
                self._task = shown.add_task(what, total=self.total, visible=bytes_only)

            def display(self, *_: Any, **__: Any) -> None:
                shown.update(self._task, completed=self.n, total=self.total)
                tenths = int(10 * self.n / self.total) if self.total else 0
                if tenths > self._tenths and not console.is_terminal:
                    logger.info("{}: {} % of {:.0f} MB", what, 10 * tenths, (self.total or 0) / 1e6)
                self._tenths = tenths

            def close(self) -> None:
                if not self.disable:
                    self.display()
                super().close()

        yield Bar
