"""Piper: fast neural voices for any CPU, streamed sentence by sentence.

A step speaks one sentence: the unit in which Piper's models work, and of cancellation.
"""

from __future__ import annotations

import re
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from nemotron_speech import models
from nemotron_speech.audio import to_int16
from nemotron_speech.engines.base import Segment, TtsInfo, TtsResult
from nemotron_speech.engines.shared.pieces import PieceStream
from nemotron_speech.engines.shared.word_times import words_of_tokens
from nemotron_speech.errors import ConfigurationError, EngineError

if TYPE_CHECKING:
    from piper import AudioChunk  # pyright: ignore[reportMissingImports]

_NO_TEXT = re.compile(r"\[\[|\]\]|[\0\ud800-\udfff]")
"""Piper reads what is between double brackets as phonemes, and fails on NUL and halves of surrogate pairs."""
_SPACE, _EDGES = " ", "^$"
"""Phoneme between two words, and those at both ends of a sentence."""


@dataclass(slots=True, eq=False)
class PiperStream(PieceStream):
    """One segment being spoken; its sentences are made when asked for."""

    sentences: Iterator[AudioChunk] | None = None
    phonemes: list[str] = field(default_factory=list)
    """Phonemes spoken so far."""
    onsets_ms: list[float] = field(default_factory=list)
    """Onset of each of `phonemes`, in milliseconds."""
    aligned: bool = True
    """True if the voice reported the onsets of all phonemes."""
    done: bool = False


