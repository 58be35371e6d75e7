"""Commands as they are typed where this program runs: `uv run …` in a checkout, without it from a wheel."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_PROGRAMS = re.compile(r"(^|&& |\| )(nemotron|python) ")
CHECKOUT = Path(__file__).parents[2]


def in_checkout() -> bool:
    """Return whether the sources of this program are those of a checkout, which uv runs."""
    return (CHECKOUT / "pyproject.toml").is_file()


def command(rest: str) -> str:
    """Return the `nemotron` command with its arguments: command("up -d")."""
    return prefixed(f"nemotron {rest}")


def prefixed(line: str) -> str:
    """Return a shell line with what its programs (`nemotron`, `python`) need before them here."""
    return _PROGRAMS.sub(r"\1uv run \2 ", line) if in_checkout() else line


def install(extras: Iterable[str] = ()) -> str:
    """Return what installs the package with these extras, keeping those that are installed."""
    names = sorted(set(extras))
    if in_checkout():
        kept = ["--inexact"] if names else []
        return " ".join(["uv sync", *(f"--extra {name}" for name in names), *kept])
    return f"pip install 'nemotron-speech[{','.join(names)}]'" if names else "pip install nemotron-speech"
