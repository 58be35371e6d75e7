"""A Magpie checkpoint on disk or on a hub, loaded and checked: the model, its voices and its languages.

Imports PyTorch and NeMo; imported when a model is loaded, not before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch  # noqa: TID253  # pyright: ignore[reportMissingImports]
from loguru import logger

from nemotron_speech.engines.magpie_tts.text import MagpieText, sentences
from nemotron_speech.errors import ConfigurationError

CODEC_HUB_NAME = "nvidia/nemo-nano-codec-22khz-1.89kbps-21.5fps"
"""The released checkpoint's codec, which is not packed into its file."""
_SPEAKERS = ("john", "sofia", "aria", "jason", "leo")
"""The released checkpoint's table of voices, in its order."""
_FIRST_VOICE = "aria"
_G2P_PACKAGES = {
    "ChineseG2p": ("jieba", "pypinyin", "pypinyin_dict"),
    "EnglishG2p": ("nltk",),
    "JapaneseG2p": ("pyopenjtalk", "janome"),
    "JapaneseKatakanaAccentG2p": ("pyopenjtalk",),
}
"""NeMo class of a language to the modules it imports: without them the whole checkpoint cannot be loaded."""
_POSITIONS = 4096
"""Positions of NeMo's transformers, where a checkpoint does not say."""
_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded model."""

    model: Any
    name: str
    sample_rate: int
    voices: dict[str, int]
    """Name to place in the model's table; the default first."""
    texts: dict[str, MagpieText]
    """Language to the front end that reads its texts."""


def load_checkpoint(source: str, codec: str | None, device: str, precision: str) -> Checkpoint:
    """Load a Magpie checkpoint.

    Args:
        source: Path of a .nemo file, or a name on the Hugging Face hub.
        codec: The same for the codec, instead of the one the checkpoint names.
        device: auto, cpu, cuda or cuda:N.
        precision: auto, fp32, bf16 or fp16, of the transformers; the codec stays in fp32.

    Raises ConfigurationError, with what to do, when something cannot be found, fetched or used.
    """
    import nemo.utils  # pyright: ignore[reportMissingImports]

    nemo.utils.logging.setLevel(nemo.utils.logging.ERROR)
    where = _device(device)
    model = _restore(source, codec).to(where).eval()
    _check(model)
    _set_precision(model, _dtype(precision, where))
    texts = _texts(model)
    voices = _voices(model)
    logger.info(
        "{} on {}: voices {}, languages {}, {} Hz",
        source,
        where,
        ", ".join(voices),
        ", ".join(texts),
        model.output_sample_rate,
    )
    return Checkpoint(model, Path(source).stem, int(model.output_sample_rate), voices, texts)


def _restore(source: str, codec: str | None) -> Any:
    from nemo.collections.tts.models import (  # pyright: ignore[reportMissingImports]
        AudioCodecModel,
        MagpieTTSModel,
    )

    path = _file(source, "model", MagpieTTSModel)
    try:
        config = MagpieTTSModel.restore_from(path, return_config=True, map_location="cpu")
        named = codec or config.codecmodel_path
    except Exception as error:
        raise ConfigurationError(f"{source} is no Magpie checkpoint: {error}") from error
    _check_packages(source, config)
    config.codecmodel_path = _file(named, "codec", AudioCodecModel)
    try:
        return MagpieTTSModel.restore_from(path, override_config_path=config, map_location="cpu")
    except Exception as error:
        raise ConfigurationError(f"{source} with the codec {named} cannot be loaded: {error}") from error


def _check_packages(source: str, config: Any) -> None:
    for name, tokenizer in config.text_tokenizers.items():
        kind = str((tokenizer.get("g2p") or {}).get("_target_", "")).rpartition(".")[2]
        missing = [package for package in _G2P_PACKAGES.get(kind, ()) if find_spec(package) is None]
        if missing:
            packages = " ".join(missing).replace("_", "-")
            raise ConfigurationError(
                f"{source} cannot be loaded: its tokenizer {name} needs what is not installed: "
                f"pip install {packages}"
            )


