"""Decode speech with the PocketSphinx C library: the part of its API the Python binding leaves out.

The package's own binding cannot interpolate language models, which is what biasing needs
(`ngram_model_set_init` with weights), and it holds the GIL while decoding; the same shared library called
through ctypes does neither. Names follow `pocketsphinx.h` and `ngram_model.h` of release 5.1.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int, c_int32, c_size_t, c_void_p
from dataclasses import dataclass
from pathlib import Path

from nemotron_speech.errors import ConfigurationError, EngineError

_SIGNATURES: Mapping[str, tuple[object, list[object]]] = {
    "err_set_loglevel_str": (c_char_p, [c_char_p]),
    "ps_config_init": (c_void_p, [c_void_p]),
    "ps_config_set_str": (c_void_p, [c_void_p, c_char_p, c_char_p]),
    "ps_config_free": (c_int, [c_void_p]),
    "ps_init": (c_void_p, [c_void_p]),
    "ps_get_logmath": (c_void_p, [c_void_p]),
    "ps_add_lm": (c_int, [c_void_p, c_char_p, c_void_p]),
    "ps_activate_search": (c_int, [c_void_p, c_char_p]),
    "ps_start_stream": (c_int, [c_void_p]),
    "ps_set_cmn": (c_int, [c_void_p, c_char_p]),
    "ps_start_utt": (c_int, [c_void_p]),
    "ps_process_raw": (c_int, [c_void_p, c_char_p, c_size_t, c_int, c_int]),
    "ps_end_utt": (c_int, [c_void_p]),
    "ps_get_hyp": (c_char_p, [c_void_p, POINTER(c_int32)]),
    "ps_seg_iter": (c_void_p, [c_void_p]),
    "ps_seg_next": (c_void_p, [c_void_p]),
    "ps_seg_word": (c_char_p, [c_void_p]),
    "ps_seg_frames": (None, [c_void_p, POINTER(c_int), POINTER(c_int)]),
    "ps_seg_prob": (c_int32, [c_void_p, POINTER(c_int32), POINTER(c_int32), POINTER(c_int32)]),
    "logmath_exp": (c_double, [c_void_p, c_int]),
    "logmath_init": (c_void_p, [c_double, c_int, c_int]),
    "ngram_model_read": (c_void_p, [c_void_p, c_char_p, c_int, c_void_p]),
    "ngram_model_set_init": (
        c_void_p,
        [c_void_p, POINTER(c_void_p), POINTER(c_char_p), POINTER(c_float), c_int32],
    ),
    "ngram_model_apply_weights": (c_int, [c_void_p, c_float, c_float]),
    "ps_vad_init": (c_void_p, [c_int, c_int, c_double]),
    "ps_vad_free": (c_int, [c_void_p]),
    "ps_vad_classify": (c_int, [c_void_p, c_char_p]),
}

LM_WEIGHT, WORD_INSERTION_PENALTY = 6.5, 0.65
"""The decoder's own defaults; a language model read by hand has to be given them."""

FIRST_MEAN = "41.00,-5.29,-0.12,5.09,2.48,-4.07,-1.37,-1.78,-5.08,-2.05,-6.45,-1.42,1.17"
"""Cepstral mean assumed before any speech was heard: the usual setting of this acoustic model. Measured
against the library's 40,3,-1: word errors 8.5 to 5.9 % in requests, 31.7 to 24.7 % in open speech."""

_DECODER_OPTIONS: Mapping[str, str] = {
    "fwdflat": "no",
    "bestpath": "yes",
    "maxwpf": "20",
    "loglevel": "FATAL",
}
"""Measured: the second forward pass (fwdflat) costs 30 ms per second of audio at the very end and mends one
word in fifty; the lattice search (bestpath) costs 5 ms per second and halves the errors in requests; 20 word
ends per frame lose nothing."""


@dataclass(frozen=True, slots=True)
class SphinxToken:
    """One entry of a hypothesis, fillers included. Frames count from the start of the utterance."""

    text: str
    first_frame: int
    last_frame: int
    posterior: float
    """0 to 1; means something in a final hypothesis only."""
    acoustic: int
    """Log likelihood of the word's frames relative to the best state of each frame."""

    @property
    def is_filler(self) -> bool:
        return self.text[0] in "<[+"


class SphinxLibrary:
    """The C library of the installed `pocketsphinx` package, and where its English model is."""

    def __init__(self) -> None:
        """Load the library. Raises ConfigurationError where the package is missing or hides the C API."""
        try:
            import pocketsphinx
        except ImportError as error:
            raise ConfigurationError(f"the pocketsphinx engine needs its package: {error}") from error
        package = Path(pocketsphinx.__file__).parent
        self.model = package / "model" / "en-us"
        self.c = _open_library(package)
        self.c.err_set_loglevel_str(b"FATAL")

    def interpolate(self, models: Sequence[tuple[Path, float]]) -> SphinxLanguageModel:
        """Read language models and mix them with the given weights."""
        return SphinxLanguageModel(self, models)


