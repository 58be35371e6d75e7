"""Models that a command names: catalogue names are fetched, and become paths and options of the engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from nemotron_speech import models
from nemotron_speech.cli.models import fetched
from nemotron_speech.cli.up import RunOptions
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
    return _with_mind(out, _with_ears(out, _with_voice(out, wanted, voice)))


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
    return wanted if entry is None else replace(wanted, model=Path(_options(out, entry)["model"]))


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
