"""FastPitch and HiFi-GAN with random weights, saved as .nemo files."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

MELS, RATE, HOP, WIDTH = 20, 22050, 256, 32
TOKENIZERS = "nemo.collections.common.tokenizers.text_to_speech.tts_tokenizers"
FEATURES = {
    "lowfreq": 0,
    "highfreq": 8000,
    "n_fft": 1024,
    "n_window_size": 1024,
    "n_window_stride": HOP,
    "sample_rate": RATE,
    "window": "hann",
    "normalize": None,
    "preemph": None,
    "dither": 0.0,
}


def save_fastpitch(path: Path, *, speakers: int = 1, mels: int = MELS) -> Path:
    """Save a model that speaks a few frames per character."""
    import torch
    from nemo.collections.tts.models import FastPitchModel

    model = _made(FastPitchModel, _fastpitch(speakers, mels))
    with torch.no_grad():
        model.fastpitch.duration_predictor.fc.bias.fill_(1.5)
        model.fastpitch.proj.weight.mul_(4.0)
    model.save_to(str(path))
    return path


def save_hifigan(path: Path) -> Path:
    from nemo.collections.tts.models import HifiGanModel

    model = _made(HifiGanModel, _hifigan())
    for up in model.generator.ups:
        up.weight_g.data.mul_(2.0)  # its initial weights make next to no sound
    model.save_to(str(path))
    return path


def _made(kind: Any, config: dict[str, Any]) -> Any:
    import torch
    from omegaconf import OmegaConf

    torch.manual_seed(0)
    with mock.patch.object(kind, "setup_training_data"):
        return kind(cfg=OmegaConf.create(config)).eval()


def _fastpitch(speakers: int, mels: int) -> dict[str, Any]:
    modules = "nemo.collections.tts.modules"
    transformer = {
        "n_layer": 1,
        "n_head": 1,
        "d_model": WIDTH,
        "d_head": 16,
        "d_inner": 64,
        "kernel_size": 3,
        "dropout": 0.0,
        "dropatt": 0.0,
        "dropemb": 0.0,
    }
    predictor = {
        "_target_": f"{modules}.fastpitch.TemporalPredictor",
        "input_size": WIDTH,
        "kernel_size": 3,
        "filter_size": 32,
        "dropout": 0.0,
        "n_layers": 2,
    }
    return {
        "train_ds": {"dataset": {"_target_": "nemo.collections.tts.data.dataset.TTSDataset"}},
        "learn_alignment": True,
        "n_speakers": speakers,
        "n_mel_channels": mels,
        "symbols_embedding_dim": WIDTH,
        "pitch_embedding_kernel_size": 3,
        "max_token_duration": 20,
        "pitch_mean": 100.0,
        "pitch_std": 30.0,
        "text_tokenizer": {
            "_target_": f"{TOKENIZERS}.EnglishCharsTokenizer",
            "punct": True,
            "apostrophe": True,
            "pad_with_space": True,
        },
        "preprocessor": {
            "_target_": "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor",
            "features": mels,
            "window_size": False,
            "window_stride": False,
            "pad_to": 1,
            **FEATURES,
        },
        "input_fft": {
            "_target_": f"{modules}.transformer.FFTransformerEncoder",
            "d_embed": WIDTH,
            **transformer,
        },
        "output_fft": {"_target_": f"{modules}.transformer.FFTransformerDecoder", **transformer},
        "duration_predictor": predictor,
        "pitch_predictor": predictor,
        "alignment_module": {
            "_target_": f"{modules}.aligner.AlignmentEncoder",
            "n_mel_channels": mels,
            "n_text_channels": WIDTH,
        },
        "optim": {"name": "adamw", "lr": 1e-3},
    }


def _hifigan() -> dict[str, Any]:
    return {
        "debug": True,  # small discriminators
        "train_ds": {"dataset": {"_target_": "nemo.collections.tts.data.dataset.TTSDataset"}},
        "preprocessor": {
            "_target_": "nemo.collections.asr.parts.preprocessing.features.FilterbankFeatures",
            "nfilt": MELS,
            "pad_to": 0,
            **FEATURES,
        },
        "generator": {
            "_target_": "nemo.collections.tts.modules.hifigan_modules.Generator",
            "resblock": 1,
            "upsample_rates": [8, 8, 2, 2],
            "upsample_kernel_sizes": [16, 16, 4, 4],
            "upsample_initial_channel": 32,
            "resblock_kernel_sizes": [3, 7],
            "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
            "initial_input_size": MELS,
        },
        "optim": {"_target_": "torch.optim.AdamW", "lr": 1e-3},
    }
