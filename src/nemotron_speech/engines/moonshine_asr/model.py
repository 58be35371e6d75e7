"""Moonshine on ONNX Runtime: one utterance of audio to its tokens, greedily.

Moonshine (Jeffries et al., 2024, arXiv:2410.15608) encodes audio of any length without padding and decodes it
with a cache of keys and values. A growing utterance is read again and again, and most of it is heard as
before. So the tokens of the previous reading are given to the decoder at once, and it is run token by token
only from where it says something else: speculative decoding (Leviathan et al., 2023) with the previous
reading as the draft. What comes out is what greedy decoding says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nemotron_speech.engines.moonshine_asr.vocabulary import END, START, MoonshineVocabulary, SpokenWord
from nemotron_speech.errors import ConfigurationError

Audio = npt.NDArray[np.float32]
"""Samples in -1 to 1 at `RATE`."""
Inputs = dict[str, npt.NDArray[Any]]
"""Arrays by the name of the decoder's input; keys and values are `[1, heads, positions, width]`."""

RATE = 16000
SHORTEST = RATE // 10
"""Samples below which nothing is read."""
FILES = ("encoder_model", "decoder_model_merged", "tokenizer.bin")
_SUFFIXES = (".ort", ".onnx")
_TOKENS_PER_S = 6.5
"""Tokens of a second of English at most, the vendor's own limit: more is a decoder that runs in circles."""
_LEAST_TOKENS = 3
"""Tokens that the shortest audio may have all the same."""
_LONGEST_LOOP, _ROUNDS = 12, 4
"""Tokens of a phrase that counts as a loop, and how often in a row it may be said."""
_SURE = 0.5
"""Probability from which on a guess counts as said: a quantised model is less exact about many at once."""
_WORTH = 2
"""Guesses that must be right for the rest of the draft to be tried: a try costs as much as two tokens."""
_NEAR = 4
"""Tokens of a draft in which its continuation is looked for after a correction."""


