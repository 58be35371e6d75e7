"""Find a converted Whisper model, download it if need be, and load it on the device that is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nemotron_speech import models
from nemotron_speech.engines import hub
from nemotron_speech.errors import ConfigurationError


def load(name: str, device: str, compute_type: str, threads: int) -> tuple[Any, str]:
    """Return the model of faster-whisper and the kind of device it is on. Raises ConfigurationError."""
    try:
        import ctranslate2  # pyright: ignore[reportMissingImports]
        from faster_whisper import (  # pyright: ignore[reportMissingImports]
            WhisperModel as Model,
        )
    except ImportError as error:
        raise ConfigurationError(
            f"the whisper engine needs faster-whisper ({error}); pip install 'nemotron-speech[whisper]'"
        ) from error
    kind, index = _device(device, ctranslate2.get_cuda_device_count())
    if compute_type == "auto":
        compute_type = "float16" if kind == "cuda" else "int8"
    path = _path(name)
    try:
        model = Model(
            str(path),
            device=kind,
            device_index=index,
            compute_type=compute_type,
            cpu_threads=threads or _cores(),
        )
    except Exception as error:
        raise ConfigurationError(
            f"model: {name} is no usable Whisper model with compute_type {compute_type} on {kind}: {error}"
        ) from error
    return model, kind


def _device(device: str, gpus: int) -> tuple[str, int]:
    kind, _, index = device.partition(":")
    if kind == "auto":
        kind = "cuda" if gpus else "cpu"
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()):
        raise ConfigurationError(f"device: {device!r}; allowed: auto, cpu, cuda, cuda:0, cuda:1 …")
    if kind == "cuda" and int(index or 0) >= gpus:
        raise ConfigurationError(
            f"device: {device!r} was asked for and CTranslate2 sees {gpus} GPUs; use auto or cpu"
        )
    return kind, int(index or 0)


def _path(name: str) -> Path:
    """Return the folder of the model; a name is of the model catalogue, or of the hub, kept or fetched."""
    folder = models.find(name, engine="whisper") if name in models.entries() else Path(name).expanduser()
    if folder.is_dir():
        absent = [part for part in ("model.bin", "tokenizer.json") if not (folder / part).is_file()]
        if absent:
            raise ConfigurationError(
                f"model: {folder} is no converted Whisper model, it lacks {' and '.join(absent)}"
            )
        return folder
    if folder.is_absolute() or name.startswith((".", "~")):
        raise ConfigurationError(f"model: there is no folder {folder}")
    return _kept(name) or _fetched(name)


def _kept(name: str) -> Path | None:
    """Return the model where an earlier download put it: no network is asked."""
    from faster_whisper.utils import download_model  # pyright: ignore[reportMissingImports]
    from huggingface_hub.errors import (  # pyright: ignore[reportMissingImports]
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        path = Path(download_model(name, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except (ValueError, HFValidationError) as error:
        raise ConfigurationError(f"model: {error}") from error
    return path if (path / "model.bin").is_file() and (path / "tokenizer.json").is_file() else None


def _fetched(name: str) -> Path:
    from faster_whisper import utils  # pyright: ignore[reportMissingImports]

    repository = name if "/" in name else utils._MODELS[name]
    files = ["config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*"]
    return hub.fetched(repository, files)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
