"""A loopback server, and a model folder and catalogue of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nemotron_speech.models import catalogue
from nemotron_speech.models.catalogue import Entry
from tests.models.server import Server, serving
from tests.models.small import catalogue_text


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as one:
        yield one


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose folder of models is empty, with no hub and no index but those a test names."""
    monkeypatch.setenv("NEMOTRON_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("HF_ENDPOINT", "HF_HUB_OFFLINE", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    return tmp_path / "models"


@pytest.fixture
def catalogue_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Have the catalogue hold the entries that it is called with."""

    def hold(*entries: Entry) -> None:
        monkeypatch.setattr(catalogue, "_text", lambda: catalogue_text(*entries))
        catalogue.entries.cache_clear()

    yield hold
    catalogue.entries.cache_clear()
