"""Engines by name: a lazy factory each (`spec.py`), so that naming one imports nothing.

Third parties add theirs through the entry-point groups `nemotron_speech.asr_engines` and
`nemotron_speech.tts_engines`; the entry point is the factory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from inspect import signature
from typing import Any

from nemotron_speech.engines.base import AsrEngine, TtsEngine, TtsInfo
from nemotron_speech.engines.spec import ENGINES, KINDS, Role
from nemotron_speech.errors import ConfigurationError

ASR_GROUP, TTS_GROUP = "nemotron_speech.asr_engines", "nemotron_speech.tts_engines"
_GROUPS: dict[Role, str] = {"asr": ASR_GROUP, "tts": TTS_GROUP}


def asr_names() -> tuple[str, ...]:
    return _names("asr")


def tts_names() -> tuple[str, ...]:
    return _names("tts")


def asr_engine(name: str, **options: Any) -> AsrEngine:
    """Make the recogniser called `name`; `load()` is the caller's. Raises ConfigurationError."""
    return _made("recogniser", name, _factory("asr", name), options)


def tts_engine(name: str, **options: Any) -> TtsEngine:
    """Make the synthesiser called `name`; `load()` is the caller's. Raises ConfigurationError."""
    return _made("synthesiser", name, _factory("tts", name), options)


def tts_names_that(can: Callable[[TtsInfo], bool]) -> tuple[str, ...]:
    """Return the names of the synthesisers of which `can` is true, as far as is known before they load."""
    return tuple(name for name in tts_names() if _can(name, can))


def _can(name: str, can: Callable[[TtsInfo], bool]) -> bool:
    try:
        return can(tts_engine(name).info)
    except Exception:  # noqa: BLE001  an engine that cannot even be made here is none to recommend
        return False


def asr_options(name: str) -> frozenset[str]:
    """Return the names of the options the recogniser called `name` takes. Raises ConfigurationError."""
    return frozenset(signature(_factory("asr", name)).parameters)


def tts_options(name: str) -> frozenset[str]:
    """Return the names of the options the synthesiser called `name` takes. Raises ConfigurationError."""
    return frozenset(signature(_factory("tts", name)).parameters)


def _made(kind: str, name: str, factory: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    taken = signature(factory)
    try:
        taken.bind(**options)
    except TypeError as error:
        raise ConfigurationError(
            f"the {kind} {name}: {error}; its options are: {', '.join(sorted(taken.parameters)) or 'none'}"
        ) from None
    return factory(**options)


def _names(role: Role) -> tuple[str, ...]:
    ours = {name for known, name in ENGINES if known == role}
    return tuple(sorted(ours | {point.name for point in entry_points(group=_GROUPS[role])}))


def _factory(role: Role, name: str) -> Callable[..., Any]:
    if (role, name) in ENGINES:
        module, _, attribute = ENGINES[role, name].target.partition(":")
        return getattr(import_module(f"nemotron_speech.engines.{module}"), attribute)
    for point in entry_points(group=_GROUPS[role], name=name):
        return point.load()
    raise ConfigurationError(f"no {KINDS[role]} is called {name!r}; there are: {', '.join(_names(role))}")
