"""Table of the engines of this package, read by the registry, the profiles and the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["asr", "tts"]
KINDS: dict[Role, str] = {"asr": "recogniser", "tts": "synthesiser"}


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine by its registered name, and its needs."""

    name: str
    role: Role
    target: str
    """Factory, as `module:attribute` below `nemotron_speech.engines`; imported when it is used."""
    modules: tuple[str, ...] = ()
    """Python modules that must be importable."""
    extra: str = ""
    """Extra of this package that brings them."""
    script: str = ""
    """Script that makes an environment for it, where an extra cannot."""
    files: tuple[str, ...] = ()
    """Model files that the engine does not download itself."""
    model: str = ""
    """Model of the catalogue that does in their place; without files, the only one there is."""


_KOKORO = "~/.cache/nemotron-speech/kokoro"
_KOKORO_FILES = (f"{_KOKORO}/kokoro-v1.0.onnx", f"{_KOKORO}/voices-v1.0.bin")
_SPECS = (
    EngineSpec(
        "moonshine", "asr", "moonshine_asr.engine:MoonshineEngine", ("onnxruntime",),
        model="moonshine-tiny-en",
    ),
    EngineSpec("nemo", "asr", "nemo_asr.engine:NemoAsrEngine", ("torch", "nemo"), "nemo"),
    EngineSpec("pocketsphinx", "asr", "pocketsphinx_asr.engine:PocketsphinxEngine", ("pocketsphinx",)),
    EngineSpec("scripted", "asr", "scripted:ScriptedAsr"),
    EngineSpec("whisper", "asr", "whisper_asr.engine:WhisperEngine", ("faster_whisper",), "whisper"),
    EngineSpec(
        "chatterbox", "tts", "chatterbox_tts:ChatterboxEngine", ("chatterbox", "torch"),
        script="scripts/chatterbox_env",
    ),
    EngineSpec("espeak", "tts", "espeak_tts.engine:EspeakEngine", ("espeakng_loader",)),
    EngineSpec("fastpitch", "tts", "fastpitch_tts.engine:FastPitchEngine", ("torch", "nemo"), "nemo"),
    EngineSpec(
        "kokoro", "tts", "kokoro_tts.engine:KokoroEngine", ("onnxruntime", "espeakng_loader"), "kokoro",
        files=_KOKORO_FILES, model="kokoro-heart",
    ),
    EngineSpec("magpie", "tts", "magpie_tts.engine:MagpieEngine", ("torch", "nemo"), "nemo"),
    EngineSpec("piper", "tts", "piper_tts:PiperEngine", ("piper",), "piper"),
    EngineSpec("scripted", "tts", "scripted:ScriptedTts"),
    EngineSpec("tacotron2", "tts", "tacotron2_tts.engine:Tacotron2Engine", ("torch", "TTS"), "tacotron2"),
)  # fmt: skip
ENGINES = {(spec.role, spec.name): spec for spec in _SPECS}


def spec_of(role: Role, name: str) -> EngineSpec:
    """Return the engine's line; the needs of another package's engine are not known here."""
    return ENGINES.get((role, name), EngineSpec(name, role, ""))
