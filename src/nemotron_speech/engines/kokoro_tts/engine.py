"""Kokoro: a small neural voice of high quality for the CPU (ONNX), streamed clause by clause.

A step speaks one piece of one text: the unit in which Kokoro works, and of cancellation.
"""

from __future__ import annotations

import zipfile
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from loguru import logger

from nemotron_speech import models
from nemotron_speech.engines.base import Segment, TtsInfo, TtsResult, Word
from nemotron_speech.engines.kokoro_tts.phonemes import TOKENS, KokoroPhonemes, in_parts
from nemotron_speech.engines.shared.clauses import split_clauses
from nemotron_speech.engines.shared.espeak_library import espeak_library
from nemotron_speech.engines.shared.pieces import PieceStream, speak_pieces
from nemotron_speech.engines.shared.word_times import words_of_tokens
from nemotron_speech.errors import ConfigurationError, EngineError
from nemotron_speech.invocation import command

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PRESETS = {"aggressive": 60, "balanced": 120, "conservative": 240}
"""Characters of a text spoken at once: the fewer, the sooner the first is heard, and the less natural."""
SAMPLE_RATE = 24000
"""Sample rate of every Kokoro model, in Hz; the model file does not hold it."""
CATALOGUE_MODEL = "kokoro-heart"
FOLDER = "~/.cache/nemotron-speech/kokoro"
_SOURCE = "https://github.com/thewh1teagle/kokoro-onnx/releases/download/model-files-v1.0"
_STYLE = 256
"""Numbers that describe a voice, for one length of text."""
_DIALECTS = {
    "a": "en-us",
    "b": "en-gb",
    "e": "es",
    "f": "fr",
    "h": "hi",
    "i": "it",
    "p": "pt-br",
}
"""First letter of a voice's name to what it was trained to speak from espeak-ng's phonemes. Japanese and
Chinese voices (j, z) were trained on other symbols: they are voices here, their languages are not."""


class KokoroPart(NamedTuple):
    """Part of a text that the model speaks in one run."""

    symbols: str
    text: str
    """Text of `symbols`; empty where `symbols` are a part of a text's phonemes."""


