"""What holds for every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["NEMOTRON_ENV_FILE"] = "none"  # a developer's own settings are no part of a test

settings.register_profile("repeatable", deadline=None, derandomize=True)  # a busy machine is no failure
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_configure(config: pytest.Config) -> None:
    """Leave a developer's released models out of the tests that do not ask for them: some take minutes."""
    chosen = config.option.markexpr.replace("not real_models", "")
    if "real_models" not in chosen:
        os.environ["NEMOTRON_MODELS_DIR"] = str(Path(config.rootpath) / ".no-models")
