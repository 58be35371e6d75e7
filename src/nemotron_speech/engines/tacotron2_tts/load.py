"""A Tacotron2 and a HiFi-GAN of Coqui TTS, from folders or by name, checked to go together.

Imports Coqui TTS; imported when a model is loaded, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253
from loguru import logger
from TTS.config import load_config  # noqa: TID253
from TTS.tts.models import setup_model  # noqa: TID253
from TTS.utils.audio import AudioProcessor  # noqa: TID253
from TTS.utils.manage import ModelManager  # noqa: TID253
from TTS.vocoder.models import setup_model as setup_vocoder  # noqa: TID253

from nemotron_speech.engines.shared.hub import first_line
from nemotron_speech.engines.shared.torch_device import pick_device
from nemotron_speech.engines.shared.vocoder import WindowedVocoder
from nemotron_speech.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class TacotronVoice:
    """A loaded pair."""

    model: Any
    """A `TTS.tts.models.tacotron2.Tacotron2`."""
    vocoder: WindowedVocoder
    padding: int
    """Frames that the vocoder repeats before the first and behind the last one."""
    rescale: Callable[[torch.Tensor], torch.Tensor]
    """Conversion of frames [mels, frames] from the model's scale to the one the vocoder was trained on."""
    name: str
    language: str
    space: int | None
    """The token between two words, where there is one."""

    def tokens(self, text: str) -> list[int]:
        """Return a text as the model reads it. Raises whatever its dictionary does."""
        return self.model.tokenizer.text_to_ids(text, language=self.language)


def load_voice(tacotron2: str, hifigan: str, device: str) -> TacotronVoice:
    """Load both models. Raises ConfigurationError, with what to do, for what cannot be found or used."""
    where = pick_device(device)
    model, settings = _loaded(tacotron2, "tacotron2_model", setup_model, "tacotron2")
    gan, gan_settings = _loaded(hifigan, "hifigan_model", setup_vocoder, "")
    generator = getattr(gan, "model_g", gan).to(where)
    vocoder = WindowedVocoder(generator, int(gan_settings.audio["sample_rate"]))
    _check_pair(model, settings, vocoder)
    name = Path(tacotron2).name
    logger.info("{} with {} on {}: {} Hz", tacotron2, hifigan, where, vocoder.sample_rate)
    return TacotronVoice(
        model.to(where),
        vocoder,
        int(getattr(generator, "inference_padding", 0)),
        _rescaling(model.ap, AudioProcessor(gan_settings.audio)),
        name,
        _language(tacotron2, settings),
        _space(model.tokenizer),
    )


def _loaded(source: str, option: str, setup: Callable[[Any], Any], kind: str) -> tuple[Any, Any]:
    """Return a model in eval mode and its settings. `kind`: which models may be loaded; empty for any."""
    checkpoint, config = _files(source, option)
    try:
        settings = load_config(str(config))
        if kind and settings.model.lower() != kind:
            raise ConfigurationError(f"{option}: {source} is a {settings.model}, not a {kind}")
        model = setup(settings)
        model.load_checkpoint(settings, str(checkpoint), eval=True)
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(f"{option}: {source} cannot be loaded: {first_line(error)}") from error
    return model.requires_grad_(False), settings


def _files(source: str, option: str) -> tuple[Path, Path]:
    """Return the checkpoint and the settings of a model."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        checkpoints, config = sorted(folder.glob("*.pth")), folder / "config.json"
        if not config.is_file() or len(checkpoints) != 1:
            raise ConfigurationError(f"{option}: {folder} needs a config.json and one .pth file")
        return checkpoints[0], config
    if not source.startswith(("tts_models/", "vocoder_models/")):
        raise ConfigurationError(
            f"{option}: there is no folder {folder}; a folder with a config.json and a .pth file, or a name "
            "that `tts --list_models` shows"
        )
    try:
        checkpoint, config, _ = ModelManager(progress_bar=True).download_model(source)
    except Exception as error:
        raise ConfigurationError(
            f"{option}: {source} is not on this machine and cannot be downloaded ({first_line(error)}); "
            "without network, give the path of a folder with its config.json and .pth file"
        ) from error
    assert config is not None, source
    return checkpoint, config


def _check_pair(model: Any, settings: Any, vocoder: WindowedVocoder) -> None:
    if model.num_speakers > 1 or settings.use_d_vector_file or settings.use_capacitron_vae:
        raise ConfigurationError(
            "tacotron2_model: it speaks in the voice of a speaker to be given; use a model of one speaker"
        )
    mels, rate = int(model.decoder.frame_channels), int(settings.audio["sample_rate"])
    if (mels, rate) != (vocoder.mels, vocoder.sample_rate):
        raise ConfigurationError(
            f"hifigan_model: it takes {vocoder.mels} bands at {vocoder.sample_rate} Hz, and the spectrogram "
            f"model makes {mels} at {rate} Hz: they must be trained for each other"
        )


def _rescaling(made: Any, wanted: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Undo one model's normalisation and apply the other's; frame by frame, so windows may be rescaled."""

    def rescale(frames: torch.Tensor) -> torch.Tensor:
        physical = made.denormalize(frames.cpu().numpy())
        return torch.from_numpy(np.asarray(wanted.normalize(physical), np.float32)).to(frames.device)

    return rescale


def _language(source: str, settings: Any) -> str:
    """Return the language a model was trained on; English when neither its name nor its settings say."""
    parts = source.split("/")
    named = parts[1] if parts[0] == "tts_models" else ""
    datasets = [dataset.language for dataset in settings.datasets or () if dataset.language]
    return (named or settings.phoneme_language or next(iter(datasets), "") or "en").split("-")[0]


def _space(tokenizer: Any) -> int | None:
    try:
        return tokenizer.characters.char_to_id(" ")
    except KeyError:
        return None
