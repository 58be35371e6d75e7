"""The linter's layer rules hold, and would catch a breach."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nemotron_speech.engines.spec import ENGINES

ROOT = Path(__file__).parent.parent

BREACHES = [
    ("src/nemotron_speech/protocol", "import asyncio"),
    ("src/nemotron_speech/protocol", "import time"),
    ("src/nemotron_speech/protocol", "from nemotron_speech.engines import base"),
    ("src/nemotron_speech/text", "import asyncio"),
    ("src/nemotron_speech/text", "from nemotron_speech.engines import base"),
    ("src/nemotron_speech/batching", "import torch"),
    ("src/nemotron_speech/models", "import asyncio"),
    ("src/nemotron_speech/models", "from nemotron_speech.engines import base"),
    ("src/nemotron_speech/engines", "import asyncio"),
    ("src/nemotron_speech/engines", "import torch"),
    ("src/nemotron_speech/engines", "from nemotron_speech.protocol import asr"),
    ("src/nemotron_speech", "import pipecat"),
    ("src/nemotron_speech", "import pipecat_bots"),
    ("pipecat_bots", "from nemotron_speech.engines import base"),
    ("pipecat_bots", "import torch"),
]


def lint(folder: str, code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251,TID253"]
    command += ["--stdin-filename", f"{folder}/breach.py", "-"]
    return subprocess.run(command, input=f"{code}\n", text=True, capture_output=True, cwd=ROOT, check=False)


@pytest.mark.parametrize(("folder", "code"), BREACHES)
def test_a_breach_of_the_layers_is_refused(folder: str, code: str) -> None:
    assert lint(folder, code).returncode == 1


def test_what_a_layer_may_know_is_allowed() -> None:
    assert lint("pipecat_bots", "import pipecat").returncode == 0
    assert lint("src/nemotron_speech/batching", "import asyncio").returncode == 0
    assert lint("src/nemotron_speech/engines", "def f():\n    import torch").returncode == 0


def test_what_an_engine_needs_is_never_imported_at_the_top_of_a_module() -> None:
    rules = tomllib.loads((ROOT / "src/nemotron_speech/engines/ruff.toml").read_text())
    banned = rules["lint"]["flake8-tidy-imports"]["banned-module-level-imports"]
    assert {module for spec in ENGINES.values() for module in spec.modules} <= set(banned)


def test_the_readme_names_every_engine() -> None:
    readme = (ROOT / "README.md").read_text().lower()
    assert [name for _, name in ENGINES if name != "scripted" and name not in readme] == []


def test_the_extras_that_engines_name_are_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {spec.extra for spec in ENGINES.values() if spec.extra} <= set(extras)
    assert all((ROOT / spec.script).is_file() for spec in ENGINES.values() if spec.script)
