"""A spectrogram model and a vocoder of NeMo, from files or by name, checked to go together.

Imports NeMo; imported when a model is loaded, not before.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

from loguru import logger
from nemo.collections.tts.models.base import SpectrogramGenerator, Vocoder  # noqa: TID253

from nemotron_speech.engines.fastpitch_tts.batch import Spectrograms
from nemotron_speech.engines.shared.torch_device import pick_device
from nemotron_speech.engines.shared.vocoder import WindowedVocoder
from nemotron_speech.errors import ConfigurationError

_LANGUAGES = {
    "English": "en",
    "German": "de",
    "Spanish": "es",
    "French": "fr",
    "Italian": "it",
    "Chinese": "zh",
    "Hindi": "hi",
    "Vietnamese": "vi",
    "Japanese": "ja",
}
"""Language name in the class of a NeMo tokenizer to its tag."""


@dataclass(frozen=True, slots=True)
class FastPitchVoices:
    """A loaded pair."""

    model: Any
    spectrograms: Spectrograms
    vocoder: WindowedVocoder
    name: str
    speakers: int
    """1 for a model of one speaker."""
    paced: bool
    """True if the model can speak faster and slower."""
    language: str
    space: int | None
    """The token between two words, where there is one."""

    def tokens(self, text: str) -> list[int]:
        """Return a text as the model reads it. Raises whatever its dictionary does."""
        return self.model.parse(text)[0].tolist()


def load_voices(spectrogram: str, vocoder: str, device: str) -> FastPitchVoices:
    """Load both models. Raises ConfigurationError, with what to do, for what cannot be found or used."""
    import nemo.utils

    nemo.utils.logging.setLevel(nemo.utils.logging.ERROR)
    where = pick_device(device)
    model = _restored(spectrogram, "fastpitch_model", SpectrogramGenerator).to(where)
    windowed = _windowed(_restored(vocoder, "hifigan_model", Vocoder).to(where))
    _check_pair(model, windowed)
    name = Path(spectrogram).stem if spectrogram.endswith(".nemo") else spectrogram
    speakers = int(model.cfg.get("n_speakers", 1) or 1)
    paced = "pace" in signature(type(model).generate_spectrogram).parameters
    logger.info("{} with {} on {}: {} speakers, {} Hz", name, vocoder, where, speakers, windowed.sample_rate)
    spectrograms = Spectrograms(model, speakers)
    space = getattr(getattr(model, "vocab", None), "space", None)
    return FastPitchVoices(model, spectrograms, windowed, name, speakers, paced, _language(model), space)


def _restored(source: str, option: str, kind: Any) -> Any:
    path = Path(source).expanduser()
    if not path.is_file() and source.endswith(".nemo"):
        raise ConfigurationError(f"{option}: there is no file {path}")
    try:
        if not path.is_file():
            model = kind.from_pretrained(source, map_location="cpu")
        else:
            _check_class(path, option, kind)
            model = kind.restore_from(str(path), map_location="cpu")
    except ConfigurationError:
        raise
    except Exception as error:
        way = "" if path.is_file() else "; without network, give the path of a .nemo file"
        raise ConfigurationError(f"{option}: {source} cannot be loaded: {_first_line(error)}{way}") from error
    if not isinstance(model, kind):
        raise ConfigurationError(f"{option}: {source} is a {type(model).__name__}, not a {kind.__name__}")
    model.eval().freeze()
    return model


def _check_class(path: Path, option: str, kind: Any) -> None:
    """Refuse a file whose model class this NeMo does not have."""
    target = kind.restore_from(str(path), return_config=True, map_location="cpu").get("target", "")
    module, _, name = target.rpartition(".")
    try:
        getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise ConfigurationError(
            f"{option}: {path} holds a {name or 'model without a class'}, which NeMo "
            f"{version('nemo_toolkit')} does not have (Tacotron2 and WaveGlow left NeMo "
            "in 3.0): use a FastPitch and HiFi-GAN pair, or --tts-engine tacotron2"
        ) from None


def _windowed(vocoder: Any) -> WindowedVocoder:
    generator = getattr(vocoder, "generator", vocoder)
    windowed = WindowedVocoder(generator, int(vocoder.cfg.preprocessor.sample_rate))
    with redirect_stdout(io.StringIO()):  # it prints
        generator.remove_weight_norm()
    return windowed


def _check_pair(model: Any, vocoder: WindowedVocoder) -> None:
    settings = model.cfg.get("preprocessor", {})
    mels = int(model.cfg.get("n_mel_channels") or settings.get("features", vocoder.mels))
    rate = int(settings.get("sample_rate") or vocoder.sample_rate)
    if (mels, rate) != (vocoder.mels, vocoder.sample_rate):
        raise ConfigurationError(
            f"hifigan_model: it takes {vocoder.mels} bands at {vocoder.sample_rate} Hz, and the spectrogram "
            f"model makes {mels} at {rate} Hz: they must be trained for each other"
        )


def _language(model: Any) -> str:
    """Return the language that the model's tokenizer is for; English when it does not say."""
    tokenizer = getattr(model, "vocab", None)
    locale = getattr(tokenizer, "locale", None)
    if isinstance(locale, str):
        return locale.partition("-")[0]
    name = type(tokenizer).__name__
    return next((tag for word, tag in _LANGUAGES.items() if name.startswith(word)), "en")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