class PiperEngine:
    """Speak with a Piper voice.

    Args:
        model: Path of the voice's .onnx file, its .onnx.json beside it; or a name: of the model catalogue, or
            of Piper's collection, looked for in `folder`.
        folder: Where voices are kept by name, downloaded or not.
        download: Whether a voice that is not in `folder` may be fetched from Piper's collection.
        cuda: Run the voice on a GPU (needs onnxruntime-gpu).
        capacity: Callers at once.
    """

    def __init__(
        self,
        model: str = "en_US-lessac-medium",
        folder: str = "~/.cache/nemotron-speech/piper",
        download: bool = True,
        cuda: bool = False,
        capacity: int = 16,
    ) -> None:
        if capacity < 1:
            raise ConfigurationError(f"capacity: {capacity}; at least 1")
        self._source, self._folder = model, Path(folder).expanduser()
        self._download, self._cuda = download, cuda
        self._voice: Any = None
        self._speakers: dict[str, int | None] = {}
        self.info = TtsInfo(
            name="piper",
            model=Path(model).name.removesuffix(".onnx"),
            sample_rate=22050,
            voices=(Path(model).name.removesuffix(".onnx"),),
            capacity=capacity,
            max_batch=1,  # sentences of several callers take turns, so a first one never waits for all
            speeds=(0.25, 4.0),
        )

    def load(self) -> None:
        """Load the voice; `info` then says what it really has. Raises ConfigurationError."""
        try:
            from piper import PiperVoice  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ConfigurationError(
                f"the piper engine needs piper-tts ({error}); pip install 'nemotron-speech[piper]'"
            ) from error
        path = self._path()
        aligned = find_spec("onnx") is not None  # with which Piper makes a voice tell how long a phoneme is
        try:
            self._voice = PiperVoice.load(path, use_cuda=self._cuda, include_alignments=aligned)
        except Exception as error:
            raise ConfigurationError(f"{path} is no usable Piper voice: {error}") from error
        config = self._voice.config
        self._speakers = _speakers(config, self.info.model)
        self.info = replace(
            self.info,
            sample_rate=int(config.sample_rate),
            voices=tuple(self._speakers),
            languages=(_language(config.espeak_voice),),
        )
        logger.info("Piper voice {}: {} speakers, {} Hz", path.name, len(self._speakers), config.sample_rate)

    def unload(self) -> None:
        self._voice = None

    def open(self, segment: Segment) -> PiperStream:
        """Start a segment. Raises BadRequest for an unknown voice or language, or an impossible speed."""
        segment.check(self.info)
        return PiperStream(segment, deque(), self._speakers[segment.voice])

    def step(self, streams: Sequence[PiperStream]) -> list[TtsResult | EngineError]:
        """Speak the next sentence of each segment."""
        return [self._sentence(stream) for stream in streams]

    def close(self, stream: PiperStream) -> None:
        """Stop the segment: no further sentence of it is spoken."""
        stream.done, stream.sentences = True, None

    def _sentence(self, stream: PiperStream) -> TtsResult | EngineError:
        try:
            stream.sentences = stream.sentences or self._speak(stream)
            sentence = next(stream.sentences, None)
        except Exception as error:  # noqa: BLE001  whatever the phonemiser and the runtime raise
            stream.done = True
            logger.opt(exception=error).error("a segment failed")
            return EngineError(f"the voice failed: {error}")
        if sentence is None:
            stream.done = True
            self._time_words(stream)
            return stream.deliver(b"", done=True)
        self._note_phonemes(stream, sentence)
        return stream.deliver(to_int16(sentence.audio_float_array).tobytes(), done=False)

    def _speak(self, stream: PiperStream) -> Iterator[AudioChunk]:
        from piper import SynthesisConfig  # pyright: ignore[reportMissingImports]

        config = SynthesisConfig(
            speaker_id=stream.voice, length_scale=self._voice.config.length_scale / stream.segment.speed
        )
        yield from self._voice.synthesize(_speakable(stream.segment), config, include_alignments=True)

    def _note_phonemes(self, stream: PiperStream, sentence: AudioChunk) -> None:
        """Remember when each phoneme of a sentence began, with a space before the first."""
        alignments = sentence.phoneme_alignments
        stream.aligned = stream.aligned and alignments is not None
        lengths = [(_SPACE, 0), *((one.phoneme, one.num_samples) for one in alignments or ())]
        at, per_ms = stream.samples, self.info.sample_rate / 1000
        for phoneme, samples in lengths:
            if phoneme not in _EDGES:
                stream.phonemes.append(phoneme)
                stream.onsets_ms.append(at / per_ms)
            at += samples

    def _time_words(self, stream: PiperStream) -> None:
        if stream.aligned:
            text = _speakable(stream.segment)
            words = words_of_tokens(text, stream.phonemes, _SPACE, self._phonemes)
            stream.note(words.times(stream.onsets_ms, 1000 * stream.samples / self.info.sample_rate))

    def _phonemes(self, word: str) -> list[str]:
        return [phoneme for sentence in self._voice.phonemize(word) for phoneme in sentence]

    def _path(self) -> Path:
        """Return the path of the voice's model; a name of Piper's collection is fetched."""
        if self._source in models.entries():
            return models.find(self._source, engine="piper")
        path = Path(self._source).expanduser()
        if path.suffix == ".onnx":
            _check_files(path)
            return path
        kept = self._folder / f"{self._source}.onnx"
        if not kept.exists() or not _config_of(kept).exists():
            self._fetch()
        _check_files(kept)
        return kept

    def _fetch(self) -> None:
        if not self._download:
            raise ConfigurationError(f"model: the voice {self._source} is not in {self._folder}")
        from piper.download_voices import download_voice  # pyright: ignore[reportMissingImports]

        self._folder.mkdir(parents=True, exist_ok=True)
        logger.info("fetching the Piper voice {} into {}", self._source, self._folder)
        try:
            with tempfile.TemporaryDirectory(dir=self._folder) as unfinished:
                download_voice(self._source, Path(unfinished))
                for path in Path(unfinished).iterdir():
                    path.replace(self._folder / path.name)
        except Exception as error:
            raise ConfigurationError(
                f"model: the voice {self._source} is not in {self._folder} and cannot be downloaded "
                f"({error}); "
                "put its .onnx and .onnx.json there, or take one of the catalogue: --tts-voice joe"
            ) from error


def _speakable(segment: Segment) -> str:
    return _NO_TEXT.sub(" ", segment.text)


def _check_files(model: Path) -> None:
    for path in (model, _config_of(model)):
        if not path.is_file():
            raise ConfigurationError(f"model: there is no file {path}")


def _config_of(model: Path) -> Path:
    return model.with_name(f"{model.name}.json")


def _speakers(config: Any, name: str) -> dict[str, int | None]:
    """Return voices by name: the speakers of a voice that has several, else the voice itself."""
    if config.num_speakers <= 1:
        return {name: None}
    named = {str(speaker): number for speaker, number in config.speaker_id_map.items()}
    speakers = named or {f"speaker{number}": number for number in range(config.num_speakers)}
    first = config.default_speaker_id
    return dict(sorted(speakers.items(), key=lambda speaker: (speaker[1] != first, speaker[1])))


def _language(espeak_voice: str) -> str:
    """Return the language of an espeak-ng voice name: en of en-us, zh of cmn."""
    language = re.split(r"[-_]", espeak_voice)[0]
    return {"cmn": "zh", "yue": "zh"}.get(language, language)
