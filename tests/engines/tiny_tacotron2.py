"""A Tacotron2 and a HiFi-GAN of Coqui TTS with random weights, saved as its own checkpoints.

The widths of the model are those of the class, which knows no others; it says little, and soon ends.
"""

from __future__ import annotations

from math import exp, tanh
from pathlib import Path
from typing import Any

MELS, RATE, HOP = 20, 22050, 256


def save_tacotron2(folder: Path, *, stop_after: float = 20.0, mels: int = MELS, **settings: Any) -> Path:
    """Save a model that ends after about so many steps, of two frames each."""
    import torch
    from TTS.config.shared_configs import BaseAudioConfig
    from TTS.tts.configs.tacotron2_config import Tacotron2Config
    from TTS.tts.models import setup_model

    config = Tacotron2Config(
        r=2,
        out_channels=mels,
        decoder_output_dim=mels,
        audio=BaseAudioConfig(num_mels=mels, sample_rate=RATE),
        **settings,
    )
    torch.manual_seed(3)
    model = setup_model(config)
    with torch.no_grad():
        model.decoder.linear_projection.linear_layer.weight.mul_(4.0)
        for layer in model.postnet.convolutions:
            layer.convolution1d.weight.mul_(2.0)
        _count_steps(model.decoder, stop_after)
    return _saved(model, config, folder)


def save_hifigan(folder: Path) -> Path:
    import torch
    from TTS.vocoder.configs.hifigan_config import HifiganConfig
    from TTS.vocoder.models import setup_model

    config = HifiganConfig()
    config.audio.num_mels = MELS
    config.generator_model_params.update(
        in_channels=MELS,
        upsample_initial_channel=32,
        resblock_kernel_sizes=[3, 7],
        resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
    )
    torch.manual_seed(4)
    model = setup_model(config)
    for up in model.model_g.ups:
        up.parametrizations.weight.original0.data.mul_(2.0)  # its initial weights make next to no sound
    return _saved(model, config, folder)


def _count_steps(decoder: Any, until: float) -> None:
    """Make one cell of the decoder grow with every step, a little faster or slower with what it hears."""
    width, unit = decoder.decoder_rnn_dim, 0
    cell = decoder.decoder_rnn
    gates = {"input": (-4.0, 1.0), "forget": (12.0, 0.0), "new": (4.0, 0.0), "output": (6.0, 0.0)}
    for number, (bias, heard) in enumerate(gates.values()):
        row = number * width + unit
        cell.weight_ih[row].mul_(heard)
        cell.weight_hh[row].mul_(heard)
        cell.bias_ih[row], cell.bias_hh[row] = bias, 0.0
    layer = decoder.stopnet[1].linear_layer
    layer.weight.zero_()
    layer.weight[0, unit] = 1000.0
    layer.bias.fill_(-1000.0 * tanh(until / (1 + exp(4.0))))


def _saved(model: Any, config: Any, folder: Path) -> Path:
    import torch

    folder.mkdir(exist_ok=True)
    weights = {name: w.half() if w.is_floating_point() else w for name, w in model.state_dict().items()}
    torch.save({"model": weights, "config": {"r": 2}}, folder / "model.pth")
    config.save_json(str(folder / "config.json"))
    return folder
