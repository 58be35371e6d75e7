"""Codec frames to samples, a few at a time, as if the whole utterance were decoded at once.

The decoder of Magpie's codec is causal: every convolution looks back a fixed number of samples. Each
utterance keeps exactly those samples for every convolution, so nothing is computed twice and nothing needs
to be faded over. A codec that is not causal is decoded in overlapping windows that are faded into each other.

Imports PyTorch; imported when a model is loaded, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253  # pyright: ignore[reportMissingImports]
from torch import Tensor  # noqa: TID253  # pyright: ignore[reportMissingImports]

from nemotron_speech.engines.magpie_tts.slots import pick

Samples = npt.NDArray[np.float32]


class CodecDecoder(Protocol):
    """Decode utterances piece by piece."""

    samples_per_frame: int

    def open(self, slot: int) -> Any:
        """Start an utterance in a slot that no other open one has."""
        ...

    def decode(self, streams: Sequence[Any], codes: Sequence[Sequence[Tensor]], *, final: bool) -> Samples:
        """Return samples [n, m] in -1..1 for the next frames.

        Args:
            streams: Streams, in the order of `codes`.
            codes: For each stream its frames [codebooks, t], in pieces; equally many in all.
            final: True if the frames are the last ones.

        A call that raises has advanced no stream.
        """
        ...


def codec_decoder(model: Any, capacity: int) -> CodecDecoder:
    """Return the decoder for the codec of a loaded `MagpieTTSModel`; slots are 0 to `capacity` - 1."""
    codec = model._codec_model
    frames = _Frames(codec, model._codec_converter)
    if _is_causal(codec.audio_decoder):
        return CausalDecoder(codec.audio_decoder, frames, capacity)
    return WindowedDecoder(codec.audio_decoder, frames)


def _is_causal(decoder: Any) -> bool:
    """Return True if every convolution looks back only, at zeros before the beginning."""
    paddings = {getattr(module, "extra_pad_mode", "constant") for module in decoder.modules()}
    kinds = {type(module).__name__ for module in decoder.modules()}
    looks_ahead = kinds & {"Conv1dNorm", "ConvTranspose1dNorm"}
    return type(decoder).__name__ == "CausalHiFiGANDecoder" and paddings == {"constant"} and not looks_ahead


class _Frames:
    """Codes to what the codec's decoder takes, frame by frame."""

    def __init__(self, codec: Any, converter: Any) -> None:
        self._codec, self._converter = codec, converter
        self.samples_per_frame = int(codec.samples_per_frame * codec.output_sample_rate // codec.sample_rate)

    def __call__(self, pieces: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return the codec decoder's input [n, d, t]."""
        codes = torch.stack([torch.cat(list(piece), dim=1) for piece in pieces])
        if not codes.shape[2]:
            return codes.float()
        lengths = torch.full((codes.shape[0],), codes.shape[2], device=codes.device)
        if self._converter is not None:
            codes = self._converter.convert_new_to_original(audio_tokens=codes, audio_lens=lengths)
        return self._codec.dequantize(tokens=codes, tokens_len=lengths).to(self._codec.dtype)


@dataclass(slots=True, eq=False)
class _Place:
    """An utterance decoded step by step."""

    slot: int
    begun: bool = False


class CausalDecoder:
    """Step NeMo's `CausalHiFiGANDecoder`, every convolution continued from where it was."""

    def __init__(self, decoder: Any, frames: _Frames, capacity: int) -> None:
        self._decoder, self._frames, self._capacity = decoder, frames, capacity
        self.samples_per_frame = frames.samples_per_frame
        self._seen: list[Tensor] = []
        """Past samples of each convolution's input: [slots, channels, samples]."""
        _fold_weight_norm(decoder)

    def open(self, slot: int) -> _Place:
        return _Place(slot)

    @torch.inference_mode()
    def decode(self, streams: Sequence[_Place], codes: Sequence[Sequence[Tensor]], *, final: bool) -> Samples:
        del final  # nothing is held back
        x = self._frames(codes)
        if not x.shape[2]:
            return np.zeros((len(streams), 0), np.float32)
        places = pick([stream.slot for stream in streams], x.device)
        begun = torch.tensor([stream.begun for stream in streams], device=x.device)
        past = _Past(self._seen, places, begun[:, None, None])
        samples = self._samples(x, past).float().cpu().numpy()
        self._renew(places, past.new)
        for stream in streams:
            stream.begun = True
        return samples

    def _renew(self, places: slice | Tensor, new: list[Tensor]) -> None:
        if not self._seen:
            self._seen = [x.new_zeros((self._capacity, *x.shape[1:])) for x in new]
        for seen, x in zip(self._seen, new, strict=True):
            seen[places] = x

    def _samples(self, x: Tensor, past: _Past) -> Tensor:
        decoder = self._decoder
        x = _convolve(decoder.pre_conv, x, past)
        for activation, up, residual in zip(
            decoder.activations, decoder.up_sample_conv_layers, decoder.res_layers, strict=True
        ):
            x = _upsample(up, activation(x), past)
            x = sum(_chain(block, x, past) for block in residual.res_blocks) / len(residual.res_blocks)
        x = _convolve(decoder.post_conv, decoder.post_activation(x), past)
        return decoder.out_activation(x)[:, 0]


class _Past:
    """Past inputs of a batch's convolutions, in the order they run, and the new ones that replace them."""

    def __init__(self, seen: list[Tensor], places: slice | Tensor, begun: Tensor) -> None:
        self._seen, self._places, self._begun = seen, places, begun
        self.new: list[Tensor] = []

    def extend(self, x: Tensor, keep: int) -> Tensor:
        """Put the last `keep` samples seen so far (zeros at first) before `x` [n, channels, t]."""
        if not keep:
            return x
        if self._seen:
            before = self._seen[len(self.new)][self._places] * self._begun
        else:
            before = x.new_zeros(x.shape[0], x.shape[1], keep)
        x = torch.cat([before, x], dim=2)
        self.new.append(x[:, :, -keep:])
        return x


def _convolve(part: Any, x: Tensor, past: _Past) -> Tensor:
    conv = part.conv
    reach = (conv.kernel_size[0] - 1) * conv.dilation[0]
    return part.activation(conv(past.extend(x, reach)))


def _upsample(part: Any, x: Tensor, past: _Past) -> Tensor:
    """Transposed convolution: a sample spreads over the following ones, so the last few are needed again."""
    conv = part.conv
    stride = conv.stride[0]
    keep = -(-conv.kernel_size[0] // stride) - 1
    made = conv(past.extend(x, keep))
    start = keep * stride + part.padding_left
    return part.activation(made[..., start : start + x.shape[2] * stride])


def _chain(block: Any, x: Tensor, past: _Past) -> Tensor:
    for part in block.res_blocks:
        y = _convolve(part.input_conv, part.input_activation(x), past)
        x = x + _convolve(part.skip_conv, part.skip_activation(y), past)
    return x


def _fold_weight_norm(decoder: Any) -> None:
    """Compute each normalised weight once instead of at every call."""
    from torch.nn.utils import parametrize  # pyright: ignore[reportMissingImports]

    for module in decoder.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")


class _Window:
    """An utterance decoded in windows."""

    def __init__(self) -> None:
        self.frames: Tensor | None = None
        """Frames to decode again, as context [d, t]."""
        self.held: Tensor | None = None
        """Samples not given out: their right context was missing."""


class WindowedDecoder:
    """Decode a codec that looks ahead, in windows with context; the joins are faded over one frame.

    Audio is late by one frame.
    """

    context = 16
    """Frames decoded again before the new ones."""

    def __init__(self, decoder: Any, frames: _Frames) -> None:
        self._decoder, self._frames = decoder, frames
        self.samples_per_frame = frames.samples_per_frame

    def open(self, slot: int) -> _Window:
        return _Window()

    @torch.inference_mode()
    def decode(
        self, streams: Sequence[_Window], codes: Sequence[Sequence[Tensor]], *, final: bool
    ) -> Samples:
        pieces = [self._piece(s, x, final=final) for s, x in zip(streams, self._frames(codes), strict=True)]
        for stream, (_, frames, held) in zip(streams, pieces, strict=True):
            stream.frames, stream.held = frames, held
        return torch.stack([samples for samples, _, _ in pieces]).float().cpu().numpy()

    def _piece(self, stream: _Window, new: Tensor, *, final: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return the samples to give out, and the frames and samples to keep."""
        if not new.shape[1] and stream.held is not None and stream.frames is not None:
            return stream.held, stream.frames, stream.held[:0]
        seen = new[:, :0] if stream.frames is None else stream.frames
        x = torch.cat([seen, new], dim=1)
        lengths = torch.tensor([x.shape[1]], device=x.device)
        audio, _ = self._decoder(inputs=x[None], input_len=lengths)
        frame = self.samples_per_frame
        held = 0 if stream.held is None else len(stream.held)
        samples = audio[0, seen.shape[1] * frame - held :]
        if stream.held is not None:
            fade = torch.linspace(0, 1, held, device=x.device)
            samples = torch.cat([stream.held * (1 - fade) + samples[:held] * fade, samples[held:]])
        give = len(samples) if final else len(samples) - frame
        return samples[:give], x[:, -self.context :], samples[give:]
