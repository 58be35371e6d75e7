"""Every registered engine that this machine can load, loaded once for the whole suite."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import pytest

from nemotron_speech.engines.base import AsrEngine, TtsEngine
from nemotron_speech.engines.registry import asr_engine, tts_engine
from nemotron_speech.errors import ConfigurationError

EMBEDDED = ("scripted", "pocketsphinx", "espeak")
"""What every installation has: never skipped."""

EngineT = TypeVar("EngineT", AsrEngine, TtsEngine)


@cache
def recogniser(name: str) -> AsrEngine:
    """Return the loaded recogniser; skips the test where its model or package is missing."""
    return _loaded(asr_engine, name)


@cache
def synthesiser(name: str) -> TtsEngine:
    """Return the loaded synthesiser; skips the test where its model or package is missing."""
    return _loaded(tts_engine, name)


def _loaded(make: Callable[..., Any], name: str) -> Any:
    try:
        engine = make(name)
        engine.load()
    except (ImportError, ConfigurationError) as error:
        if name in EMBEDDED:
            raise
        pytest.skip(f"{name} cannot be loaded here: {error}")
    return engine


def unload_all() -> None:
    """Give back what was loaded."""
    from nemotron_speech.engines.registry import asr_names, tts_names

    for cached, names in ((recogniser, asr_names()), (synthesiser, tts_names())):
        if cached.cache_info().currsize:
            for name in names:
                try:
                    cached(name).unload()
                except pytest.skip.Exception:
                    continue
        cached.cache_clear()
