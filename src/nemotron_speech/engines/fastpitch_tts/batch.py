"""Spectrograms of several texts at once, each as the model makes it alone.

FastPitch keeps its attention off the padding behind a short text, but not its convolutions: the output of the
first of two for padding reaches the end of the text through the second. Here every convolution is given zeros
behind each text, as it is at the end of a text that is alone. A difference remains: the rounding of sums in
another order, less than 1e-4 of a spectrogram's range.

Imports NeMo; imported when a model is loaded, not before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253
from nemo.collections.tts.models import FastPitchModel  # noqa: TID253


@dataclass(frozen=True, slots=True)
class Spectrogram:
    """Spectrogram of one text."""

    mel: torch.Tensor
    """[mels, frames]"""
    tokens: tuple[int, ...]
    """Token ids of the text."""
    frames: tuple[int, ...] = ()
    """Frames of each token; empty where the model does not report durations."""


class Spectrograms:
    """Make spectrograms with a NeMo model: FastPitch several at once, any other one after the other.

    Args:
        model: A loaded spectrogram generator, in eval mode.
        speakers: How many it has.
    """

    def __init__(self, model: Any, speakers: int) -> None:
        self._model = model
        self._many_speakers = speakers > 1
        self._sounding: torch.Tensor | None = None
        """Mask of the batch, 0 on padding: [texts, 1, tokens or frames]; None outside a pass."""
        self.batched = isinstance(model, FastPitchModel)
        if self.batched:
            self._silence_padding(model.fastpitch)

    def make(
        self, texts: Sequence[str], speakers: Sequence[int], speeds: Sequence[float]
    ) -> list[Spectrogram]:
        """Return one spectrogram per text."""
        with torch.inference_mode():
            tokens = [self._model.parse(text) for text in texts]
            if self.batched:
                return self._together(tokens, speakers, speeds)
            return [self._alone(*one) for one in zip(tokens, speakers, speeds, strict=True)]

    def _alone(self, tokens: torch.Tensor, speaker: int, speed: float) -> Spectrogram:
        options: dict[str, Any] = {"speaker": speaker} if self._many_speakers else {}
        if speed != 1.0:
            options["pace"] = speed
        made = self._model.generate_spectrogram(tokens=tokens, **options)
        return Spectrogram(made[0], tuple(tokens[0].tolist()))

    def _together(
        self, tokens: Sequence[torch.Tensor], speakers: Sequence[int], speeds: Sequence[float]
    ) -> list[Spectrogram]:
        device = tokens[0].device
        lengths = torch.tensor([one.shape[1] for one in tokens], device=device)
        padding = self._model.fastpitch.encoder.padding_idx
        pace = torch.tensor(speeds, device=device)[:, None]
        with self._padded(lengths):
            spectrograms, frames, durations, *_ = self._model(
                text=torch.nn.utils.rnn.pad_sequence([one[0] for one in tokens], True, padding),
                speaker=torch.tensor(speakers, device=device) if self._many_speakers else None,
                pace=pace,
            )
        each = (durations / pace + 0.5).floor().long().tolist()  # as the model rounds them
        return [
            Spectrogram(mel[:, :length], tuple(one[0].tolist()), tuple(of_tokens[: one.shape[1]]))
            for mel, length, one, of_tokens in zip(spectrograms, frames.tolist(), tokens, each, strict=True)
        ]

    @contextmanager
    def _padded(self, lengths: torch.Tensor) -> Iterator[None]:
        self._sounding = _until(lengths)
        try:
            yield
        finally:
            self._sounding = None

    def _silence_padding(self, fastpitch: Any) -> None:
        fastpitch.decoder.register_forward_pre_hook(self._frames_follow, with_kwargs=True)
        for name, module in fastpitch.named_modules():
            if isinstance(module, torch.nn.Conv1d) and not name.startswith(("aligner.", "speaker_encoder.")):
                module.register_forward_pre_hook(self._silenced)

    def _frames_follow(self, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Replace the mask of tokens by one of frames: the decoder works on frames."""
        if self._sounding is not None:
            self._sounding = _until(kwargs["seq_lens"])

    def _silenced(self, module: Any, args: tuple[torch.Tensor]) -> tuple[torch.Tensor] | None:
        return None if self._sounding is None else (args[0] * self._sounding,)


def _until(lengths: torch.Tensor) -> torch.Tensor:
    """Return 1 before and 0 from each length on: [lengths, 1, longest]."""
    return torch.arange(int(lengths.max()), device=lengths.device)[None, None] < lengths[:, None, None]