def _file(source: str, option: str, kind: Any) -> str:
    """Return the path of a .nemo file; one on the hub is downloaded, once, with a progress bar."""
    path = Path(source).expanduser()
    if path.is_file():
        return str(path)
    if Path(source).suffix == ".nemo" or source.count("/") != 1:
        raise ConfigurationError(f"{option}: there is no file {source}")
    logger.info("looking for the {} {} in the cache and on the hub", option, source)
    try:
        return str(kind.from_pretrained(model_name=source, return_model_file=True))
    except Exception as error:
        raise ConfigurationError(_absent(source, option, error)) from error


def _absent(source: str, option: str, error: Exception) -> str:
    """Return the error for a checkpoint that cannot be downloaded, with the commands that fetch its files."""
    other = f" and {CODEC_HUB_NAME}" if option == "model" else ""
    names = [source, CODEC_HUB_NAME] if option == "model" else [source]
    commands = "".join(f"\n  hf download {name} --include '*.nemo' --local-dir models" for name in names)
    return (
        f"{option}: {source} is not here and cannot be downloaded ({type(error).__name__}). Where there is a "
        f"network, get it{other}:{commands}\n"
        "then start the server with --option model=PATH.nemo --option codec=PATH.nemo"
    )


def _device(device: str) -> Any:
    name = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        where = torch.device(name)
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(f"device: {name} cannot be used: {error}") from None
    return where


def _dtype(precision: str, where: Any) -> Any:
    if precision == "auto":
        return torch.bfloat16 if where.type == "cuda" else torch.float32
    if precision not in _PRECISIONS:
        raise ConfigurationError(f"precision: {precision!r}; allowed: auto, {', '.join(_PRECISIONS)}")
    return _PRECISIONS[precision]


def _set_precision(model: Any, dtype: Any) -> None:
    """Convert all but the codec, whose samples would be heard to suffer."""
    for name, part in model.named_children():
        if name != "_codec_model":
            part.to(dtype)
    if model.baked_context_embedding is not None:
        model.baked_context_embedding.to(dtype)


def _check(model: Any) -> None:
    if not model.has_baked_context_embedding:
        raise ConfigurationError(
            "this Magpie checkpoint has no table of voices (it clones from a reference clip): not supported"
        )


def _voices(model: Any) -> dict[str, int]:
    count = model.num_baked_speakers
    names = _SPEAKERS if count == len(_SPEAKERS) else [f"voice{i}" for i in range(count)]
    voices = {name: place for place, name in enumerate(names)}
    return {name: voices[name] for name in sorted(voices, key=lambda name: name != _FIRST_VOICE)}


def _texts(model: Any) -> dict[str, MagpieText]:
    """Return the languages of the loaded tokenizers; a single unnamed tokenizer is English."""
    from nemo.collections.tts.parts.utils.tts_dataset_utils import (  # pyright: ignore[reportMissingImports]
        LANGUAGE_TOKENIZER_MAP,
    )

    loaded = list(model.tokenizer.tokenizers)
    found = {
        language: next((name for name in names if name in loaded), None)
        for language, names in LANGUAGE_TOKENIZER_MAP.items()
    }
    named = {language: name for language, name in found.items() if name} or {"en": loaded[0]}
    longest = _longest_text(model)
    return {
        language: MagpieText(
            model.tokenizer, name, partial(sentences, language=language), model.eos_id, longest
        )
        for language, name in named.items()
    }


def _longest_text(model: Any) -> int:
    """Return the text encoder's positions, less those for tokens that a part keeps of the one before."""
    positions = model.cfg.encoder.get("max_length_causal_mask", _POSITIONS)
    return int(positions) - model.chunked_inference_config.history_len_heuristic
