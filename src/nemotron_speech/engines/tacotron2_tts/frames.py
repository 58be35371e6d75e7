"""Spectrogram frames of several texts, a few decoder steps at a time; each as the model makes it alone.

The decoder of Coqui TTS keeps its state in itself, and decodes one batch from its beginning to its end. Here
the state of each text is put in before, and taken out after a few steps, so that texts come and go between.

Imports PyTorch; imported when a model is loaded, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253
from torch.nn import functional  # noqa: TID253
from torch.nn.utils.rnn import pad_sequence  # noqa: TID253

_RECURRENT = ("query", "attention_rnn_cell_state", "decoder_hidden", "decoder_cell", "context")
"""Names of the decoder's states of a fixed size, whatever the length of the text."""
_DROPPED = 0.5
"""Dropout of the prenet's output, in models that want it while speaking, too."""


@dataclass(frozen=True, slots=True)
class DecoderState:
    """A text between two steps."""

    tokens: tuple[int, ...]
    """Token ids of the text."""
    inputs: torch.Tensor
    """The encoded text: [tokens, width]."""
    processed: torch.Tensor | None
    """Encoded text projected for the attention; None for an attention that projects it itself."""
    frame: torch.Tensor
    """The last frame made: [mels]."""
    recurrent: tuple[torch.Tensor, ...]
    attention: dict[str, Any]
    """State of the attention; tensors have a batch dimension of one."""
    chance: torch.Generator
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Made:
    """Result of some steps for one text."""

    state: DecoderState
    frames: torch.Tensor
    """[mels, frames]"""
    attended: torch.Tensor
    """Attention to the text's tokens: [steps, tokens]."""
    ends: bool


class SpectrogramFrames:
    """Make frames with a Tacotron2 of Coqui TTS.

    Args:
        model: A loaded model, in eval mode.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._decoder = decoder = model.decoder
        attention = decoder.attention
        self.per_step = int(decoder.r)
        self.batched = hasattr(attention, "forward_attn") and not (
            attention.forward_attn or attention.windowing
        )
        """True if texts of several lengths can be decoded together."""
        self.reach = sum((conv.convolution1d.kernel_size[0] - 1) // 2 for conv in model.postnet.convolutions)
        """Frames to each side of a frame that its postnet hears."""

    @torch.inference_mode()
    def begin(self, tokens: Sequence[int], seed: int) -> DecoderState | None:
        """Encode a text; None if there is nothing of it."""
        if not tokens:
            return None
        device = next(self._model.parameters()).device
        encoded = self._model.encoder.inference(
            self._model.embedding(torch.tensor([tokens], device=device)).transpose(1, 2)
        )
        if self._model.gst and self._model.use_gst:
            encoded = self._model.compute_gst(encoded, None)
        decoder = self._decoder
        decoder._init_states(encoded, mask=None)
        decoder.attention.init_states(encoded)
        return DecoderState(
            tuple(tokens),
            encoded[0],
            None if decoder.processed_inputs is None else decoder.processed_inputs[0],
            torch.zeros(decoder.frame_channels, device=device),
            tuple(getattr(decoder, name)[0] for name in _RECURRENT),
            self._attention_state(),
            torch.Generator(device).manual_seed(seed),
        )

    @torch.inference_mode()
    def decode(self, states: Sequence[DecoderState], steps: int) -> list[Made]:
        """Make the next frames of each text, up to its end; `steps` decoder steps at most."""
        if len(states) > 1 and not self.batched:
            return [made for state in states for made in self.decode([state], steps)]
        self._put_in(states)
        decoder = self._decoder
        outputs, attended, stops = list[torch.Tensor](), list[torch.Tensor](), list[torch.Tensor]()
        memory = torch.stack([state.frame for state in states])
        for _ in range(steps):
            output, attention, stop = decoder.decode(self._prenet(memory, states))
            outputs.append(output.reshape(len(states), -1))
            attended.append(attention.reshape(len(states), -1))
            stops.append(torch.sigmoid(stop.reshape(len(states))))
            memory = decoder._update_memory(outputs[-1])
        made = torch.stack(outputs, 1)  # [texts, steps, r * mels]
        if not made.isfinite().all():
            raise FloatingPointError("the spectrogram is not finite")
        ended = (torch.stack(stops, 1) > decoder.stop_threshold).tolist()
        attention = torch.stack(attended, 1).cpu()  # [texts, steps, tokens]
        return [
            self._take_out(i, state, memory, made[i], attention[i], ended[i])
            for i, state in enumerate(states)
        ]

    @torch.inference_mode()
    def refine(self, frames: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return frames [mels, n] of several texts, as many of each, after the postnet."""
        together = torch.stack(list(frames))
        return list(together + self._model.postnet(together))

    def _prenet(self, memory: torch.Tensor, states: Sequence[DecoderState]) -> torch.Tensor:
        prenet = self._decoder.prenet
        if not (prenet.prenet_dropout and prenet.dropout_at_inference):
            return prenet(memory)
        for linear in prenet.linear_layers:
            made = functional.relu(linear(memory))
            chances = [
                torch.rand(made.shape[1], generator=state.chance, device=made.device) for state in states
            ]
            memory = made * (torch.stack(chances) >= _DROPPED) / (1 - _DROPPED)
        return memory

    def _put_in(self, states: Sequence[DecoderState]) -> None:
        """Load the decoder with texts of several lengths: padded, and not heard there."""
        decoder = self._decoder
        lengths = torch.tensor([len(state.inputs) for state in states], device=states[0].inputs.device)
        decoder.inputs = pad_sequence([state.inputs for state in states], batch_first=True)
        processed = [state.processed for state in states if state.processed is not None]
        decoder.processed_inputs = pad_sequence(processed, batch_first=True) if processed else None
        longest = decoder.inputs.shape[1]
        positions = torch.arange(longest, device=lengths.device)
        decoder.mask = positions[None] < lengths[:, None] if len(states) > 1 else None
        for number, name in enumerate(_RECURRENT):
            setattr(decoder, name, torch.stack([state.recurrent[number] for state in states]))
        for name in states[0].attention:
            kept = [state.attention[name] for state in states]
            if isinstance(kept[0], torch.Tensor):
                value = kept[0].clone() if len(kept) == 1 else pad_sequence([k[0] for k in kept], True)
            else:
                value = kept[0]
            setattr(decoder.attention, name, value)

    def _take_out(
        self,
        row: int,
        state: DecoderState,
        memory: torch.Tensor,
        made: torch.Tensor,
        attention: torch.Tensor,
        ended: list[bool],
    ) -> Made:
        """Return one text's result; its first step is never the last, whatever the model says."""
        last = next((i for i, end in enumerate(ended) if end and state.steps + i > 0), len(ended) - 1)
        frames = made[: last + 1].reshape(-1, self._decoder.frame_channels).T
        after = DecoderState(
            state.tokens,
            state.inputs,
            state.processed,
            memory[row],
            tuple(getattr(self._decoder, name)[row] for name in _RECURRENT),
            self._attention_state(row, len(state.inputs)) if self.batched else self._attention_state(),
            state.chance,
            state.steps + last + 1,
        )
        attended = attention[: last + 1, : len(state.tokens)]
        return Made(after, frames, attended, ended[last] and after.steps > 1)

    def _attention_state(self, row: int = 0, tokens: int | None = None) -> dict[str, Any]:
        kept = vars(self._decoder.attention)
        return {
            name: value[row : row + 1, :tokens] if isinstance(value, torch.Tensor) and tokens else value
            for name, value in kept.items()
            if isinstance(value, torch.Tensor) or name == "win_idx"
        }
