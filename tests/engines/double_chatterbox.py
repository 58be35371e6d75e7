"""A double of the package chatterbox-tts: the same modules, classes and methods, and tones for speech.

A piece of text is 60 ms per character of a tone; the voice is its pitch. As in the package, the model keeps
the voice it speaks with in `conds` and learns one from a file; the turbo model wants more than 5 s of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import soundfile

RATE = 24000
BUILT_IN_HZ = 220.0


class Model:
    """What the three classes have in common."""

    sr = RATE

    def __init__(self, conds: Any) -> None:
        self.conds = conds
        self.spoken: list[tuple[str, dict[str, Any]]] = []

    @classmethod
    def from_local(cls, ckpt_dir: Any, device: str) -> Model:
        folder = Path(ckpt_dir)
        if not folder.is_dir():
            raise FileNotFoundError(f"No such file or directory: {folder / 've.safetensors'}")
        return cls({"hz": BUILT_IN_HZ} if (folder / "conds.pt").exists() else None)

    @classmethod
    def from_pretrained(cls, device: str) -> Model:
        return cls({"hz": BUILT_IN_HZ})

    def prepare_conditionals(self, wav_fpath: str, exaggeration: float = 0.5) -> None:
        samples, rate = soundfile.read(wav_fpath)
        spectrum = np.abs(np.fft.rfft(samples))
        self.conds = {"hz": float(spectrum.argmax() * rate / len(samples))}

    def generate(self, text: str, **options: Any) -> np.ndarray:
        assert self.conds is not None, "Please `prepare_conditionals` first or specify `audio_prompt_path`"
        self.spoken.append((text, options))
        t = np.arange(len(text) * 60 * RATE // 1000) / RATE
        return 0.3 * np.sin(2 * np.pi * self.conds["hz"] * t, dtype=np.float32)[None]


class ChatterboxTTS(Model):
    pass


class ChatterboxTurboTTS(Model):
    def prepare_conditionals(
        self, wav_fpath: str, exaggeration: float = 0.5, norm_loudness: bool = True
    ) -> None:
        assert soundfile.info(wav_fpath).duration > 5.0, "Audio prompt must be longer than 5 seconds!"
        super().prepare_conditionals(wav_fpath, exaggeration)


class ChatterboxMultilingualTTS(Model):
    @classmethod
    def get_supported_languages(cls) -> dict[str, str]:
        return {"de": "German", "en": "English", "zh": "Chinese"}

    def generate(self, text: str, language_id: str, **options: Any) -> np.ndarray:  # type: ignore[override]
        assert language_id in self.get_supported_languages()
        return super().generate(text, language_id=language_id, **options)


@contextmanager
def installed() -> Iterator[None]:
    """Put the double in the package's place."""
    classes = {"tts": ChatterboxTTS, "tts_turbo": ChatterboxTurboTTS, "mtl_tts": ChatterboxMultilingualTTS}
    modules = {"chatterbox": ModuleType("chatterbox")}
    for name, kind in classes.items():
        modules[f"chatterbox.{name}"] = module = ModuleType(f"chatterbox.{name}")
        setattr(module, kind.__name__, kind)
    with mock.patch.dict(sys.modules, modules):
        yield