class KokoroEngine:
    """Speak with a Kokoro model.

    Args:
        model: Path of the ONNX file, or a name of the model catalogue, whose model also stands in for the
            default file where that is not there.
        voices: Path of the file with the voices: a NumPy archive with a table [lengths, 1, 256] each, or the
            table of one voice as it lies in memory (float32), named as the voice.
        cuda: Run on a GPU (needs onnxruntime-gpu).
        threads: Of one step; 0 leaves it to ONNX Runtime.
        capacity: Callers at once.
    """

    def __init__(
        self,
        model: str = f"{FOLDER}/kokoro-v1.0.onnx",
        voices: str = f"{FOLDER}/voices-v1.0.bin",
        cuda: bool = False,
        threads: int = 0,
        capacity: int = 16,
    ) -> None:
        if capacity < 1:
            raise ConfigurationError(f"capacity: {capacity}; at least 1")
        self._model, self._voices = Path(model).expanduser(), Path(voices).expanduser()
        self._cuda, self._threads = cuda, threads
        self._session: Any = None
        self._styles: dict[str, npt.NDArray[np.float32]] = {}
        self._phonemes: dict[str, KokoroPhonemes] = {}
        self.info = TtsInfo(
            name="kokoro",
            model=self._model.stem,
            sample_rate=SAMPLE_RATE,
            voices=("af_heart",),
            presets=tuple(PRESETS),
            capacity=capacity,
            max_batch=1,  # pieces of several callers take turns, so a first one never waits for all
            speeds=(0.5, 2.0),
        )

    def load(self) -> None:
        """Load model and voices; `info` then says what they have. Raises ConfigurationError."""
        self._use_catalogue()
        for option, path in (("model", self._model), ("voices", self._voices)):
            if not path.is_file():
                raise ConfigurationError(_absent(option, path))
        self._session = _session(self._model, cuda=self._cuda, threads=self._threads)
        self._inputs = {value.name: value.type for value in self._session.get_inputs()}
        self._outputs = [value.name for value in self._session.get_outputs()]
        self._lengths = next((name for name in self._outputs[1:] if "dur" in name), "")
        self._styles = _styles(self._voices)
        missing = [name for name in ("style", "speed") if name not in self._inputs]
        if missing or not {"tokens", "input_ids"} & set(self._inputs):
            raise ConfigurationError(
                f"model: {self._model} is no Kokoro model: it takes {list(self._inputs)}"
            )
        library = espeak_library()
        self._phonemes = {dialect: KokoroPhonemes(library, dialect) for dialect in _DIALECTS.values()}
        self.info = replace(self.info, voices=tuple(self._styles), languages=_languages(self._styles))
        logger.info("Kokoro {}: {} voices, {}", self._model.name, len(self._styles), self.info.languages)
        self._warm_up()

    def unload(self) -> None:
        self._session = None

    def _use_catalogue(self) -> None:
        """Take the paths of a model that is named, or that is here where the default files are not."""
        name = str(self._model)
        instead = self._model == Path(f"{FOLDER}/kokoro-v1.0.onnx").expanduser() and not self._model.is_file()
        if instead and any(entry.name == CATALOGUE_MODEL for entry in models.present("tts")):
            name = CATALOGUE_MODEL
        if name in models.entries():
            paths = models.options(name, engine="kokoro")
            self._model, self._voices = Path(paths["model"]), Path(paths["voices"])

    def open(self, segment: Segment) -> PieceStream:
        """Start a segment. Raises BadRequest for an unknown voice or language, or an impossible speed."""
        segment.check(self.info)
        phonemes = self._phonemes[_dialect(segment)]
        text = segment.text.replace("\0", " ")
        words = dict.fromkeys(word for word in text.split() if any(map(str.isalnum, word)))
        unspoken = tuple(word for word in words if not any(map(str.isalpha, phonemes.write(word))))
        parts = (
            KokoroPart(part, piece if part == symbols else "")
            for piece in split_clauses(text, PRESETS[segment.preset])
            for symbols in [phonemes.write(piece)]
            for part in in_parts(symbols)
        )
        return PieceStream(
            segment, deque(part for part in parts if any(map(str.isalpha, part.symbols))), unspoken=unspoken
        )

    def step(self, streams: Sequence[PieceStream]) -> list[TtsResult | EngineError]:
        """Speak the next piece of each segment."""
        return speak_pieces(streams, self._speak)

    def close(self, stream: PieceStream) -> None:
        """Stop the segment: no further piece of it is spoken."""
        stream.stop()

    def _speak(self, stream: PieceStream, part: KokoroPart) -> npt.NDArray[np.float32]:
        if self._session is None:
            raise EngineError("the model is not loaded")
        samples, lengths = self._run([TOKENS[symbol] for symbol in part.symbols], stream.segment)
        stream.note(self._words(stream, part, lengths) if lengths else ())
        return samples

    def _words(self, stream: PieceStream, part: KokoroPart, lengths: Sequence[float]) -> tuple[Word, ...]:
        """Return the words of the part that is spoken next, from the samples of its symbols."""
        write = self._phonemes[_dialect(stream.segment)].write
        at = [(stream.samples + length) / (SAMPLE_RATE / 1000) for length in accumulate(lengths)]
        return words_of_tokens(part.text, part.symbols, " ", write).times(at, at[-1])

    def _run(self, tokens: list[int], segment: Segment) -> tuple[npt.NDArray[np.float32], list[float]]:
        """Return samples in -1..1 of at most 510 tokens, and how many each token has, both edges too.

        The lengths are missing where the model does not tell them: many exports have no output for that.
        """
        import numpy as np

        table = self._styles[segment.voice]
        style = table[min(len(tokens), len(table)) - 1].reshape(1, -1)
        # Some exports know whole speeds only.
        whole = "int" in self._inputs["speed"]
        speed = (
            np.array([max(1, round(segment.speed))], np.int32)
            if whole
            else np.array([segment.speed], np.float32)
        )
        name = "tokens" if "tokens" in self._inputs else "input_ids"
        feed = {name: np.array([[0, *tokens, 0]], np.int64), "style": style, "speed": speed}
        made = dict(zip(self._outputs, self._session.run(None, feed), strict=True))
        samples = np.asarray(made[self._outputs[0]], np.float32).ravel()
        if not np.isfinite(samples).all():
            raise FloatingPointError("the model's audio is not finite")
        lengths = np.asarray(made.get(self._lengths, ()), np.float64).ravel()
        if len(lengths) != len(tokens) + 2:
            return samples, []
        return samples, (lengths * (len(samples) / max(lengths.sum(), 1))).tolist()

    def _warm_up(self) -> None:
        """Speak once, to nobody; what runs first runs slowly, and a wrong model fails here."""
        segment = Segment("a", self.info.voices[0], self.info.languages[0])
        try:
            self._run([TOKENS[symbol] for symbol in "ˈA"], segment)
        except Exception as error:
            raise ConfigurationError(f"{self._model} was loaded but does not speak: {error}") from error


