"""HiFi-GAN, window by window: the samples are those of the whole spectrogram vocoded at once.

Each window is vocoded with as many frames before and after it as can be heard in it, and these are cut off
again. At the ends of the spectrogram there is nothing to add, so the generator's own padding applies there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nemotron_speech.engines.shared.isolation import BatchLimit
from nemotron_speech.errors import ConfigurationError, EngineError

Samples = npt.NDArray[np.float32]
Stream = TypeVar("Stream")


@dataclass(frozen=True, slots=True)
class VocoderWindow:
    """Frames `start` to `end` of a spectrogram, vocoded as part of `first` to `last`."""

    start: int
    end: int
    first: int
    last: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape that windows of one batch share, in frames: length, start and length of the kept part."""
        return self.last - self.first, self.start - self.first, self.end - self.start


class WindowedVocoder:
    """Vocode spectrograms in windows.

    Args:
        generator: A loaded HiFi-GAN generator, in eval mode and without weight normalisation.
        sample_rate: Sample rate of the generator's audio, in Hz.

    Raises ConfigurationError for a vocoder whose samples depend on more than the frames nearby.
    """

    def __init__(self, generator: Any, sample_rate: int) -> None:
        if not all(hasattr(generator, part) for part in ("conv_pre", "ups", "resblocks", "conv_post")):
            raise ConfigurationError(f"hifigan_model: {type(generator).__name__} is no HiFi-GAN vocoder")
        self.sample_rate = sample_rate
        self.mels = int(generator.conv_pre.in_channels)
        self.samples_per_frame = prod(up.stride[0] for up in generator.ups)
        self.context = context_frames(generator)
        self._generator = generator

    def window(self, frames: int, start: int, size: int) -> VocoderWindow:
        """Return the window of `size` frames at `start`, or of what is left, in a spectrogram of `frames`."""
        end = min(start + size, frames)
        return VocoderWindow(start, end, max(start - self.context, 0), min(end + self.context, frames))

    def vocode(self, spectrograms: Sequence[Any], windows: Sequence[VocoderWindow]) -> Samples:
        """Return samples [n, m] in -1..1 of windows of one shape, each of its spectrogram [mels, frames]."""
        import torch

        window = windows[0]
        assert all(other.shape == window.shape for other in windows)
        mels = [mel[:, w.first : w.last] for mel, w in zip(spectrograms, windows, strict=True)]
        with torch.inference_mode():
            audio = self._generator(x=torch.stack(mels))[:, 0]
        begin = (window.start - window.first) * self.samples_per_frame
        length = (window.end - window.start) * self.samples_per_frame
        return audio[:, begin : begin + length].float().cpu().numpy()


def vocode_all(
    vocoder: WindowedVocoder,
    limit: BatchLimit[Stream],
    windows: Mapping[Stream, tuple[Any, VocoderWindow]],
) -> tuple[dict[Stream, Samples], dict[Stream, EngineError]]:
    """Vocode a window of the spectrogram of each stream, those of one shape together.

    Returns the samples of those that could be vocoded, and the errors of the others.
    """
    groups: defaultdict[tuple[int, int, int], list[Stream]] = defaultdict(list)
    for stream, (_, window) in windows.items():
        groups[window.shape].append(stream)
    audio: dict[Stream, Samples] = {}
    failed: dict[Stream, EngineError] = {}

    def vocode(streams: Sequence[Stream]) -> None:
        mels, spans = zip(*(windows[stream] for stream in streams), strict=True)
        audio.update(zip(streams, vocoder.vocode(mels, spans), strict=True))

    for group in groups.values():
        failed.update(limit.run(vocode, group))
    return audio, failed


def context_frames(generator: Any) -> int:
    """Return how many frames to each side of a sample it depends on, from the kernels of the generator."""
    blocks = list(generator.resblocks)
    if len(blocks) > len(generator.ups):  # one list for all stages
        each = len(blocks) // len(generator.ups)
        blocks = [blocks[i : i + each] for i in range(0, len(blocks), each)]
    reach = _reach(generator.conv_post)
    for up, stage in zip(reversed(generator.ups), reversed(blocks), strict=True):
        reach += max(sum(map(_reach, _convolutions(block))) for block in stage)
        reach = ceil((reach + up.kernel_size[0] - 1) / up.stride[0])
    return reach + _reach(generator.conv_pre)


def _convolutions(block: Any) -> list[Any]:
    """Return the convolutions of a residual block, which follow each other."""
    return [conv for name in ("convs1", "convs2", "convs") for conv in getattr(block, name, ())]


def _reach(conv: Any) -> int:
    return (conv.kernel_size[0] - 1) * conv.dilation[0] // 2
