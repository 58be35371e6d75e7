"""Errors of the model catalogue: a model that is not here, and one that cannot be had."""

from __future__ import annotations

from collections.abc import Sequence

from nemotron_speech.errors import ConfigurationError, SpeechError


class ModelAbsent(ConfigurationError):
    """The model is in the catalogue and not on this machine; the message says what to type."""


class ModelUnavailable(SpeechError):
    """No source has given the model; lists each source's reason, and what to type."""

    def __init__(self, name: str, reasons: Sequence[str], advice: Sequence[str] = ()) -> None:
        why = "".join(f"\n  - {reason}" for reason in dict.fromkeys(reasons))
        what = "".join(f"\n  → {line}" for line in advice)
        super().__init__(f"the model {name} cannot be fetched:{why}{what}")
        self.reasons = tuple(reasons)


class DiskFull(SpeechError):
    """The disk has no room for the model."""


class SourceFailed(Exception):
    """One source does not give a file; the next one is asked."""
