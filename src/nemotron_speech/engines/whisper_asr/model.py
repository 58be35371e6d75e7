"""Whisper on CTranslate2, as far as the engine needs it: read the audio of many callers, detect speech."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nemotron_speech.engines.base import Word
from nemotron_speech.engines.whisper_asr.load import load
from nemotron_speech.engines.whisper_asr.words import pieces, words
from nemotron_speech.errors import ConfigurationError

Audio = npt.NDArray[np.float32]
"""Samples in -1 to 1 at `RATE`."""

RATE = 16000
_FRAME = 480
"""30 ms."""
_QUIETEST = 0.001
"""RMS of a frame (-60 dBFS) below which the frame is silence without a closer look."""
_VAD_PAD_MS = 200
_SURE_OF_LANGUAGE = 0.5
"""Probability from which on a detected language is believed."""
_LOOPING = 2.4
"""Ratio by which zlib shortens a text that repeats itself: Whisper's own threshold for a failed decoding."""
_LONGEST_REPEAT = 3
"""Tokens in a row that a second decoding may not say twice."""
_NO_SPEECH, _UNLIKELY = 0.6, -1.0
"""Whisper's own thresholds for audio without speech: its probability, and the text's log probability."""
_TOKENS_PER_S, _MAX_TOKENS = 12, 200
"""Tokens of a reading at most."""
_PROMPT_TOKENS = 32
"""Tokens of earlier text in a reading's prompt, exactly so many or none: in a batch all have one length."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Input of a reading: at most 30 s of audio, which begins at `start_ms` of its stream."""

    audio: Audio
    language: str
    detect: bool = False
    """True if `language` is a guess, to be replaced by the detected one."""
    before: str = ""
    """Text said before the audio."""
    start_ms: int = 0

    @property
    def end_ms(self) -> int:
        return self.start_ms + len(self.audio) * 1000 // RATE

    @property
    def frames(self) -> int:
        """Frames of 10 ms."""
        return max(len(self.audio) * 100 // RATE, 1)

    @property
    def most_tokens(self) -> int:
        return min(_MAX_TOKENS, 10 + len(self.audio) * _TOKENS_PER_S // RATE)


@dataclass(slots=True, eq=False)
class WhisperReading:
    """Output of a reading: no words where there is no speech."""

    language: str
    words: list[Word] = field(default_factory=list)


class WhisperModel:
    """A loaded model; see `WhisperEngine` for the options."""

    def __init__(
        self, name: str, device: str, compute_type: str, threads: int, beam_size: int, vad: bool
    ) -> None:
        from faster_whisper.transcribe import get_suppressed_tokens  # pyright: ignore[reportMissingImports]

        self._model, self.device = load(name, device, compute_type, threads)
        self._beam_size, self._vad = beam_size, vad
        self.languages: tuple[str, ...] = tuple(self._model.supported_languages)
        self._tokenizer = cache(self._make_tokenizer)
        self._unspeakable = get_suppressed_tokens(self._tokenizer(self.languages[0]), [-1])

    def warm_up(self, batch: int) -> None:
        """Read a second of silence, so that the first caller does not wait for what loads lazily."""
        silence = Reading(np.zeros(RATE, np.float32), self.languages[0])
        try:
            self.read([silence] * batch)
            self.has_speech(np.full(RATE, 0.5, np.float32), 0)
        except Exception as error:
            raise ConfigurationError(f"model: it loads and does not run on {self.device}: {error}") from error

    def read(self, readings: Sequence[Reading]) -> list[WhisperReading]:
        """Read all at once: each hears what it would alone.

        One encoding and one decoding, and a second decoding of those whose first repeats itself, of at most
        `_MAX_TOKENS` tokens each: so the time is bounded, whatever is said.
        """
        encoded = self._model.encode(np.stack([self._features(reading.audio) for reading in readings]))
        languages = self._languages(encoded, readings)
        prompts = [
            self._prompt(language, reading.before)
            for language, reading in zip(languages, readings, strict=True)
        ]
        limits = [reading.most_tokens for reading in readings]
        tokens = self._decode(encoded, prompts, limits)
        if looping := [row for row, said in enumerate(tokens) if self._repeats_itself(said)]:
            again = self._decode(
                _rows(encoded, looping),
                [self._prompt(languages[row], "") for row in looping],
                [limits[row] for row in looping],
                no_repeat_ngram_size=_LONGEST_REPEAT,
            )
            for row, said in zip(looping, again, strict=True):
                tokens[row] = said
        return self._with_times(encoded, readings, languages, tokens)

    @property
    def fallback_language(self) -> str:
        """Language assumed until another is detected."""
        return "en" if "en" in self.languages else self.languages[0]

    def has_speech(self, audio: Audio, since: int) -> bool:
        """Return True if there is speech in `audio[since:]`; earlier audio is the detector's context."""
        if not is_audible(audio[since:]):
            return False
        if not self._vad:
            return True
        from faster_whisper.vad import get_speech_timestamps  # pyright: ignore[reportMissingImports]

        spans = get_speech_timestamps(audio, speech_pad_ms=_VAD_PAD_MS, min_silence_duration_ms=100)
        return any(span["end"] > since for span in spans)

    # ------------------------------------------------------------------------------- one batch

    def _features(self, audio: Audio) -> npt.NDArray[np.float32]:
        """Return `[mel bands, frames of 30 s]`."""
        from faster_whisper.audio import pad_or_trim  # pyright: ignore[reportMissingImports]

        return pad_or_trim(self._model.feature_extractor(audio)[:, :-1])

    def _languages(self, encoded: Any, readings: Sequence[Reading]) -> list[str]:
        """Return the language of each: what is heard, where that is asked for and clear."""
        languages = [reading.language for reading in readings]
        guessed = [row for row, reading in enumerate(readings) if reading.detect]
        if guessed:
            for row, (language, probability) in zip(
                guessed, self._spoken(_rows(encoded, guessed)), strict=True
            ):
                if probability >= _SURE_OF_LANGUAGE:
                    languages[row] = language
        return languages

    def _spoken(self, encoded: Any) -> list[tuple[str, float]]:
        """Return the likeliest language of each row, and how likely it is."""
        return [(best[0].strip("<|>"), best[1]) for best, *_ in self._model.model.detect_language(encoded)]

    def _make_tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer  # pyright: ignore[reportMissingImports]

        return Tokenizer(
            self._model.hf_tokenizer, self._model.model.is_multilingual, task="transcribe", language=language
        )

    def _prompt(self, language: str, before: str) -> list[int]:
        tokenizer = self._tokenizer(language)
        said = tokenizer.encode(f" {before.strip()}") if before else []
        known = said[-_PROMPT_TOKENS:] if len(said) >= _PROMPT_TOKENS else []
        return self._model.get_prompt(tokenizer, known, without_timestamps=True)

    def _decode(
        self, encoded: Any, prompts: Sequence[list[int]], limits: Sequence[int], **options: int
    ) -> list[list[int]]:
        """Return what each row says, of at most `limits` tokens; nothing where it hears no speech."""
        said: list[list[int]] = [[] for _ in prompts]
        for rows in _groups(map(len, prompts)):
            results = self._model.model.generate(
                _rows(encoded, rows),
                [prompts[row] for row in rows],
                beam_size=self._beam_size,
                max_length=_max_length(len(prompts[rows[0]]), max(limits[row] for row in rows)),
                suppress_tokens=self._unspeakable,
                return_scores=True,
                return_no_speech_prob=True,
                **options,
            )
            for row, result in zip(rows, results, strict=True):
                if not _is_silence(result):
                    said[row] = result.sequences_ids[0][: limits[row]]
        return said

    def _repeats_itself(self, tokens: list[int]) -> bool:
        text = self._tokenizer(self.languages[0]).decode(tokens).strip().encode()
        return len(text) > _LOOPING * len(zlib.compress(text))

    def _with_times(
        self,
        encoded: Any,
        readings: Sequence[Reading],
        languages: Sequence[str],
        tokens: Sequence[list[int]],
    ) -> list[WhisperReading]:
        """Align what was said with the audio.

        CTranslate2 normalises over all places of a batch, those that only pad a shorter text included: so
        texts of one length are aligned together, and no others.
        """
        heard = [WhisperReading(language) for language in languages]
        end = self._tokenizer(languages[0]).eot
        said = [[token for token in row if token < end] for row in tokens]
        for rows in _groups(zip(languages, map(len, said), strict=True)):
            alignments = self._model.find_alignment(
                self._tokenizer(languages[rows[0]]),
                [said[row] for row in rows],
                _rows(encoded, rows),
                [readings[row].frames for row in rows],
            )
            for row, alignment in zip(rows, alignments, strict=True):
                reading = readings[row]
                found = pieces(alignment)
                heard[row].words = words(found, languages[row], reading.start_ms, reading.end_ms)
        return heard


def is_audible(audio: Audio) -> bool:
    """Return True if a frame of 30 ms is louder than -60 dBFS."""
    frames = np.pad(audio, (0, -len(audio) % _FRAME)).reshape(-1, _FRAME)
    return bool((np.square(frames).mean(axis=1) > _QUIETEST**2).any())


def _groups(keys: Iterable[Hashable]) -> list[list[int]]:
    """Return the places of equal keys."""
    places: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    return list(places.values())


def _rows(encoded: Any, rows: Sequence[int]) -> Any:
    """Return these rows of what the encoder made, `encoded` itself where that is all of them."""
    from ctranslate2 import DataType, Device, StorageView  # pyright: ignore[reportMissingImports]

    if len(rows) == encoded.shape[0]:
        return encoded
    everything = np.asarray(encoded.to_device(Device.cpu).to(DataType.float32))
    return StorageView.from_array(everything[list(rows)])


def _max_length(prompt: int, tokens: int) -> int:
    """Return what to ask of CTranslate2, which generates half of it, and only what the prompt leaves."""
    return max(2 * tokens, prompt + tokens)


def _is_silence(result: Any) -> bool:
    """Return True if there is probably no speech and the text found all the same is unlikely."""
    length = len(result.sequences_ids[0])
    return result.no_speech_prob > _NO_SPEECH and result.scores[0] * length / (length + 1) <= _UNLIKELY
