"""Magpie's autoregressive decoder, many utterances in a step, each gaining one stack of codec frames.

NeMo's own loop takes a batch from its first frame to its last. This one keeps every utterance's keys and
values in a slot of its own, so that utterances join and leave between steps. The layers are the loaded
model's; what is computed is what NeMo computes with its decoder cache on, and tests compare the codes.

Imports PyTorch; imported when a model is loaded, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch  # noqa: TID253  # pyright: ignore[reportMissingImports]
from torch import Tensor  # noqa: TID253  # pyright: ignore[reportMissingImports]

from nemotron_speech.engines.magpie_tts.alignment import Alignment, AlignmentRules
from nemotron_speech.engines.magpie_tts.layers import CodeEmbedding, Layers, TextMemory
from nemotron_speech.engines.magpie_tts.sampling import Draw, Sampler
from nemotron_speech.engines.magpie_tts.slots import SlotTensor, pick
from nemotron_speech.engines.magpie_tts.text import TextChunk

_GRAIN = 16
"""Lengths are rounded up to a multiple of this: few different shapes, and what fast kernels want."""


@dataclass(slots=True, eq=False)
class DecodedUtterance:
    """One text being decoded."""

    slot: int
    chunks: Sequence[TextChunk]
    voice: int
    seed: int
    alignment: Alignment
    window: list[int] = field(default_factory=list)
    """Tokens the decoder sees: those of the chunk, after some of the chunk before."""
    chunk: int = -1
    step: int = 0
    """Decoder steps done in this chunk."""
    steps: int = 0
    """Decoder steps done in all."""
    encoded: Tensor | None = None
    """The encoded window [tokens, d] of the last chunk begun: the next one continues from it."""
    codes: Tensor | None = None
    """The last frames [codebooks, stack], input of the next step; None while a chunk is to begin."""


@dataclass(frozen=True, slots=True)
class CodeFrames:
    """Result of one step for one utterance."""

    codes: Tensor
    """Codec frames [codebooks, n]; n may be 0 at the end."""
    done: bool
    chunk: int
    token: int
    """Token of `chunk` that was being spoken; negative: a token of the chunk before."""
    cut: bool = False
    """True if the chunk ended for want of steps, not because it was over."""


class MagpieDecoder:
    """Decode utterances of one loaded `MagpieTTSModel`, any number of them in a step.

    Args:
        model: In eval mode, on its device, with a table of voices.
        guidance: True to use classifier-free guidance, with the checkpoint's scale.
        capacity: Utterances open at once.
    """

    def __init__(self, model: Any, *, guidance: bool, capacity: int) -> None:
        self._model, self._device = model, model.device
        self._settings = model.inference_parameters
        self._rules = _rules(model)
        self._rows = 2 if guidance else 1
        self._layers = Layers(
            model.decoder, self._settings.apply_prior_to_layers, self._settings.estimate_alignment_from_layers
        )
        self._embedding = CodeEmbedding(model)
        self._sampler = Sampler(model, self._embedding, guidance=guidance)
        self._begin = self._embedding.frames(self._bos_frames()).detach()
        self._context = int(model._baked_embedding_T)
        self._max_steps = self._most_steps()
        self._free = list(range(capacity))
        self._make_slots()
        self._unguided = self._unguided_prefix() if guidance else None

    @property
    def free_slots(self) -> int:
        return len(self._free)

    def open(self, chunks: Sequence[TextChunk], voice: int, seed: int) -> DecodedUtterance:
        """Start an utterance of at least one chunk; there must be a free slot."""
        utterance = DecodedUtterance(self._free.pop(0), chunks, voice, seed, Alignment(self._rules))
        self._begin_chunk(utterance)
        return utterance

    def close(self, utterance: DecodedUtterance) -> None:
        """Give the utterance's slot back; it must not be stepped or closed again."""
        self._free = sorted([*self._free, utterance.slot])

    @torch.inference_mode()
    def step(self, utterances: Sequence[DecodedUtterance]) -> list[CodeFrames]:
        """Decode one step of each utterance; answers in order.

        A step that raises has advanced nobody and may be repeated, with fewer utterances too: what it draws
        depends on each utterance's seed and step alone.
        """
        fresh = [u for u in utterances if u.codes is None]
        running = sorted((u for u in utterances if u.codes is not None), key=lambda u: u.slot)
        parts, encoded = [], []
        if fresh:
            hidden, scores, encoded = self._prefill(fresh)
            parts.append((hidden, scores))
        if running:
            parts.append(self._advance(running))
        order = [*fresh, *running]
        codes, ends, alignments = self._draw(order, *_joined(parts))
        for utterance, window in zip(fresh, encoded, strict=True):
            utterance.encoded = window
        made = {id(u): self._commit(u, codes[i], ends[i], alignments[i]) for i, u in enumerate(order)}
        return [made[id(u)] for u in utterances]

    # -------------------------------------------------------------------------- one utterance

    def _begin_chunk(self, utterance: DecodedUtterance) -> None:
        first = utterance.chunk < 0
        utterance.chunk += 1
        chunk = list(utterance.chunks[utterance.chunk].tokens)
        history = min(len(chunk), self._model.chunked_inference_config.history_len_heuristic)
        utterance.window = chunk if first else [*utterance.window, *chunk][-len(chunk) - history :]
        final = utterance.chunk == len(utterance.chunks) - 1
        utterance.alignment = utterance.alignment.at_chunk(len(chunk), len(utterance.window), final=final)
        utterance.step, utterance.codes = 0, None

    def _commit(
        self, utterance: DecodedUtterance, codes: Tensor, ends: list[bool], alignment: Alignment
    ) -> CodeFrames:
        """Take a drawn stack of frames into the utterance; return what of it is to be heard."""
        chunk = utterance.chunk
        history = len(utterance.window) - len(utterance.chunks[chunk].tokens)
        utterance.alignment, utterance.codes = alignment, codes
        utterance.step += 1
        utterance.steps += 1
        ended = any(ends) or alignment.must_end
        over = ended or utterance.step >= self._max_steps
        heard = codes[:, : ends.index(True)] if any(ends) else codes
        done = over and chunk == len(utterance.chunks) - 1
        if over and not done:
            self._begin_chunk(utterance)
        return CodeFrames(heard, done, chunk, alignment.attended - history, cut=over and not ended)

    def _may_end(self, utterance: DecodedUtterance, alignment: Alignment) -> bool:
        stack = self._model.frame_stacking_factor
        if utterance.step * stack < self._settings.min_generated_frames:
            return False
        return self._settings.ignore_finished_sentence_tracking or not alignment.unfinished

    def _must_end(self, alignment: Alignment) -> bool:
        return not self._settings.ignore_finished_sentence_tracking and alignment.finished

    # ------------------------------------------------------------------------------- the batch

    def _prefill(self, fresh: list[DecodedUtterance]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Begin chunks: the voice's context and the first position.

        Returns hidden states [n, rows, d], attention to the text [n, tokens], and each encoded window.
        """
        slots = torch.tensor([u.slot for u in fresh], device=self._device)
        context = self._encode(fresh)
        encoded = [_continued(u, context.cond[i, : len(u.window)]) for i, u in enumerate(fresh)]
        text = self._remember_text(fresh, slots, encoded)
        x = torch.cat([context.additional_decoder_input, self._begin.expand(len(fresh), 1, -1)], dim=1)
        heard = torch.ones(len(fresh), x.shape[1], dtype=torch.bool, device=self._device)
        voices = torch.tensor([u.voice for u in fresh])
        lengths = self._model.baked_context_embedding_len.cpu()[voices].to(self._device)
        heard[:, :-1] = torch.arange(self._context, device=self._device) < lengths[:, None]
        length = x.shape[1]

        def remember(layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            self._keys.data[layer, slots, 0, :, :length] = keys[:, 0]
            self._values.data[layer, slots, 0, :, :length] = values[:, 0]
            return keys, values

        self._keys.data[:, slots] = 0  # what is masked must be finite too
        self._values.data[:, slots] = 0
        self._valid[slots] = False
        self._valid[slots, 0, :length] = heard
        causal = torch.ones(length, length, dtype=torch.bool, device=self._device).tril()
        mask = (causal & heard[:, None]) | torch.eye(length, dtype=torch.bool, device=self._device)
        positions = torch.arange(length, device=self._device)
        x = self._layers.at(x[:, None], positions)
        hidden, scores = self._layers.run(x, remember, mask[:, None], text, heard)
        assert scores is not None
        hidden = hidden[:, :, -1]
        if self._unguided is not None:
            self._remember_unguided(slots, length)
            hidden = torch.cat([hidden, self._unguided[2].expand(len(fresh), 1, -1)], dim=1)
        return hidden, scores, encoded

    def _advance(self, running: list[DecodedUtterance]) -> tuple[Tensor, Tensor]:
        """Take each utterance one position further; hidden states [n, rows, d] and attention to the text."""
        slots = torch.tensor([u.slot for u in running], device=self._device)
        places = pick([u.slot for u in running], self._device)
        at = [self._context + u.step for u in running]
        positions = torch.tensor(at, device=self._device)
        length = min(_rounded(max(at) + 1), self._length)
        self._keys.reach(length)
        self._values.reach(length)
        rows = torch.arange(self._rows, device=self._device)
        where = slots[:, None], rows, slice(None), positions[:, None]

        def remember(layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            self._keys.data[(layer, *where)] = keys[:, :, :, 0]
            self._values.data[(layer, *where)] = values[:, :, :, 0]
            return (
                self._keys.data[layer, ..., :length, :][places],
                self._values.data[layer, ..., :length, :][places],
            )

        self._valid[slots[:, None], rows, positions[:, None]] = True
        mask = self._valid[places, :, None, :length]
        codes = torch.stack([u.codes for u in running if u.codes is not None])
        x = self._layers.at(self._embedding.frames(codes), positions)[:, None, None]
        x = x.expand(-1, self._rows, -1, -1)
        hidden, scores = self._layers.run(x, remember, mask, self._text_memory(running, places))
        assert scores is not None
        return hidden[:, :, -1], scores

    def _draw(
        self, order: list[DecodedUtterance], hidden: Tensor, scores: Tensor
    ) -> tuple[Tensor, list[list[bool]], list[Alignment]]:
        """Draw everybody's next frames: codes [n, codebooks, stack], where speech ends, and alignments."""
        sound = hidden.isfinite().flatten(1).all(1, keepdim=True)
        attention = torch.cat([scores, sound], dim=1).cpu().numpy()
        if not attention[:, -1].all():
            raise FloatingPointError("the decoder's output is not finite")
        alignments = [
            u.alignment.after(attention[i, : len(u.window)]) if self._rules.enabled else u.alignment
            for i, u in enumerate(order)
        ]
        draws = [
            Draw(u.seed, u.steps, self._may_end(u, alignment), self._must_end(alignment))
            for u, alignment in zip(order, alignments, strict=True)
        ]
        codes, ends = self._sampler.draw(hidden, draws)
        return codes, ends.tolist(), alignments

    # ------------------------------------------------------------------------------- the text

    def _encode(self, fresh: list[DecodedUtterance]) -> Any:
        lengths = [len(u.window) for u in fresh]
        text = np.zeros((len(fresh), max(lengths)), np.int64)
        for row, utterance in enumerate(fresh):
            text[row, : lengths[row]] = utterance.window
        return self._model.prepare_context_tensors(
            {
                "text": torch.from_numpy(text).to(self._device),
                "text_lens": torch.tensor(lengths, device=self._device),
                "speaker_indices": [u.voice for u in fresh],
            }
        )

    def _remember_text(
        self, fresh: list[DecodedUtterance], slots: Tensor, encoded: list[Tensor]
    ) -> TextMemory:
        """Store the keys and values of the encoded windows; return them for the first step."""
        padded = torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True)
        keys, values = self._layers.text_memory(padded)
        width = padded.shape[1]
        for store, made in ((self._text_keys, keys), (self._text_values, values)):
            store.reach(_rounded(width))
            store.data[:, slots] = 0
            store.data[:, slots, :, :width] = made
        return TextMemory(keys, values, self._text_mask(fresh, width), self._prior(fresh, width))

    def _text_memory(self, running: list[DecodedUtterance], places: slice | Tensor) -> TextMemory:
        width = max(len(u.window) for u in running)
        return TextMemory(
            self._text_keys.data[:, places][..., :width, :],
            self._text_values.data[:, places][..., :width, :],
            self._text_mask(running, width),
            self._prior(running, width),
        )

    def _text_mask(self, utterances: list[DecodedUtterance], width: int) -> Tensor:
        lengths = torch.tensor([len(u.window) for u in utterances], device=self._device)
        return torch.arange(width, device=self._device) < lengths[:, None]

    def _prior(self, utterances: list[DecodedUtterance], width: int) -> Tensor | None:
        if all(u.alignment.prior is None for u in utterances):
            return None
        prior = np.ones((len(utterances), width), np.float32)
        for row, utterance in enumerate(utterances):
            if utterance.alignment.prior is not None:
                prior[row, : len(utterance.window)] = utterance.alignment.prior
        return torch.from_numpy(prior).to(self._device)

    # ------------------------------------------------------------------------------ the slots

    def _most_steps(self) -> int:
        """Return the checkpoint's limit of steps per chunk, or what its position table leaves room for."""
        stack = self._model.frame_stacking_factor
        steps = self._settings.max_decoder_steps // stack
        table = self._model.decoder.position_embeddings
        return steps if table is None else min(steps, table.num_embeddings - self._context - 1)

    def _make_slots(self) -> None:
        layers, capacity = self._layers.count, len(self._free)
        heads, size = self._layers.heads, self._layers.head_size
        text_heads, text_size = self._layers.cross_heads
        self._length = self._context + 1 + self._max_steps
        shape = (layers, capacity, self._rows, heads, self._context + 1, size)
        text_shape = (layers, capacity, text_heads, 0, text_size)
        make = self._begin.new_zeros
        self._keys, self._values = SlotTensor(make(shape), 4), SlotTensor(make(shape), 4)
        self._text_keys, self._text_values = SlotTensor(make(text_shape), 3), SlotTensor(make(text_shape), 3)
        self._valid = make((capacity, self._rows, self._length), dtype=torch.bool)

    def _bos_frames(self) -> Tensor:
        shape = (1, self._model.num_audio_codebooks, self._model.frame_stacking_factor)
        return torch.full(shape, self._model.audio_bos_id, device=self._device)

    @torch.inference_mode()
    def _unguided_prefix(self) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Return keys, values and last hidden state of a beginning without voice and text: a constant."""
        keys: list[Tensor] = []
        values: list[Tensor] = []

        def remember(layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            keys.append(k[0, 0])
            values.append(v[0, 0])
            return k, v

        length = self._context + 1
        x = self._begin.new_zeros(1, 1, length, self._begin.shape[-1])
        x[..., -1, :] = self._begin
        mask = torch.ones(1, 1, length, length, dtype=torch.bool, device=self._device).tril()
        x = self._layers.at(x, torch.arange(length, device=self._device))
        hidden, _ = self._layers.run(x, remember, mask)
        return keys, values, hidden[:, :, -1]

    def _remember_unguided(self, slots: Tensor, length: int) -> None:
        assert self._unguided is not None
        for layer, (keys, values) in enumerate(zip(*self._unguided[:2], strict=True)):
            self._keys.data[layer, slots, 1, :, :length] = keys
            self._values.data[layer, slots, 1, :, :length] = values
        self._valid[slots, 1, :length] = True


def _rules(model: Any) -> AlignmentRules:
    settings, config = model.inference_parameters, model.chunked_inference_config
    return AlignmentRules(
        enabled=settings.apply_attention_prior,
        epsilon=settings.attention_prior_epsilon,
        lookahead=settings.attention_prior_lookahead_window,
        first_weights=tuple(config.prior_weights_init),
        weights=tuple(config.prior_weights),
        short_text=config.short_sentence_threshold,
        near_end=config.near_end_threshold,
        sink=config.attention_sink_threshold,
        forced_end=config.forceful_chunk_end_threshold,
        allow_end_after=config.finished_limit_without_eot,
        allow_end_after_last=config.finished_limit_with_eot,
        finished_after_first=config.finished_limit_first_chunk,
        finished_after=config.finished_limit_with_eot,
    )


def _continued(utterance: DecodedUtterance, encoded: Tensor) -> Tensor:
    """Return the encoded window, its history as the chunk before encoded it."""
    history = len(utterance.window) - len(utterance.chunks[utterance.chunk].tokens)
    if not history or utterance.encoded is None:
        return encoded
    return torch.cat([utterance.encoded[-history:], encoded[history:]])


def _joined(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Join texts that began and texts that went on into one batch; shorter texts are padded."""
    width = max(scores.shape[1] for _, scores in parts)
    hidden = torch.cat([hidden for hidden, _ in parts])
    pad = torch.nn.functional.pad
    return hidden, torch.cat([pad(scores, (0, width - scores.shape[1])) for _, scores in parts])


def _rounded(length: int) -> int:
    return -(-length // _GRAIN) * _GRAIN