@dataclass(frozen=True, slots=True)
class MoonshineReading:
    """Text, tokens and probabilities read from a stretch of audio."""

    tokens: tuple[int, ...] = ()
    """Token numbers, without those of start and end."""
    words: tuple[SpokenWord, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(slots=True)
class _Said:
    """The tokens of a reading so far, and their probabilities."""

    tokens: list[int] = field(default_factory=list)
    sure: list[float] = field(default_factory=list)

    @property
    def last(self) -> int:
        return self.tokens[-1] if self.tokens else START

    def add(self, tokens: Sequence[int], sure: Sequence[float]) -> None:
        self.tokens += tokens
        self.sure += sure


class MoonshineModel:
    """A loaded model. Raises ConfigurationError for a folder that holds none.

    Args:
        folder: Holds `encoder_model` and `decoder_model_merged` (.ort or .onnx) and `tokenizer.bin`.
        threads: Of one call of ONNX Runtime.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self.vocabulary = MoonshineVocabulary.read(_file(folder, FILES[2], ("",)))
        self._encoder = _session(_file(folder, FILES[0], _SUFFIXES), threads)
        self._decoder = _session(_file(folder, FILES[1], _SUFFIXES), threads)
        self._audio_name, *self._mask_name = [node.name for node in self._encoder.get_inputs()]
        inputs = {node.name: node for node in self._decoder.get_inputs()}
        self._decoder_masked = "encoder_attention_mask" in inputs
        self._past = [name for name in inputs if name.startswith("past_key_values")]
        self._own = [name for name in self._past if ".decoder." in name]
        """Names of the inputs that grow with every token; the others hold the encoded audio."""
        if not self._own or "use_cache_branch" not in inputs:
            raise ConfigurationError(f"model: {folder} holds no merged Moonshine decoder")
        _, heads, _, width = inputs[self._past[0]].shape
        self._empty = np.zeros((1, heads, 0, width), np.float32)

    def warm_up(self) -> None:
        """Read half a second, so that the first caller does not wait for what is made on first use."""
        try:
            self.read(np.zeros(RATE // 2, np.float32), [START])
        except Exception as error:
            raise ConfigurationError(f"model: it loads and does not run: {error}") from error

    def read(self, audio: Audio, draft: Sequence[int] = ()) -> MoonshineReading:
        """Return what is said in `audio`, which the `draft` is probably like.

        Args:
            audio: At least `SHORTEST` samples.
            draft: Tokens of an earlier reading of the beginning of the same audio.
        """
        limit = _LEAST_TOKENS + math.ceil(len(audio) / RATE * _TOKENS_PER_S)
        tokens, sure = self._decode(self._encode(audio), draft, limit)
        return MoonshineReading(tuple(tokens), self.vocabulary.words(tokens, sure))

    # ----------------------------------------------------------------------------- one reading

    def _encode(self, audio: Audio) -> Inputs:
        """Return the encoded audio as the decoder takes it."""
        mask = np.ones((1, len(audio)), np.int64)
        feed = {self._audio_name: audio[None], **dict.fromkeys(self._mask_name, mask)}
        (hidden,) = self._encoder.run(None, feed)
        masked = {"encoder_attention_mask": mask} if self._decoder_masked else {}
        return {"encoder_hidden_states": hidden, **masked}

    def _decode(self, encoded: Inputs, draft: Sequence[int], limit: int) -> tuple[list[int], list[float]]:
        """Return the tokens of the audio and their probabilities."""
        said = _Said()
        guess = [*draft[: limit - 1], END] if draft else []
        cache = dict.fromkeys(self._past, self._empty)
        while True:
            best, sure, cache = self._run(encoded, [said.last], cache, first=not said.tokens)
            said.add(best, sure)
            if (end := _end(said.tokens, limit)) is not None:
                return said.tokens[:end], said.sure[:end]
            guess = _rest(guess, best[0])
            if len(guess) > 1:
                best, sure, longer = self._run(encoded, [said.last, *guess], cache, first=False)
                right = _agreeing(best, sure, guess)
                said.add(best[:right], sure[:right])
                if (end := _end(said.tokens, limit)) is not None:
                    return said.tokens[:end], said.sure[:end]
                cache = {k: v[:, :, : len(said.tokens)] if k in self._own else v for k, v in longer.items()}
                guess = guess[right:] if right >= _WORTH else []

    def _run(
        self, encoded: Inputs, given: list[int], cache: Inputs, first: bool
    ) -> tuple[list[int], list[float], Inputs]:
        """Run the decoder over the `given` tokens; return the likeliest token after each, and how likely."""
        grown = self._past if first else self._own
        names = ["logits", *(name.replace("past_key_values", "present") for name in grown)]
        feed = {
            "input_ids": np.array([given], np.int64),
            "use_cache_branch": np.array([not first]),
            **encoded,
            **cache,
        }
        logits, *present = self._decoder.run(names, feed)
        return *_likeliest(logits[0]), {**cache, **dict(zip(grown, present, strict=True))}


def _likeliest(logits: npt.NDArray[np.float32]) -> tuple[list[int], list[float]]:
    best = logits.argmax(axis=1)
    top = logits[np.arange(len(best)), best]
    return best.tolist(), (1 / np.exp(logits - top[:, None]).sum(axis=1)).tolist()


def _agreeing(best: Sequence[int], sure: Sequence[float], guess: Sequence[int]) -> int:
    """Count the guessed tokens that the decoder surely says too; after the first other one all are void."""
    for count, (one, probability, other) in enumerate(zip(best, sure, guess, strict=False)):
        if one != other or probability < _SURE:
            return count
    return len(guess)


def _end(tokens: Sequence[int], limit: int) -> int | None:
    """Return how many of the tokens are the transcript, None where it goes on."""
    if END in tokens:
        return tokens.index(END)
    if len(tokens) >= limit:
        return limit
    return _loop(tokens)


def _loop(tokens: Sequence[int]) -> int | None:
    """Return where a phrase that ends the tokens was said for the first time, if it was said too often."""
    for length in range(1, _LONGEST_LOOP + 1):
        rounds = 2 * _ROUNDS if length == 1 else _ROUNDS
        phrase, span = tokens[-length:], length * rounds
        if len(tokens) >= span and list(tokens[-span:]) == list(phrase) * rounds:
            return len(tokens) - span + length
    return None


def _rest(guess: list[int], said: int) -> list[int]:
    """Return what the draft says after `said`."""
    near = guess[:_NEAR]
    return guess[near.index(said) + 1 :] if said in near else guess[1:]


# ------------------------------------------------------------------------------------- loading


def _file(folder: Path, name: str, suffixes: Sequence[str]) -> Path:
    for suffix in suffixes:
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    raise ConfigurationError(f"model: {folder} holds no Moonshine model, it lacks {name}{suffixes[0]}")


def _session(path: Path, threads: int) -> Any:
    """Load a graph: threads that wait rather than spin, no plan of memory for one length of audio."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ConfigurationError(f"model: {path} is no usable graph: {error}") from error
