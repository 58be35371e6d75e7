"""Piper: fast neural voices for any CPU, streamed sentence by sentence.

A step speaks one sentence: the unit in which Piper's models work, and of cancellation.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from nemotron_speech.audio import to_int16
from nemotron_speech.engines.base import Segment, SynthesisMode, TtsInfo, TtsResult
from nemotron_speech.errors import ConfigurationError, EngineError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_NO_TEXT = re.compile(r"\[\[|\]\]|[\0\ud800-\udfff]")
"""Piper reads what is between double brackets as phonemes, and fails on NUL and halves of surrogate pairs."""


@dataclass(slots=True, eq=False)
class PiperStream:
    """One segment being spoken."""

    segment: Segment
    speaker: int | None
    sentences: Iterator[npt.NDArray[np.float32]] | None = None
    """The audio of each sentence, made when asked for."""
    held: list[bytes] = field(default_factory=list)
    done: bool = False


class PiperEngine:
    """Speak with a Piper voice.

    Args:
        model: Path of the voice's .onnx file, its .onnx.json beside it; or a voice's name, looked for in
            `folder`.
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
        try:
            self._voice = PiperVoice.load(path, use_cuda=self._cuda)
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
        return PiperStream(segment, self._speakers[segment.voice])

    def step(self, streams: Sequence[PiperStream]) -> list[TtsResult | EngineError]:
        """Speak the next sentence of each segment."""
        return [self._sentence(stream) for stream in streams]

    def close(self, stream: PiperStream) -> None:
        """Stop the segment: no further sentence of it is spoken."""
        stream.done, stream.sentences = True, None

    def _sentence(self, stream: PiperStream) -> TtsResult | EngineError:
        try:
            stream.sentences = stream.sentences or self._speak(stream)
            samples = next(stream.sentences, None)
        except Exception as error:  # noqa: BLE001  whatever the phonemiser and the runtime raise
            stream.done = True
            logger.opt(exception=error).error("a segment failed")
            return EngineError(f"the voice failed: {error}")
        stream.done = samples is None
        pcm = b"" if samples is None else to_int16(samples).tobytes()
        if stream.segment.mode is SynthesisMode.BATCH:
            stream.held.append(pcm)
            pcm = b"".join(stream.held) if stream.done else b""
        return TtsResult(pcm, stream.done)

    def _speak(self, stream: PiperStream) -> Iterator[npt.NDArray[np.float32]]:
        from piper import SynthesisConfig  # pyright: ignore[reportMissingImports]

        config = SynthesisConfig(
            speaker_id=stream.speaker, length_scale=self._voice.config.length_scale / stream.segment.speed
        )
        text = _NO_TEXT.sub(" ", stream.segment.text)
        for chunk in self._voice.synthesize(text, config):
            yield chunk.audio_float_array

    def _path(self) -> Path:
        """Return the path of the voice's model; one that is only a name is fetched."""
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
                f"({error}); put its .onnx and .onnx.json there, or give the path of the .onnx as model="
            ) from error


def _check_files(model: Path) -> None:
    for path in (model, _config_of(model)):
        if not path.is_file():
            raise ConfigurationError(f"model: there is no file {path}")


def _config_of(model: Path) -> Path:
    return model.with_name(f"{model.name}.json")


def _speakers(config: Any, name: str) -> dict[str, int | None]:
    """Voices by name: the speakers of a voice that has several, else the voice itself."""
    if config.num_speakers <= 1:
        return {name: None}
    named = {str(speaker): number for speaker, number in config.speaker_id_map.items()}
    speakers = named or {f"speaker{number}": number for number in range(config.num_speakers)}
    first = config.default_speaker_id
    return dict(sorted(speakers.items(), key=lambda speaker: (speaker[1] != first, speaker[1])))


def _language(espeak_voice: str) -> str:
    """The language of an espeak-ng voice name: en of en-us, zh of cmn."""
    language = re.split(r"[-_]", espeak_voice)[0]
    return {"cmn": "zh", "yue": "zh"}.get(language, language)
