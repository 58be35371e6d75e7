"""Models that a command names: catalogue names are fetched, and become paths and options of the engines."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from nemotron_speech import models
from nemotron_speech.cli.models import fetched
from nemotron_speech.cli.up import RunOptions
from nemotron_speech.engines.requirements import available_memory
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.supervisor.profiles import profile_named

if TYPE_CHECKING:
    from nemotron_speech.models import Entry, Role


def with_models(out: Console, wanted: RunOptions, voice: str | None = None) -> RunOptions:
    """Return the servers with the catalogue models they name on this machine, and used by their engines.

    An engine that was not named is the one of the model. This may download for long: call it outside the
    event loop, or Ctrl-C has to wait. Raises ConfigurationError for a model of another engine or purpose,
    ModelUnavailable, DiskFull.

    Args:
        voice: Catalogue name, or the value of the synthesiser's own option for voice or model.
    """
    wanted, voice = _with_profile(wanted, voice)
    return _with_mind(out, _with_ears(out, _with_voice(out, wanted, voice)))


def _with_profile(wanted: RunOptions, voice: str | None) -> tuple[RunOptions, str | None]:
    """Fill in the profile's models where neither a model nor an engine was named."""
    profile = profile_named(wanted.profile)
    if wanted.asr_model is None and wanted.asr_engine is None and "asr" not in wanted.elsewhere:
        wanted = replace(wanted, asr_model=profile.asr_model or None)
    if voice is None and wanted.tts_engine is None and "tts" not in wanted.elsewhere:
        voice = profile.tts_voice or None
    if wanted.model is None and profile.llms and "llm" not in wanted.elsewhere:
        wanted = replace(wanted, model=Path(largest_that_runs(profile.llms)))
    return wanted, voice


def largest_that_runs(names: Sequence[str], memory_mb: float | None = None, cores: int | None = None) -> str:
    """Return the largest of these language models, smallest first, that this machine runs beside the rest.

    A model may take half of the memory that is free, and one core for each gigabyte and a half: measured, a
    1.5B model on two cores begins its answers a second later than a 0.5B one.

    Args:
        memory_mb: Memory that is free; this machine's if None.
        cores: Cores of the machine; this machine's if None.
    """
    if memory_mb is None:
        free = available_memory()
        memory_mb = math.inf if free is None else free / 1024**2
    cores = cores or os.cpu_count() or 1
    fitting = [
        name
        for name in names
        if (needs := models.entries()[name].memory_mb) <= memory_mb / 2 and needs <= 1500 * (cores - 1)
    ]
    return fitting[-1] if fitting else names[0]


def _with_ears(out: Console, wanted: RunOptions) -> RunOptions:
    entry = _entry(wanted.asr_model, "asr", "--asr-model")
    if entry is None:
        return wanted
    engine = _engine(entry, wanted.asr_engine, profile_named(wanted.profile).asr.name, "--asr-engine")
    options = dict(_options(out, entry))
    return replace(
        wanted,
        asr_engine=engine,
        asr_model=options.pop("model"),
        asr_options=(*_typed(options), *wanted.asr_options),
    )


def _with_voice(out: Console, wanted: RunOptions, voice: str | None) -> RunOptions:
    if voice is None:
        return wanted
    usual = profile_named(wanted.profile).tts.name
    entry = _entry(voice, "tts", "--tts-voice")
    if entry is None:
        option = f"{_voice_option(wanted.tts_engine or usual)}={voice}"
        return replace(wanted, tts_options=(option, *wanted.tts_options))
    engine = _engine(entry, wanted.tts_engine, usual, "--tts-engine")
    options = (*_typed(_options(out, entry)), *wanted.tts_options)
    return replace(wanted, tts_engine=engine, tts_options=options)


def _with_mind(out: Console, wanted: RunOptions) -> RunOptions:
    if wanted.model is None or wanted.model.exists():
        return wanted
    entry = _entry(str(wanted.model), "llm", "--llm")
    if entry is None:
        return wanted
    return replace(wanted, model=Path(_options(out, entry)["model"]), bot_env=_suits(entry))


def _suits(entry: Entry) -> dict[str, str]:
    """Return settings of the bot that suit a language model, less those that the user has set."""
    settings = {}
    if not entry.tools:
        settings["BOT_TOOLS"] = "[]"
    if entry.temperature is not None:
        settings["BOT_TEMPERATURE"] = str(entry.temperature)
    return {name: value for name, value in settings.items() if not os.environ.get(name)}


def _entry(name: str | None, role: Role, flag: str) -> Entry | None:
    """Return the catalogue entry of a name; None for a path, or a name of another collection."""
    entry = models.entries().get(name or "")
    if entry is not None and entry.role != role:
        fitting = ", ".join(other.name for other in models.entries().values() if other.role == role)
        raise ConfigurationError(
            f"{flag} {entry.name}: that is a model for {entry.role}; take one of {fitting}"
        )
    return entry


def _engine(entry: Entry, named: str | None, usual: str, flag: str) -> str:
    """Return the engine named for a model, else the profile's where that runs it, else the model's."""
    if named is None:
        return usual if usual in entry.engines else entry.engines[0]
    if named not in entry.engines:
        raise ConfigurationError(
            f"{entry.name} is a model for {' and '.join(entry.engines)}, not {named}; "
            f"add {flag} {entry.engines[0]}, or leave {flag} out"
        )
    return named


def _options(out: Console, entry: Entry) -> Mapping[str, str]:
    fetched(out, entry)
    return models.options(entry.name)


def _typed(options: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in options.items())


def _voice_option(engine: str) -> str:
    """Return the option that tells a synthesiser its voice. Raises ConfigurationError where it has none."""
    from nemotron_speech.engines.registry import tts_options

    taken = tts_options(engine)
    for option in ("voice", "model"):
        if option in taken:
            return option
    names = ", ".join(entry.name for entry in models.entries().values() if entry.role == "tts")
    raise ConfigurationError(f"the synthesiser {engine} takes no --tts-voice; voices of others: {names}")
