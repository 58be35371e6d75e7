"""The linter's layer rules hold, and would catch a breach."""

import subprocess
import sys
from pathlib import Path

import pytest

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