def _session(model: Path, *, cuda: bool, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigurationError(
            f"the kokoro engine needs onnxruntime ({error}); pip install 'nemotron-speech[kokoro]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    kinds = ["CUDAExecutionProvider"] if cuda else ["CPUExecutionProvider"]
    if kinds[0] not in onnxruntime.get_available_providers():
        raise ConfigurationError(
            "cuda: this onnxruntime knows no GPU; pip install onnxruntime-gpu in its place"
        )
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=kinds)
    except Exception as error:
        raise ConfigurationError(f"model: {model} is no usable ONNX model: {error}") from error


def _styles(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Return the table of each voice, those of American English first."""
    import numpy as np

    try:
        if not zipfile.is_zipfile(path):
            return {path.stem: np.fromfile(path, np.float32).reshape(-1, 1, _STYLE)}
        with np.load(path) as archive:
            styles = {name: np.asarray(archive[name], np.float32) for name in sorted(archive.files)}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"voices: {path} is no archive of voices: {error}") from error
    if not styles or any(not len(table) for table in styles.values()):
        raise ConfigurationError(f"voices: {path} holds no voices")
    return dict(sorted(styles.items(), key=lambda item: item[0] != "af_heart"))


def _languages(voices: Sequence[str] | dict[str, Any]) -> tuple[str, ...]:
    """Return the languages that one of the voices is for, English first; it is there always."""
    tags = {_DIALECTS[name[0]].partition("-")[0] for name in voices if name[:1] in _DIALECTS}
    return ("en", *sorted(tags - {"en"}))


def _dialect(segment: Segment) -> str:
    """Return the voice's own dialect of the language asked for, or the usual one."""
    own = _DIALECTS.get(segment.voice[:1], "")
    if own.partition("-")[0] == segment.language:
        return own
    return next(dialect for dialect in _DIALECTS.values() if dialect.partition("-")[0] == segment.language)


def _absent(option: str, path: Path) -> str:
    return (
        f"{option}: there is no file {path}. Kokoro's files are not part of this package; get them with\n"
        f"  {command(f'models pull {CATALOGUE_MODEL}')}\n"
        "or, with all voices, with\n"
        f"  mkdir -p {FOLDER} && cd {FOLDER}\n"
        f"  curl -LO {_SOURCE}/kokoro-v1.0.onnx\n"
        f"  curl -LO {_SOURCE}/voices-v1.0.bin\n"
        "or give their paths as the options model and voices"
    )