def _open_library(package: Path) -> ctypes.CDLL:
    for path in package.glob("_pocketsphinx*"):
        try:
            library = ctypes.CDLL(str(path))
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError) as error:
            raise ConfigurationError(f"{path.name} offers no C API: {error}") from error
        return library
    raise ConfigurationError(f"no PocketSphinx library in {package}")


class SphinxLanguageModel:
    """Several n-gram models interpolated word by word, shared by all decoders of a process."""

    def __init__(self, library: SphinxLibrary, models: Sequence[tuple[Path, float]]) -> None:
        c, count = library.c, len(models)
        log_base = c.logmath_init(1.0001, 0, 0)
        read = [c.ngram_model_read(None, str(path).encode(), 0, log_base) for path, _ in models]
        if not all(read):
            raise ConfigurationError(f"cannot read the language models {[path.name for path, _ in models]}")
        names = [f"part{index}".encode() for index in range(count)]
        weights = [weight for _, weight in models]
        self.handle = c.ngram_model_set_init(
            None,
            (c_void_p * count)(*read),
            (c_char_p * count)(*names),
            (c_float * count)(*weights),
            count,
        )
        c.ngram_model_apply_weights(self.handle, LM_WEIGHT, WORD_INSERTION_PENALTY)


class SphinxDecoder:
    """One recogniser of one utterance at a time. Lives as long as its process."""

    def __init__(self, library: SphinxLibrary, model: SphinxLanguageModel) -> None:
        self._c = library.c
        config = self._c.ps_config_init(None)
        options = {
            **_DECODER_OPTIONS,
            "hmm": str(library.model / "en-us"),
            "dict": str(library.model / "cmudict-en-us.dict"),
        }
        for name, value in options.items():
            self._c.ps_config_set_str(config, name.encode(), value.encode())
        self._handle = self._c.ps_init(config)
        self._c.ps_config_free(config)
        if not self._handle:
            raise ConfigurationError("PocketSphinx cannot load its acoustic model")
        self._require("ps_add_lm", b"speech", model.handle)
        self._require("ps_activate_search", b"speech")
        self._in_utterance = False

    def reset(self) -> None:
        """Forget the channel: noise estimate and cepstral mean."""
        self._require("ps_start_stream")
        self._require("ps_set_cmn", FIRST_MEAN.encode())

    def begin(self) -> None:
        """Start an utterance."""
        self._require("ps_start_utt")
        self._in_utterance = True

    def feed(self, pcm: bytes) -> None:
        """Decode PCM16LE at 16 kHz, any whole number of samples."""
        self._require("ps_process_raw", pcm, len(pcm) // 2, 0, 0)

    def end(self) -> None:
        """Finish the utterance; `tokens` then gives the best path."""
        self._in_utterance = False
        self._require("ps_end_utt")

    def abandon(self) -> None:
        """End an utterance nobody waits for, if there is one."""
        if self._in_utterance:
            self.end()

    def tokens(self) -> list[SphinxToken]:
        """Return the hypothesis so far, or the final one after `end`."""
        self._c.ps_get_hyp(self._handle, None)
        return list(self._segments())

    def _segments(self) -> Iterator[SphinxToken]:
        first, last = c_int(), c_int()
        acoustic, language, backoff = c_int32(), c_int32(), c_int32()
        log_base = self._c.ps_get_logmath(self._handle)
        segment = self._c.ps_seg_iter(self._handle)
        while segment:
            self._c.ps_seg_frames(segment, byref(first), byref(last))
            posterior = self._c.ps_seg_prob(segment, byref(acoustic), byref(language), byref(backoff))
            yield SphinxToken(
                self._c.ps_seg_word(segment).decode(),
                first.value,
                last.value,
                min(1.0, self._c.logmath_exp(log_base, posterior)),
                acoustic.value,
            )
            segment = self._c.ps_seg_next(segment)

    def _require(self, function: str, *arguments: object) -> None:
        if getattr(self._c, function)(self._handle, *arguments) < 0:
            raise EngineError(f"PocketSphinx failed in {function}")


class SphinxVoiceDetector:
    """WebRTC's voice activity detector, frame by frame."""

    FRAME_BYTES = 960
    """30 ms of PCM16LE at 16 kHz."""

    def __init__(self, library: SphinxLibrary, strictness: int = 2) -> None:
        self._c = library.c
        self._handle = self._c.ps_vad_init(strictness, 16000, 0.03)

    def __del__(self) -> None:
        self._c.ps_vad_free(self._handle)

    def is_speech(self, frame: bytes) -> bool:
        """Say whether a frame of `FRAME_BYTES` sounds like speech."""
        return self._c.ps_vad_classify(self._handle, frame) > 0
