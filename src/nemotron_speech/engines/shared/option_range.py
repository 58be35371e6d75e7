"""Check of a numeric option of an engine against its range."""

from __future__ import annotations

from nemotron_speech.errors import ConfigurationError


def check_range(option: str, value: float, least: float, most: float) -> None:
    """Raise ConfigurationError with what is allowed for a value outside `least` to `most`."""
    if not least <= value <= most:
        raise ConfigurationError(f"{option}: {value}; allowed: {least} to {most}")
