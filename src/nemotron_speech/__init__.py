"""Streaming speech servers, their clients, and the shared vocabulary.

Every name below is imported when it is first used, so `import nemotron_speech` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nemotron_speech.audio import Clip
    from nemotron_speech.client.connections import AsrConnection, LlmClient, TtsConnection
    from nemotron_speech.errors import (
        BadRequest,
        ConfigurationError,
        EngineError,
        Full,
        NotReady,
        PeerError,
        SpeechError,
    )
    from nemotron_speech.server import build_app as build_asr_app
    from nemotron_speech.settings import AsrSettings, TtsSettings
    from nemotron_speech.sound_files import read as read_clip
    from nemotron_speech.tts_server import build_app as build_tts_app

__all__ = [
    "AsrConnection",
    "AsrSettings",
    "BadRequest",
    "Clip",
    "ConfigurationError",
    "EngineError",
    "Full",
    "LlmClient",
    "NotReady",
    "PeerError",
    "SpeechError",
    "TtsConnection",
    "TtsSettings",
    "build_asr_app",
    "build_tts_app",
    "read_clip",
]

_ERRORS = ("BadRequest", "ConfigurationError", "EngineError", "Full", "NotReady", "PeerError", "SpeechError")
_HOMES = {
    "AsrConnection": ("client.connections", "AsrConnection"),
    "AsrSettings": ("settings", "AsrSettings"),
    "Clip": ("audio", "Clip"),
    "LlmClient": ("client.connections", "LlmClient"),
    "TtsConnection": ("client.connections", "TtsConnection"),
    "TtsSettings": ("settings", "TtsSettings"),
    "build_asr_app": ("server", "build_app"),
    "build_tts_app": ("tts_server", "build_app"),
    "read_clip": ("sound_files", "read"),
    **{name: ("errors", name) for name in _ERRORS},
}
"""Module below this package and name in it, of every exported name."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
