"""Whisper on CTranslate2, as far as the engine needs it: load a model, read audio, detect speech."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nemotron_speech.engines import hub
from nemotron_speech.engines.base import Word
from nemotron_speech.errors import ConfigurationError

Audio = npt.NDArray[np.float32]
"""Samples in -1 to 1 at `RATE`."""

RATE = 16000
_FRAME = 480
"""30 ms."""
_QUIETEST = 0.001
"""RMS of a frame (-60 dBFS) below which it is silence without a closer look."""
_VAD_PAD_MS = 200
_SURE_OF_LANGUAGE = 0.5
"""Probability from which on a detected language is believed."""
_LOOPING = 2.4
"""Ratio by which zlib shortens a text that repeats itself: Whisper's own threshold for a failed decoding."""
_LONGEST_REPEAT = 3
"""Tokens in a row that a second decoding may not say twice."""
_TOKENS_PER_S, _MAX_TOKENS = 25, 200
_PROMPT_CHARACTERS = 200
_SPACELESS = frozenset({"zh", "yue", "ja", "th", "lo", "my"})
"""Languages that faster-whisper splits by character rather than by space."""


class WhisperModel:
    """A loaded model; see `WhisperEngine` for the options."""

    def __init__(
        self, name: str, device: str, compute_type: str, threads: int, beam_size: int, vad: bool
    ) -> None:
        self._model, self.device = _load(name, device, compute_type, threads)
        self._beam_size, self._vad = beam_size, vad
        self.languages: tuple[str, ...] = tuple(self._model.supported_languages)

    def warm_up(self) -> None:
        """Read a second of silence, so that the first caller does not wait for what loads lazily."""
        try:
            self.read(np.zeros(RATE, np.float32), self.languages[0], "", 0)
            self.has_speech(np.full(RATE, 0.5, np.float32), 0)
        except Exception as error:
            raise ConfigurationError(f"model: it loads and does not run on {self.device}: {error}") from error

    def read(self, audio: Audio, language: str, prompt: str, start_ms: int) -> list[Word]:
        """Return the words of at most 30 s of audio that begins at `start_ms`; none where it hears no speech.

        One decoding, and a second one when the first repeats itself, so the time is bounded. `prompt` is
        what was said before the audio.
        """
        segment = self._decode(audio, language, prompt)
        if segment is not None and segment.compression_ratio > _LOOPING:
            segment = self._decode(audio, language, "", no_repeat_ngram_size=_LONGEST_REPEAT)
        if segment is None:
            return []
        return _words(segment.words or (), language, start_ms, start_ms + len(audio) * 1000 // RATE)

    def _decode(self, audio: Audio, language: str, prompt: str, **options: int) -> Any:
        segments, _ = self._model.transcribe(
            audio,
            language=language,
            beam_size=self._beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
            initial_prompt=prompt[-_PROMPT_CHARACTERS:] or None,
            without_timestamps=True,
            word_timestamps=True,
            max_new_tokens=min(_MAX_TOKENS, 20 + len(audio) * _TOKENS_PER_S // RATE),
            **options,
        )
        # Without timestamps the first segment holds the whole window; a further one would read its end again.
        return next(iter(segments), None)

    @property
    def fallback_language(self) -> str:
        """What is taken for spoken until something else is heard."""
        return "en" if "en" in self.languages else self.languages[0]

    def detect(self, audio: Audio, before: str) -> str:
        """Return the language spoken in `audio`, or `before` where it is not clear."""
        language, probability, _ = self._model.detect_language(audio=audio)
        return language if probability >= _SURE_OF_LANGUAGE else before

    def has_speech(self, audio: Audio, since: int) -> bool:
        """Whether there is speech in `audio[since:]`; what is before gives the detector its bearings."""
        if not is_audible(audio[since:]):
            return False
        if not self._vad:
            return True
        from faster_whisper.vad import get_speech_timestamps  # pyright: ignore[reportMissingImports]

        spans = get_speech_timestamps(audio, speech_pad_ms=_VAD_PAD_MS, min_silence_duration_ms=100)
        return any(span["end"] > since for span in spans)


def is_audible(audio: Audio) -> bool:
    """Whether a frame of 30 ms is louder than -60 dBFS."""
    frames = np.pad(audio, (0, -len(audio) % _FRAME)).reshape(-1, _FRAME)
    return bool((np.square(frames).mean(axis=1) > _QUIETEST**2).any())


def separator(language: str) -> str:
    """What stands between the words of a language."""
    return "" if language in _SPACELESS else " "


def _words(raw: Iterable[Any], language: str, start_ms: int, end_ms: int) -> list[Word]:
    """Return the words with stream times; what does not begin with a space belongs to the word before."""
    spaced = bool(separator(language))
    words: list[Word] = []
    for item in raw:
        text = "".join(item.word.split()) if spaced else item.word
        if not text.strip():
            continue
        begin = min(max(start_ms + round(item.start * 1000), start_ms), end_ms)
        end = min(max(start_ms + round(item.end * 1000), begin), end_ms)
        confidence = float(item.probability)
        if spaced and words and not item.word[0].isspace():
            last = words.pop()
            words.append(Word(last.text + text, last.start_ms, end, min(confidence, last.confidence or 1.0)))
        else:
            words.append(Word(text, begin, end, confidence))
    return words


# -------------------------------------------------------------------------------------------- loading


def _load(name: str, device: str, compute_type: str, threads: int) -> tuple[Any, str]:
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
    """Return the folder of the model; one that is only a name comes from the hub or what is kept of it."""
    folder = Path(name).expanduser()
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
