"""Loading a cache-aware FastConformer: from a file or a hub, checked, at the look-ahead asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loguru import logger

from nemotron_speech.engines.shared import hub
from nemotron_speech.engines.shared.isolation import is_memory
from nemotron_speech.errors import ConfigurationError

PRECISIONS = ("fp32", "bf16", "fp16")
USUAL_LOOK_AHEAD = 1
"""Look-ahead in encoder frames, where none is asked for: words come every 160 ms.

A model's own default is its longest as a rule, over a second.
"""
_MEANT: dict[tuple[int, ...], tuple[int, int]] = {(70, 16): (70, 6), (70, 33): (70, 13)}
"""Attention context often written in frames of another length, to the one with the latency it promises."""


def load_model(name: str, device: str) -> Any:
    """Return the NeMo model called `name` in eval mode: a `.nemo` file, an unpacked one, or a name on a hub.

    Raises ConfigurationError when NeMo is not installed, or there is no such model and no network.
    """
    try:
        from nemo.collections.asr.models import ASRModel
        from nemo.utils import logging as nemo_logging
    except ImportError as error:
        raise ConfigurationError(f"the nemo engine needs NeMo: run scripts/nemo_env ({error})") from None
    nemo_logging.setLevel(nemo_logging.ERROR)
    model = _restored(ASRModel, name, device) if _is_file(name) else _downloaded(ASRModel, name, device)
    model.eval()
    model.freeze()
    return model


def set_precision(model: Any, precision: str) -> Any:
    """Convert what runs per step to `precision` and return that dtype. The spectrogram stays in fp32."""
    import torch

    if precision not in PRECISIONS:
        raise ConfigurationError(f"unknown precision {precision!r}; allowed: {', '.join(PRECISIONS)}")
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    for name, module in model.named_children():
        if name != "preprocessor":
            module.to(dtype)
    return dtype


def set_look_ahead(model: Any, right_context: int | None, att_ctx: str | None) -> tuple[int, int]:
    """Choose the attention context, by look-ahead frames or as `"left,right"`; return (left, right).

    Raises ConfigurationError for one the model was not trained with.
    """
    encoder = model.encoder
    supported = [tuple(context) for context in encoder.att_context_size_all]
    chosen = _chosen(supported, right_context, att_ctx, tuple(encoder.att_context_size))
    encoder.set_default_att_context_size(list(chosen))
    encoder.setup_streaming_params()
    return chosen


def check_streaming(model: Any) -> None:
    """Raise ConfigurationError unless `model` is a FastConformer that can stream exactly."""
    encoder = getattr(model, "encoder", None)
    faults = [
        (getattr(encoder, "att_context_style", None) != "chunked_limited", "no chunked attention"),
        (not isinstance(_sampling(encoder), list), "no causal convolutional subsampling"),
        (getattr(encoder, "conv_context_size", [0, 1])[1] != 0, "convolutions that look ahead"),
        (_normalises(model), "features normalised over the whole recording"),
    ]
    found = [fault for wrong, fault in faults if wrong]
    if found:
        raise ConfigurationError(
            f"{type(model).__name__} is not a cache-aware streaming model: {'; '.join(found)}"
        )


def _chosen(
    supported: list[tuple[int, ...]], right: int | None, att_ctx: str | None, default: tuple[int, ...]
) -> tuple[int, int]:
    if att_ctx:
        wanted = _parsed(att_ctx)
        if wanted in _MEANT and wanted not in supported:
            meant = _MEANT[wanted]
            logger.warning("look-ahead {} means {},{} in frames of 80 ms", att_ctx, *meant)
            wanted = meant
        matches = [context for context in supported if context == wanted]
    elif right is not None:
        matches = [context for context in supported if context[1] == right]
    else:
        matches = [context for context in supported if context[1] == USUAL_LOOK_AHEAD] or [default]
    if not matches:
        asked = att_ctx or f"right_context={right}"
        allowed = "; ".join(f"{a},{b} ({b * 80} ms)" for a, b in supported)
        raise ConfigurationError(f"look-ahead {asked} is not one of this model's; it supports {allowed}")
    return matches[0][0], matches[0][1]


def _parsed(att_ctx: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in att_ctx.strip("[] ").split(","))
    except ValueError:
        raise ConfigurationError(f"att_ctx {att_ctx!r} is not two numbers such as 70,1") from None


def _sampling(encoder: Any) -> Any:
    sampling = getattr(getattr(encoder, "pre_encode", None), "get_sampling_frames", lambda: 0)()
    cache = getattr(getattr(encoder, "streaming_cfg", None), "pre_encode_cache_size", 0)
    return sampling if isinstance(cache, list) else 0


def _normalises(model: Any) -> bool:
    return model.preprocessor.featurizer.normalize not in (None, False, "", "NA")


def _is_file(name: str) -> bool:
    return Path(name).expanduser().exists() or name.endswith(".nemo")


def _restored(model_class: Any, name: str, device: str) -> Any:
    import torch

    path = Path(name).expanduser()
    if not path.exists():
        raise ConfigurationError(f"there is no model file {path}")
    if path.is_dir() and (packed := next(path.glob("*.nemo"), None)):
        path = packed
    logger.info("loading {}", path)
    try:
        return model_class.restore_from(str(path), map_location=torch.device(device))
    except Exception as error:
        if is_memory(error):
            raise ConfigurationError(f"{path} does not fit into the memory of {device}") from error
        raise ConfigurationError(f"{path} is not a NeMo speech recognition model: {error}") from error


def _downloaded(model_class: Any, name: str, device: str) -> Any:
    if "/" in name:
        return _restored(model_class, str(hub.model_file(name, "*.nemo")), device)
    import torch

    logger.info("looking for {} among NeMo's own models", name)
    try:
        return model_class.from_pretrained(name, map_location=torch.device(device))
    except Exception as error:
        raise ConfigurationError(
            f"cannot get the model {name}: {hub.first_line(error)}. Give the path of a .nemo file, or a name "
            "with its owner, such as nvidia/nemotron-speech-streaming-en-0.6b"
        ) from error
