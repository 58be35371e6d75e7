"""Engines by name: a lazy factory each, so that naming one imports nothing.

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
from nemotron_speech.errors import ConfigurationError

ASR_GROUP, TTS_GROUP = "nemotron_speech.asr_engines", "nemotron_speech.tts_engines"

_ASR = {
    "moonshine": "nemotron_speech.engines.moonshine_asr.engine:MoonshineEngine",
    "nemo": "nemotron_speech.engines.nemo_asr.engine:NemoAsrEngine",
    "pocketsphinx": "nemotron_speech.engines.pocketsphinx_asr.engine:PocketsphinxEngine",
    "scripted": "nemotron_speech.engines.scripted:ScriptedAsr",
    "whisper": "nemotron_speech.engines.whisper_asr.engine:WhisperEngine",
}
_TTS = {
    "chatterbox": "nemotron_speech.engines.chatterbox_tts:ChatterboxEngine",
    "espeak": "nemotron_speech.engines.espeak_tts.engine:EspeakEngine",
    "fastpitch": "nemotron_speech.engines.fastpitch_tts.engine:FastPitchEngine",
    "kokoro": "nemotron_speech.engines.kokoro_tts.engine:KokoroEngine",
    "magpie": "nemotron_speech.engines.magpie_tts.engine:MagpieEngine",
    "piper": "nemotron_speech.engines.piper_tts:PiperEngine",
    "scripted": "nemotron_speech.engines.scripted:ScriptedTts",
    "tacotron2": "nemotron_speech.engines.tacotron2_tts.engine:Tacotron2Engine",
}


def asr_names() -> tuple[str, ...]:
    return _names(_ASR, ASR_GROUP)


def tts_names() -> tuple[str, ...]:
    return _names(_TTS, TTS_GROUP)


def asr_engine(name: str, **options: Any) -> AsrEngine:
    """Make the recogniser called `name`; `load()` is the caller's. Raises ConfigurationError."""
    return _made("recogniser", name, _factory("recogniser", name, _ASR, ASR_GROUP), options)


def tts_engine(name: str, **options: Any) -> TtsEngine:
    """Make the synthesiser called `name`; `load()` is the caller's. Raises ConfigurationError."""
    return _made("synthesiser", name, _factory("synthesiser", name, _TTS, TTS_GROUP), options)


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
    return frozenset(signature(_factory("recogniser", name, _ASR, ASR_GROUP)).parameters)


def tts_options(name: str) -> frozenset[str]:
    """Return the names of the options the synthesiser called `name` takes. Raises ConfigurationError."""
    return frozenset(signature(_factory("synthesiser", name, _TTS, TTS_GROUP)).parameters)


def _made(kind: str, name: str, factory: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    taken = signature(factory)
    try:
        taken.bind(**options)
    except TypeError as error:
        raise ConfigurationError(
            f"the {kind} {name}: {error}; its options are: {', '.join(sorted(taken.parameters)) or 'none'}"
        ) from None
    return factory(**options)


def _names(builtin: Mapping[str, str], group: str) -> tuple[str, ...]:
    return tuple(sorted({*builtin, *(point.name for point in entry_points(group=group))}))


def _factory(kind: str, name: str, builtin: Mapping[str, str], group: str) -> Callable[..., Any]:
    if name in builtin:
        module, _, attribute = builtin[name].partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=group, name=name):
        return point.load()
    raise ConfigurationError(f"no {kind} is called {name!r}; there are: {', '.join(_names(builtin, group))}")
