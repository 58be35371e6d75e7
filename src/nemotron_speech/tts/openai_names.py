"""OpenAI's names for voices and models, and the voices of an engine that they stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nemotron_speech.errors import BadRequest, require

_LIKELY = {
    "alloy": ("af_alloy", "aria"),
    "ash": ("am_adam", "jason"),
    "ballad": ("bm_george", "leo"),
    "coral": ("af_bella", "sofia"),
    "echo": ("am_echo", "john"),
    "fable": ("bm_fable", "leo"),
    "nova": ("af_nova", "sofia"),
    "onyx": ("am_onyx", "john"),
    "sage": ("af_sarah", "aria"),
    "shimmer": ("af_sky", "sofia"),
    "verse": ("am_michael", "jason"),
    "marin": ("af_heart", "aria"),
    "cedar": ("am_fenrir", "leo"),
}
"""Voices of Kokoro and of Magpie (and espeak-ng) that are most like each of OpenAI's."""
VOICES = tuple(_LIKELY)
MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
PCM_RATE = 24000
"""Sample rate of OpenAI's `pcm` in Hz, which its clients assume and do not ask for."""


def voice_of(name: str, voices: Sequence[str], names: Mapping[str, str]) -> str:
    """Return the engine's voice that `name` stands for.

    The engine's own names come first, then `names` (from the settings), then OpenAI's, which are spread over
    the voices there are. Case does not matter. Raises BadRequest with what is allowed.
    """
    for spelled in (name, name.lower()):
        if spelled in voices:
            return spelled
        if spelled in names:
            return _named(spelled, names[spelled], voices)
        if spelled in VOICES:
            return _like(spelled, voices)
    require("voice", name, [*voices, *names, *(one for one in VOICES if one not in names)])
    return name


def model_id(model: str) -> str:
    """Return the name of a model as an id without spaces."""
    return re.sub(r"[^\w.:/@+-]+", "-", model).strip("-")


def _named(name: str, voice: str, voices: Sequence[str]) -> str:
    if voice not in voices:
        raise BadRequest(
            f"voice {name!r} is set to stand for {voice[:40]!r}, which is not one of {', '.join(voices)}"
        )
    return voice


def _like(name: str, voices: Sequence[str]) -> str:
    likely = (voice for voice in _LIKELY[name] if voice in voices)
    return next(likely, voices[VOICES.index(name) % len(voices)])
