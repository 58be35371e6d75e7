"""`nemotron doctor`: what this machine can run, what is missing, and the command that mends it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nemotron_speech import models as catalogue
from nemotron_speech.cli.settings import CliSettings
from nemotron_speech.engines.requirements import Missing, available_memory, mends, voices
from nemotron_speech.invocation import command, install
from nemotron_speech.supervisor.health import Health, HealthProbe
from nemotron_speech.supervisor.ports import holder, is_free
from nemotron_speech.supervisor.profiles import (
    HOST,
    PROFILES,
    Ports,
    Profile,
    missing,
)
from nemotron_speech.supervisor.records import RunRecords

GIB = 1024**3
MIN_PYTHON = (3, 11)
MIN_CORES, MIN_MEMORY_GIB, MIN_DISK_GIB = 2, 2.0, 1.0
"""Least cores, GiB of memory and GiB of free disk with which the embedded profile keeps up with one call."""
SUBPROCESS_TIMEOUT_S = 10


class CheckResult(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Something optional is not there."""
    BAD = "bad"
    """`nemotron demo` will not work, or not well, until this is mended."""


class Check(msgspec.Struct, frozen=True):
    """One thing looked at."""

    name: str
    verdict: CheckResult
    found: str
    mend: str = ""
    """Command that mends the finding; empty when nothing is wrong."""


MARKS = {
    CheckResult.OK: ("✓", "green"),
    CheckResult.NOTE: ("•", "yellow"),
    CheckResult.BAD: ("✗", "bold red"),
}


def main(out: Console, *, as_json: bool) -> int:
    """Print all checks; exit code 1 when the embedded demo cannot run here."""
    checks = examine()
    if as_json:
        out.print_json(msgspec.json.encode(checks).decode())
    else:
        out.print(_table(checks))
    return int(any(check.verdict is CheckResult.BAD for check in checks))


def examine() -> list[Check]:
    """Look at everything."""
    return [
        *_machine_checks(),
        *(profile_check(profile) for profile in PROFILES.values()),
        voices_check(voices()),
        *asyncio.run(port_checks(Ports())),
        *_conveniences(),
    ]


