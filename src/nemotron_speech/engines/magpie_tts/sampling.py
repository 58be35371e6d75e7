"""The codes of the next codec frames, drawn from one decoder output: codebook by codebook.

Random numbers are a function of (seed, step, codebook, code): an utterance draws the same codes alone, in any
batch, and when a step is repeated.

Imports PyTorch; imported when a model is loaded, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253  # pyright: ignore[reportMissingImports]
from torch import Tensor  # noqa: TID253  # pyright: ignore[reportMissingImports]

from nemotron_speech.engines.magpie_tts.layers import CodeEmbedding, Layers
from nemotron_speech.errors import ConfigurationError

_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Draw:
    """Parameters of one utterance's draw in one step."""

    seed: int
    step: int
    may_end: bool
    must_end: bool


class Sampler:
    """Draw codes with the sampling settings of the loaded model.

    Args:
        model: In eval mode, on its device.
        guidance: True if decoder outputs come in two rows, the second without the text.
    """

    def __init__(self, model: Any, embedding: CodeEmbedding, *, guidance: bool) -> None:
        from nemo.collections.tts.modules.magpietts_modules import (  # pyright: ignore[reportMissingImports]
            EOSDetectionMethod,
            SpecialAudioToken,
        )

        settings = model.inference_parameters
        self._model, self._embedding = model, embedding
        self._scale = float(settings.cfg_scale) if guidance else None
        self._temperature, self._top = float(settings.temperature), int(settings.topk)
        self._codebooks, self._stack = model.num_audio_codebooks, model.frame_stacking_factor
        self._codes, self._end = model.num_all_tokens_per_codebook, model.audio_eos_id
        self._forbidden = SpecialAudioToken.get_forbidden_tokens(model.codebook_size, forbid_audio_eos=False)
        method = EOSDetectionMethod(settings.eos_detection_method)
        self._end_in = EOSDetectionMethod.detection_type(method)
        self._end_by_draw = EOSDetectionMethod.sampling_type(method) != "argmax"
        self._local = self._local_layers()

    def draw(self, hidden: Tensor, draws: Sequence[Draw]) -> tuple[Tensor, Tensor]:
        """Draw the next stack of frames of each utterance.

        Args:
            hidden: Decoder output [n, rows, d] of the last position.
            draws: One per utterance.

        Returns:
            Codes [n, codebooks, stack], and whether speech ends before each frame, bool [n, stack].
        """
        device = hidden.device
        logits = self._model.final_proj(hidden).float()
        logits = logits.view(*hidden.shape[:2], self._stack * self._codebooks, self._codes)
        barred = self._barred(draws, device)
        noise = gumbel(draws, self._stack * self._codebooks, self._codes, device)
        guided = self._guided(logits) + barred[:, None]
        codes = self._by_local(hidden, barred, noise) if self._local else self._pick(guided, noise)
        likeliest = guided.argmax(-1)
        ends = self._ends(self._frames(likeliest))
        if self._end_by_draw:
            ends = ends | self._ends(self._frames(codes))
        return self._frames(codes), ends

    def _local_layers(self) -> Layers | None:
        kind = str(self._model.local_transformer_type.value)
        if kind == "none":
            return None
        if kind != "autoregressive":
            raise ConfigurationError(f"this Magpie checkpoint's local transformer is {kind}: not supported")
        return Layers(self._model.local_transformer)

    def _by_local(self, hidden: Tensor, barred: Tensor, noise: Tensor) -> Tensor:
        """Draw codebook by codebook, each knowing those before it: [n, stack * codebooks]."""
        assert self._local is not None
        model, local = self._model, self._local
        n, rows = hidden.shape[:2]
        count = self._stack * self._codebooks
        shape = (local.count, n, rows, local.heads, count, local.head_size)
        keys, values = hidden.new_empty(shape), hidden.new_empty(shape)
        positions = torch.arange(count, device=hidden.device)
        drawn: list[Tensor] = []
        x = hidden
        for codebook in range(count):

            def remember(layer: int, k: Tensor, v: Tensor, at: int = codebook) -> tuple[Tensor, Tensor]:
                keys[layer, ..., at : at + 1, :] = k
                values[layer, ..., at : at + 1, :] = v
                return keys[layer, ..., : at + 1, :], values[layer, ..., : at + 1, :]

            x = model.local_transformer_in_projection(x)[:, :, None]
            x, _ = local.run(local.at(x, positions[codebook]), remember, None)
            x = model.local_transformer_audio_out_projection(x[:, :, -1])
            logits = model.local_transformer_out_projections[codebook](x).float()
            drawn.append(self._pick(self._guided(logits) + barred, noise[:, codebook]))
            following = model.audio_in_projection(self._embedding.code(codebook, drawn[-1]))
            x = following[:, None].expand(n, rows, -1)
        return torch.stack(drawn, dim=1)

    def _guided(self, logits: Tensor) -> Tensor:
        """Lead away from what would be said without the text: row 0 of axis 1 from row 1."""
        if self._scale is None:
            return logits[:, 0]
        return self._scale * logits[:, 0] + (1.0 - self._scale) * logits[:, 1]

    def _pick(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Draw from the likeliest codes, with temperature: the largest logit plus Gumbel noise."""
        if self._temperature <= 0:
            return logits.argmax(-1)
        least = logits.topk(self._top, dim=-1).values[..., -1:]
        return (logits / self._temperature + noise).masked_fill(logits < least, _NEVER).argmax(-1)

    def _barred(self, draws: Sequence[Draw], device: Any) -> Tensor:
        """Return the mask added to logits [n, codes]: minus infinity for codes that may not be drawn."""
        barred = torch.zeros(len(draws), self._codes)
        barred[:, self._forbidden] = _NEVER
        for row, draw in enumerate(draws):
            if draw.must_end:
                barred[row] = _NEVER
                barred[row, self._end] = 0.0
            elif not draw.may_end:
                barred[row, self._end] = _NEVER
        return barred.to(device)

    def _frames(self, codes: Tensor) -> Tensor:
        return codes.view(-1, self._stack, self._codebooks).transpose(1, 2)

    def _ends(self, codes: Tensor) -> Tensor:
        """Return, for each frame of codes [n, codebooks, stack], whether speech has ended with it."""
        at_end = codes == self._end
        if self._end_in == "zero_cb":
            return at_end[:, 0]
        return at_end.all(1) if self._end_in == "all" else at_end.any(1)


def gumbel(draws: Sequence[Draw], codebooks: int, codes: int, device: Any) -> Tensor:
    """Return Gumbel noise [n, codebooks, codes], a function of each utterance's seed and step.

    The uniform bits are SplitMix64's output function over a counter (Steele, Lea, Flood: "Fast splittable
    pseudorandom number generators", 2014).
    """
    starts = [_signed(_mixed(draw.seed) + draw.step * 0x9E3779B97F4A7C15) for draw in draws]
    start = torch.tensor(starts, dtype=torch.int64, device=device)
    place = torch.arange(codebooks * codes, dtype=torch.int64, device=device) * _signed(0xD1B54A32D192ED03)
    x = start[:, None] + place
    x = (x ^ _shifted(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shifted(x, 27)) * _signed(0x94D049BB133111EB)
    x = x ^ _shifted(x, 31)
    uniform = (_shifted(x, 41).float() + 0.5) / 2**23
    return -(-uniform.log()).log().view(len(draws), codebooks, codes)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shift right, filling with zeros: PyTorch's shift fills with the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mixed(seed: int) -> int:
    x = (seed + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    return x ^ (x >> 27)


def _signed(x: int) -> int:
    return (x + 2**63) % 2**64 - 2**63
