"""Choice of the PyTorch device."""

from __future__ import annotations

from nemotron_speech.errors import ConfigurationError


def pick_device(device: str) -> str:
    """Return the PyTorch device that `device` means; `auto` takes a GPU when there is one."""
    if device == "cpu":
        return device
    import torch

    if device != "auto":
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigurationError(
                f"device {device!r} was asked for and PyTorch sees no GPU; use cpu or auto"
            )
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"
