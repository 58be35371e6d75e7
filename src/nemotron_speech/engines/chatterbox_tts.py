"""Chatterbox (Resemble AI): speaks in the voice of a reference clip.

A step speaks one piece of one text; Chatterbox makes a piece at once, so that is the unit of cancellation.
Its packages pin other versions than NeMo's: it runs in an environment of its own (scripts/chatterbox_env).
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from nemotron_speech.audio import Clip, rms, wav
from nemotron_speech.engines.base import CloneLimits, Segment, TtsInfo, TtsResult
from nemotron_speech.engines.shared.clauses import split_clauses
from nemotron_speech.engines.shared.pieces import PieceStream, speak_pieces
from nemotron_speech.engines.shared.torch_device import pick_device
from nemotron_speech.errors import BadRequest, ConfigurationError, EngineError, require
from nemotron_speech.sound_files import read

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PRESETS = {"aggressive": 60, "balanced": 120, "conservative": 240}
"""Characters of a text spoken at once; the model stops after 40 s of audio."""
_QUIETEST = 30.0
"""Root mean square of a clip with a voice in it, of 32 768: -60 dB."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the models, and what it needs of a reference clip."""

    module: str
    kind: str
    min_clip_s: float


VARIANTS = {
    "turbo": Variant("chatterbox.tts_turbo", "ChatterboxTurboTTS", 5.1),
    "base": Variant("chatterbox.tts", "ChatterboxTTS", 3.0),
    "multilingual": Variant("chatterbox.mtl_tts", "ChatterboxMultilingualTTS", 3.0),
}
"""The fast English model refuses a clip of 5 s or less itself."""


