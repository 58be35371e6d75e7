"""Mel frames of audio that is still arriving: those of the whole recording, from a bounded tail of it.

A frame of a centred short-time Fourier transform sees half a window to each side, and pre-emphasis sees one
sample more. So the frames that are next need the samples from `lead` frames before them, and nothing older:
the cost of a second of audio does not depend on how long the utterance already is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class MelShape:
    """Position of mel frames on samples.

    Args:
        hop: Samples from one frame to the next.
        window: Samples one frame sees.
        sample_rate: Samples per second.
    """

    hop: int
    window: int
    sample_rate: int = 16000

    @property
    def lead(self) -> int:
        """Frames of older audio that the next frame needs: half a window and one sample of pre-emphasis."""
        return -(-(self.window // 2 + 1) // self.hop)

    @property
    def reach(self) -> int:
        """Samples after a frame's centre without which it is not complete."""
        return max(-(-self.window // 2), self.hop)


class AudioTail:
    """The audio of one utterance that its next frames need. Bounded: what frames used up is dropped."""

    def __init__(self, shape: MelShape) -> None:
        self._shape = shape
        self.restart()

    def restart(self) -> None:
        """Begin another utterance. Before its first sample there is silence, as for the model."""
        self.frames = 0
        """Frames taken so far."""
        self._samples: Samples = np.zeros(self._shape.lead * self._shape.hop, np.int16)

    @property
    def received(self) -> int:
        """Samples of this utterance so far."""
        return (self.frames - self._shape.lead) * self._shape.hop + len(self._samples)

    @property
    def remaining_frames(self) -> int:
        """Frames not yet taken if the utterance ends here."""
        return max(self.received // self._shape.hop - self.frames, 0)

    @property
    def nbytes(self) -> int:
        return self._samples.nbytes

    def push(self, pcm: bytes) -> None:
        """Append PCM16LE. Raises ValueError for an odd number of bytes."""
        if pcm:
            self._samples = np.concatenate((self._samples, np.frombuffer(pcm, "<i2")))

    def missing(self, frames: int) -> int:
        """Return how many samples must still come before the next `frames` frames are complete."""
        return max((self.frames + frames - 1) * self._shape.hop + self._shape.reach - self.received, 0)

    def window(self, frames: int) -> Samples:
        """Return the samples that the next `frames` frames see, fewer where the utterance ends before."""
        return self._samples[: (self._shape.lead + frames - 1) * self._shape.hop + self._shape.reach]

    def take(self, frames: int) -> None:
        """Forget what only the next `frames` frames needed."""
        self._samples = self._samples[frames * self._shape.hop :].copy()
        self.frames += frames


class MelFrames:
    """Computes the next frames of many utterances at once with the model's own preprocessor.

    Args:
        preprocessor: A NeMo `AudioToMelSpectrogramPreprocessor` in eval mode and float32.
    """

    def __init__(self, preprocessor: Any) -> None:
        features = preprocessor.featurizer
        self._preprocessor = preprocessor
        self.shape = MelShape(features.hop_length, features.win_length, features.sample_rate)

    def __call__(self, windows: Sequence[Samples], frames: Sequence[int]) -> torch.Tensor:
        """Return `[len(windows), mel bands, max(frames)]`; row i is meaningful up to `frames[i]`."""
        import torch

        lead, hop = self.shape.lead, self.shape.hop
        longest = max(lead + max(frames) + 1, 1) * hop
        batch = np.zeros((len(windows), max(longest, *map(len, windows))), np.int16)
        for row, window in zip(batch, windows, strict=True):
            row[: len(window)] = window
        device = self._preprocessor.featurizer.fb.device
        signal = torch.from_numpy(batch).to(device, non_blocking=True).to(torch.float32) / 32768
        length = torch.tensor([len(window) for window in windows], device=device)
        mel, _ = self._preprocessor(input_signal=signal, length=length)
        return mel[:, :, lead : lead + max(frames)]
