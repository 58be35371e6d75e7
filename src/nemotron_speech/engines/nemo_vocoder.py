"""HiFi-GAN, window by window: the samples are those of the whole spectrogram vocoded at once.

Each window is vocoded with as many frames before and after it as can be heard in it, and these are cut off
again. At the ends of the spectrogram there is nothing to add, so the generator's own padding applies there.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from nemotron_speech.errors import ConfigurationError

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """Frames `start` to `end` of a spectrogram, vocoded as part of `first` to `last`."""

    start: int
    end: int
    first: int
    last: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """What windows in one batch have in common."""
        return self.last - self.first, self.start - self.first, self.end - self.start


class WindowedVocoder:
    """Vocode spectrograms in windows.

    Args:
        model: A loaded NeMo vocoder with a HiFi-GAN generator, in eval mode; it becomes the vocoder's own.

    Raises ConfigurationError for a vocoder whose samples depend on more than the frames nearby.
    """

    def __init__(self, model: Any) -> None:
        generator: Any = getattr(model, "generator", None)
        if not all(hasattr(generator, part) for part in ("conv_pre", "ups", "resblocks", "conv_post")):
            raise ConfigurationError(f"hifigan_model: {type(model).__name__} is no HiFi-GAN vocoder")
        self.sample_rate = int(model.cfg.preprocessor.sample_rate)
        self.mels = int(generator.conv_pre.in_channels)
        self.samples_per_frame = prod(up.stride[0] for up in generator.ups)
        self.context = context_frames(generator)
        with redirect_stdout(io.StringIO()):  # it prints
            generator.remove_weight_norm()
        self._generator = generator

    def window(self, frames: int, start: int, size: int) -> Window:
        """Return the window of `size` frames at `start`, or of what is left, in a spectrogram of `frames`."""
        end = min(start + size, frames)
        return Window(start, end, max(start - self.context, 0), min(end + self.context, frames))

    def vocode(self, spectrograms: Sequence[Any], windows: Sequence[Window]) -> Samples:
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


def context_frames(generator: Any) -> int:
    """Return how many frames to each side of a sample it depends on, from the kernels of the generator."""
    reach = _reach(generator.conv_post)
    for up, blocks in zip(reversed(generator.ups), reversed(generator.resblocks), strict=True):
        reach += max(sum(map(_reach, _convolutions(block))) for block in blocks)
        reach = ceil((reach + up.kernel_size[0] - 1) / up.stride[0])
    return reach + _reach(generator.conv_pre)


def _convolutions(block: Any) -> list[Any]:
    """The convolutions of a residual block, which follow each other."""
    return [conv for name in ("convs1", "convs2", "convs") for conv in getattr(block, name, ())]


def _reach(conv: Any) -> int:
    return (conv.kernel_size[0] - 1) * conv.dilation[0] // 2
