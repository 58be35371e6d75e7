"""What holds for every test."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["NEMOTRON_ENV_FILE"] = "none"  # a developer's own settings are no part of a test

settings.register_profile("repeatable", deadline=None, derandomize=True)  # a busy machine is no failure
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
