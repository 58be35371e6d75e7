"""Where the files of a Moonshine model are."""

from __future__ import annotations

from pathlib import Path

from nemotron_speech.errors import ConfigurationError


def model_folder(model: str) -> Path:
    """Return the folder of a model that is named by its path or by its name in the catalogue.

    Raises ConfigurationError that says how to get it.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or model.startswith((".", "~")):
        raise ConfigurationError(f"model: there is no folder {folder}")
    return _catalogued(model)


def _catalogued(name: str) -> Path:
    raise ConfigurationError(
        f"model: {name} is not on this machine; give the path of a folder with encoder_model.ort, "
        "decoder_model_merged.ort and tokenizer.bin, as the package moonshine-voice 0.1.0 holds them "
        "in moonshine_voice/assets/tiny-en"
    )
