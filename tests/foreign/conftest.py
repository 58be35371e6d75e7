"""Other projects' clients, each a program of its own in `.venv-foreign` (scripts/foreign_env)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).with_name("clients")
PYTHON = ROOT / os.environ.get("FOREIGN_ENV", ".venv-foreign") / "bin" / "python"

Foreign = Callable[..., Awaitable[Any]]
"""Runs `clients/NAME.py ARGUMENT ...`; what it printed last, as JSON."""


@pytest.fixture
def foreign() -> Foreign:
    """Run a client of another project; skipped without its environment, unless `REQUIRE_FOREIGN` is set."""
    if not PYTHON.exists():
        if os.environ.get("REQUIRE_FOREIGN"):
            pytest.fail(f"{PYTHON} is missing; run scripts/foreign_env")
        pytest.skip("run scripts/foreign_env first")
    return _run


async def _run(name: str, *arguments: str, timeout_s: float = 100.0) -> Any:
    process = await asyncio.create_subprocess_exec(
        str(PYTHON),
        str(CLIENTS / f"{name}.py"),
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()[-4000:]
    return json.loads(output.decode().splitlines()[-1])
