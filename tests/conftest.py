"""What holds for every test."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["NEMOTRON_ENV_FILE"] = "none"  # a developer's own settings are no part of a test

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")
