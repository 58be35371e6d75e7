"""Tiny Whisper models with random weights, in CTranslate2's own format, made without a download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

MELS, SECONDS_PER_TIMESTAMP, TIMESTAMPS = 80, 0.02, 1501
_POSITIONS, _PROMPT_POSITIONS = 1500, 448
_MULTILINGUAL_TEXT = 50257
"""Text tokens of Whisper's multilingual models, by which CTranslate2 knows them."""


def save_whisper(
    folder: Path,
    width: int = 32,
    layers: int = 2,
    heads: int = 2,
    seed: int = 0,
    multilingual: bool = False,
) -> Path:
    """Save a model that says random words, which depend on the audio. Return `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens, specials = _save_tokenizer(folder / "tokenizer.json", _MULTILINGUAL_TEXT if multilingual else 0)
    tokens += [f"<|{i * SECONDS_PER_TIMESTAMP:.2f}|>" for i in range(TIMESTAMPS)]
    _save_weights(folder, width, layers, heads, seed, tokens, specials)
    features = {"feature_size": MELS, "hop_length": 160, "n_fft": 400, "chunk_length": 30}
    (folder / "preprocessor_config.json").write_text(json.dumps({**features, "sampling_rate": 16000}))
    return folder


def _save_tokenizer(path: Path, text_tokens: int) -> tuple[list[str], dict[str, int]]:
    """Save a byte-level BPE tokenizer; return its tokens in order, and the numbers of Whisper's own."""
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([" the weather will be fine today and tomorrow"] * 20, trainer)
    names = ["endoftext", "startoftranscript", *_LANGUAGE_CODES, "translate", "transcribe"]
    names += ["startoflm", "startofprev", "nospeech", "notimestamps"]
    specials = [f"<|{name}|>" for name in names]
    fill = max(text_tokens - tokenizer.get_vocab_size(), 0)
    tokenizer.add_tokens([AddedToken(f"filler{i}", normalized=False) for i in range(fill)])
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    tokenizer.save(str(path))
    numbered = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return [token for token, _ in numbered], {name: tokenizer.get_vocab()[name] for name in specials}


def _save_weights(
    folder: Path, width: int, layers: int, heads: int, seed: int, tokens: list[str], specials: dict[str, int]
) -> None:
    from ctranslate2.specs import whisper_spec
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    spec = whisper_spec.WhisperSpec(layers, heads, layers, heads)
    filler = _Filler(width, seed)
    encoder, decoder = spec.encoder, spec.decoder
    for convolution, inputs in ((encoder.conv1, MELS), (encoder.conv2, width)):
        convolution.weight, convolution.bias = filler.random(width, inputs, 3), filler.zeros(width)
    encoder.position_encodings.encodings = filler.random(_POSITIONS, width)
    decoder.position_encodings.encodings = filler.random(_PROMPT_POSITIONS, width)
    decoder.embeddings.weight = filler.random(len(tokens), width, scale=0.5)
    decoder.projection.weight = filler.random(len(tokens), width, scale=0.5)
    decoder.projection.bias = _word_bias(tokens, specials)
    for part in (encoder, decoder):
        filler.norm(part.layer_norm)
        for layer in part.layer:
            filler.layer(layer)
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [specials["<|endoftext|>"]]
    spec.config.lang_ids = [specials[f"<|{code}|>"] for code in _LANGUAGE_CODES]
    spec.config.alignment_heads = [(layers - 1, head) for head in range(heads)]
    spec.validate()
    spec.save(str(folder))


def _word_bias(tokens: list[str], specials: dict[str, int]) -> Any:
    """What makes the model prefer whole words, and say no special token but the end."""
    bias = np.full(len(tokens), -4, np.float32)
    bias[[number for number, token in enumerate(tokens) if token.startswith("Ġ")]] = 0
    bias[specials["<|startoftranscript|>"] :] = -100
    bias[specials["<|endoftext|>"]] = 1
    return bias


class _Filler:
    """Fills the parts of a specification with random weights."""

    def __init__(self, width: int, seed: int) -> None:
        self._width, self._rng = width, np.random.default_rng(seed)

    def random(self, *shape: int, scale: float = 0.08) -> Any:
        return self._rng.normal(0, scale, shape).astype(np.float32)

    def zeros(self, size: int) -> Any:
        return np.zeros(size, np.float32)

    def norm(self, norm: Any) -> None:
        norm.gamma, norm.beta = np.ones(self._width, np.float32), self.zeros(self._width)

    def layer(self, layer: Any) -> None:
        width = self._width
        attentions = [(layer.self_attention, (3 * width, width))]
        if hasattr(layer, "attention"):
            attentions.append((layer.attention, (width, 2 * width, width)))
        for attention, outputs in attentions:
            self.norm(attention.layer_norm)
            for linear, size in zip(attention.linear, outputs, strict=True):
                self._linear(linear, size, width)
        self.norm(layer.ffn.layer_norm)
        self._linear(layer.ffn.linear_0, 4 * width, width)
        self._linear(layer.ffn.linear_1, width, 4 * width)

    def _linear(self, linear: Any, outputs: int, inputs: int) -> None:
        linear.weight, linear.bias = self.random(outputs, inputs), self.zeros(outputs)