class ChatterboxEngine:
    """Speak with a Chatterbox model.

    Args:
        variant: turbo (English, fastest), base (English) or multilingual.
        folder: The checkpoint's files; without it they are downloaded from the hub on first use.
        voices: Names to paths of reference clips, learnt when the model is loaded.
        device: auto (CUDA where there is one), cpu, cuda or cuda:N.
        capacity: Callers at once.
        max_clones: Voices that may be learnt while it runs.
    """

    def __init__(
        self,
        variant: str = "turbo",
        folder: str | None = None,
        voices: Mapping[str, str] | None = None,
        device: str = "auto",
        capacity: int = 8,
        max_clones: int = 32,
    ) -> None:
        if variant not in VARIANTS:
            raise ConfigurationError(f"variant: {variant!r}; allowed: {', '.join(VARIANTS)}")
        if capacity < 1 or max_clones < 0:
            raise ConfigurationError(f"capacity: {capacity}, max_clones: {max_clones}; at least 1 and 0")
        self._variant, self._folder = VARIANTS[variant], folder
        self._references, self._device = dict(voices or {}), device
        self._model: Any = None
        self._known: dict[str, Any] = {}
        """Voice name to the conditionals that the model made of its reference clip."""
        self._cloned: set[str] = set()
        self.info = TtsInfo(
            name="chatterbox",
            model=f"chatterbox-{variant}",
            sample_rate=24000,
            voices=("default",),
            presets=tuple(PRESETS),
            capacity=capacity,
            max_batch=1,  # pieces of several callers take turns, so a first one never waits for all
            cloning=CloneLimits(self._variant.min_clip_s, 30.0, max_clones) if max_clones else None,
        )

    def load(self) -> None:
        """Load the model; `info` then says what it really has. Raises ConfigurationError."""
        kind = _kind(self._variant)
        device = pick_device(self._device)
        try:
            model = kind.from_local(self._folder, device) if self._folder else kind.from_pretrained(device)
        except Exception as error:
            way = "" if self._folder else "; without network, give the checkpoint's folder as folder="
            raise ConfigurationError(f"Chatterbox cannot be loaded: {error}{way}") from error
        self._model = model
        self._known = {} if model.conds is None else {"default": model.conds}
        self.info = replace(self.info, sample_rate=int(model.sr), languages=_languages(kind))
        for name, path in self._references.items():
            self._known[name] = self._learn_file(name, Path(path))
        if not self._known:
            raise ConfigurationError(
                "voices: this checkpoint has no voice of its own; give a clip of one, as in "
                'voices={"anna": "anna.wav"}'
            )
        self._publish()
        logger.info("{} on {}: voices {}", self.info.model, device, ", ".join(self._known))

    def unload(self) -> None:
        self._model, self._known = None, {}

    def open(self, segment: Segment) -> PieceStream:
        """Start a segment. Raises BadRequest for an unknown voice or language, or another speed."""
        segment.check(self.info)
        pieces = split_clauses(segment.text, PRESETS[segment.preset])
        return PieceStream(segment, deque(pieces), self._known[segment.voice])

    def step(self, streams: Sequence[PieceStream]) -> list[TtsResult | EngineError]:
        """Speak the next piece of each segment."""
        return speak_pieces(streams, self._speak)

    def close(self, stream: PieceStream) -> None:
        """Stop the segment: no further piece of it is spoken."""
        stream.stop()

    def clone(self, name: str, clip: Clip) -> None:
        """Learn a voice from a clip; see `VoiceCloner`."""
        limits = self.info.cloning
        if limits is None:
            raise BadRequest("this server learns no voices")
        if name in self._known:
            raise BadRequest(f"there is a voice {name!r} already; forget it, or give another name")
        if len(self._cloned) >= limits.voices:
            raise BadRequest(f"{limits.voices} voices have been learnt, and no more are kept; forget one")
        _check_clip(clip, limits)
        try:
            self._known[name] = self._learn(clip)
        except Exception as error:
            raise EngineError(f"the model could not learn the voice: {error}") from error
        self._cloned.add(name)
        self._publish()

    def forget(self, name: str) -> None:
        """Drop a cloned voice; segments that speak with it go on. Raises BadRequest for any other name."""
        require("cloned voice", name, sorted(self._cloned))
        self._cloned.discard(name)
        del self._known[name]
        self._publish()

    def _publish(self) -> None:
        self.info = replace(self.info, voices=tuple(self._known))

    def _learn_file(self, name: str, path: Path) -> Any:
        try:
            clip = read(path)
            _check_clip(clip, CloneLimits(self._variant.min_clip_s, 30.0, 1))
            return self._learn(clip)
        except Exception as error:
            raise ConfigurationError(f"voices: {name} cannot be learnt from {path}: {error}") from error

    def _learn(self, clip: Clip) -> Any:
        """Return what the model needs to know of the voice in a clip; it takes files alone."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.wav"
            path.write_bytes(wav(clip.pcm, clip.sample_rate))
            self._model.prepare_conditionals(str(path))
        return self._model.conds

    def _speak(self, stream: PieceStream, piece: str) -> npt.NDArray[np.float32]:
        if self._model is None:
            raise EngineError("the model is not loaded")
        self._model.conds = stream.voice
        language = {"language_id": stream.segment.language} if len(self.info.languages) > 1 else {}
        return _samples(self._model.generate(piece, **language))


def _kind(variant: Variant) -> Any:
    try:
        return getattr(import_module(variant.module), variant.kind)
    except ImportError as error:
        raise ConfigurationError(
            f"the chatterbox engine needs chatterbox-tts ({error}): run scripts/chatterbox_env and start the "
            "server from the environment that it makes"
        ) from error


def _languages(kind: Any) -> tuple[str, ...]:
    supported = getattr(kind, "get_supported_languages", lambda: {"en": "English"})()
    return ("en", *sorted(set(supported) - {"en"}))


def _check_clip(clip: Clip, limits: CloneLimits) -> None:
    if not limits.min_s <= clip.seconds <= limits.max_s:
        allowed = f"{limits.min_s:g} to {limits.max_s:g}"
        raise BadRequest(f"the clip is {clip.seconds:.1f} s long; a voice is learnt from {allowed} s")
    if rms(clip.samples) < _QUIETEST:
        raise BadRequest("the clip is silent: a voice is learnt from speech")


def _samples(audio: Any) -> npt.NDArray[np.float32]:
    """Return the samples of what `generate` returns: a tensor [1, n]."""
    import numpy as np

    samples = np.asarray(audio, np.float32).reshape(-1)
    if not np.isfinite(samples).all():
        raise FloatingPointError("the model's audio is not finite")
    return samples