def _table(checks: Sequence[Check]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for check in checks:
        mark, style = MARKS[check.verdict]
        found = Text(check.found)
        if check.mend:
            found.append(f"\n→ {check.mend}", style="cyan")
        table.add_row(Text(mark, style=style), Text(check.name, style="bold"), found)
    return table


# ------------------------------------------------------------------------------------- the machine


def _machine_checks() -> Iterator[Check]:
    yield python_check(sys.version_info[:3])
    yield cores_check(len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)
    memory = available_memory()
    if memory is not None:
        yield memory_check(memory / GIB)
    yield disk_check(shutil.disk_usage(_existing(CliSettings().state_dir)).free / GIB)
    yield gpu_check(_gpus())
    yield pipecat_check(_version("pipecat-ai"))
    yield page_check(_page())


def python_check(found: tuple[int, int, int]) -> Check:
    text = ".".join(map(str, found))
    if found[:2] < MIN_PYTHON:
        return Check("python", CheckResult.BAD, f"{text}, too old", f"uv python install 3.12 && {install()}")
    return Check("python", CheckResult.OK, text)


def cores_check(cores: int) -> Check:
    if cores < MIN_CORES:
        return Check(
            "cores", CheckResult.NOTE, f"{cores}; {MIN_CORES} keep up better", "give the machine more cores"
        )
    return Check("cores", CheckResult.OK, str(cores))


def memory_check(gib: float) -> Check:
    if gib < MIN_MEMORY_GIB:
        mend = "close other programs: the embedded profile takes about 1 GB"
        return Check("memory", CheckResult.NOTE, f"{gib:.1f} GB available", mend)
    return Check("memory", CheckResult.OK, f"{gib:.1f} GB available")


def disk_check(gib: float) -> Check:
    if gib < MIN_DISK_GIB:
        return Check("disk", CheckResult.NOTE, f"{gib:.1f} GB free for logs and models", "free some space")
    return Check("disk", CheckResult.OK, f"{gib:.0f} GB free")


def gpu_check(gpus: Sequence[str]) -> Check:
    if not gpus:
        return Check("gpu", CheckResult.NOTE, "no NVIDIA GPU found; the embedded and cpu profiles need none")
    return Check("gpu", CheckResult.OK, "; ".join(gpus))


def pipecat_check(found: str | None) -> Check:
    if found is None:
        return Check("pipecat", CheckResult.BAD, "not installed: the bots cannot run", install())
    return Check("pipecat", CheckResult.OK, found)


def page_check(page: Path | None) -> Check:
    if page is None:
        return Check(
            "page", CheckResult.NOTE, "the /client page is not built", "cd web && npm ci && npm run build"
        )
    return Check("page", CheckResult.OK, "built")


def _existing(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if p.exists())


def _gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=SUBPROCESS_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return answer.stdout.strip().splitlines() if answer.returncode == 0 else []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _page() -> Path | None:
    spec = find_spec("pipecat_bots")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        page = Path(folder) / "client" / "index.html"
        if page.is_file():
            return page
    return None


# ------------------------------------------------------------------------------ profiles and ports


def profile_check(profile: Profile) -> Check:
    """Say whether a profile can run here; a language model is the user's to give."""
    lacks = missing(profile)
    if not lacks:
        return Check(f"profile {profile.name}", CheckResult.OK, f"runs here: {profile.summary}")
    verdict = CheckResult.BAD if profile.name == "embedded" else CheckResult.NOTE
    what = "; ".join(item.what for item in lacks)
    mend = "\n→ ".join(mends(lacks))
    return Check(f"profile {profile.name}", verdict, what, mend)


def voices_check(found: Mapping[str, Sequence[Missing]]) -> Check:
    """Say which synthesisers can be given as `--tts-engine`."""
    here = ", ".join(name for name, lacks in found.items() if not lacks)
    absent = [f"{name}: {lacks[0].mend}" for name, lacks in found.items() if lacks]
    return Check("voices", CheckResult.OK, f"--tts-engine {here}", "\n→ ".join(absent))


async def port_checks(ports: Ports) -> list[Check]:
    """Say of each port whether it is free, has our server, or is taken."""
    records = RunRecords(CliSettings().state_dir)
    async with HealthProbe.open() as probe:
        return [
            await _port_check(name, port, path, records, probe)
            for name, port, path in (
                ("asr", ports.asr, "/health"),
                ("tts", ports.tts, "/health"),
                ("llm", ports.llm, "/health"),
                ("bot", ports.bot, "/status"),
            )
        ]


async def _port_check(name: str, port: int, path: str, records: RunRecords, probe: HealthProbe) -> Check:
    title = f"{name} port"
    if is_free(HOST, port):
        return Check(title, CheckResult.OK, f"{port} is free")
    report = await probe(f"http://{HOST}:{port}{path}")
    ours = records.server_on(port)
    if report.health is Health.HEALTHY:
        who = f"nemotron {ours[0].command}" if ours else str(holder(port))
        return Check(title, CheckResult.OK, f"{port} has a healthy server, of {who}")
    if ours:
        found = f"{port} has our {ours[1].name} server, {ours[1].state}"
        return Check(title, CheckResult.NOTE, found, command(f"logs {ours[1].name}"))
    mend = f"stop that, or add --{name}-port {port + 10}"
    return Check(title, CheckResult.BAD, f"{port} is taken by {holder(port)}", mend)


# --------------------------------------------------------------------------------------- conveniences


def _conveniences() -> Iterator[Check]:
    yield sound_check(_sound_device)
    yield browser_check(_browser())
    yield models_check(find_models(_model_folders()))
    yield catalogue_check([entry.name for entry in catalogue.present()])


def sound_check(device: Callable[[], str]) -> Check:
    """Only `nemotron talk --play` needs one: the page uses the browser's."""
    try:
        return Check("sound device", CheckResult.OK, device())
    except ModuleNotFoundError:
        mend = install(["play"])
        return Check("sound device", CheckResult.NOTE, "not looked for; only `talk --play` needs one", mend)
    except (OSError, ValueError) as error:
        mend = "apt install libportaudio2" if "PortAudio" in str(error) else ""
        return Check("sound device", CheckResult.NOTE, f"none: {error}; only `talk --play` needs one", mend)


def browser_check(name: str | None) -> Check:
    if name is None:
        found = "none to open here; open http://localhost:7860/client yourself"
        return Check(
            "browser",
            CheckResult.NOTE,
            found,
            "from another machine: ssh -L 7860:localhost:7860 this-machine (sound needs UDP beside it)",
        )
    return Check("browser", CheckResult.OK, name)


def models_check(models: Sequence[Path]) -> Check:
    if not models:
        return Check("models", CheckResult.NOTE, "no GGUF found; the built-in responder needs none")
    names = ", ".join(str(path) for path in models[:5])
    return Check("models", CheckResult.OK, names, f"use one: {command(f'demo --llm {models[0]}')}")


def catalogue_check(names: Sequence[str]) -> Check:
    """Say which models of the catalogue are here."""
    see = command("models list")
    if not names:
        return Check("catalogue", CheckResult.NOTE, "no model of the catalogue is here", f"see them: {see}")
    return Check("catalogue", CheckResult.OK, f"{', '.join(names)}; see more: {see}")


def find_models(folders: Sequence[Path]) -> list[Path]:
    """GGUF files in the usual folders, a few levels deep, newest first; of a split model only the first."""
    found: set[Path] = set()
    for folder in folders:
        for pattern in ("*.gguf", "*/*.gguf", "*/snapshots/*/*.gguf", "*/snapshots/*/*/*.gguf"):
            found.update(
                path for path in folder.glob(pattern) if "-of-" not in path.stem or "-00001-of" in path.stem
            )
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def _model_folders() -> list[Path]:
    here = [Path.cwd(), Path.cwd() / "models"]
    try:
        home = Path.home()
    except RuntimeError:  # a user without an entry in the system's list, as in containers
        return here
    return [
        *here,
        home / "models",
        home / ".cache" / "llama.cpp",
        home / ".cache" / "huggingface" / "hub",
    ]


def _sound_device() -> str:
    import sounddevice

    try:
        return str(sounddevice.query_devices(kind="output")["name"])
    except sounddevice.PortAudioError as error:
        raise ValueError(str(error)) from None


def _browser() -> str | None:
    if sys.platform == "linux" and not CliSettings().display:
        return None
    try:
        return getattr(webbrowser.get(), "name", "the default browser")
    except webbrowser.Error:
        return None
