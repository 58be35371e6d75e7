"""Greedy decoding of encoder frames, many streams at once, each from where it left off.

Only the frames of this step are decoded and only their tokens come back: what was said before is in the
state, which has a constant size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from nemotron_speech.engines.nemo_asr.arena import State


@dataclass(frozen=True, slots=True)
class DecodedToken:
    """One token: its id, the encoder frame of this step it was heard in, and how sure the model is (0-1)."""

    id: int
    frame: int
    confidence: float


class TransducerDecoder(Protocol):
    """Turns encoder frames into tokens."""

    fresh: dict[str, torch.Tensor]
    """State before anything was heard, batch size 1."""
    dims: Mapping[str, int]
    """Name of each state to its batch dimension."""

    def __call__(
        self, encoded: torch.Tensor, lengths: torch.Tensor, state: State
    ) -> tuple[list[list[DecodedToken]], dict[str, torch.Tensor]]:
        """Decode `[B, D, T]`; return each row's new tokens and the state after them."""
        ...


class RnntDecoder:
    """NeMo's label-looping greedy transducer search, with its state kept as plain tensors.

    Args:
        model: A NeMo model with `decoder`, `joint` and `decoding` of a transducer.
        cuda_graphs: Replay the search as a CUDA graph.
    """

    def __init__(self, model: Any, *, cuda_graphs: bool = False) -> None:
        from nemo.collections.asr.parts.submodules.transducer_decoding.rnnt_label_looping import (
            GreedyBatchedRNNTLabelLoopingComputer,
        )
        from nemo.collections.asr.parts.utils.asr_confidence_utils import ConfidenceMethodConfig
        from omegaconf import OmegaConf

        self._computer = GreedyBatchedRNNTLabelLoopingComputer(
            decoder=model.decoder,
            joint=model.joint,
            blank_index=model.decoding.blank_id,
            max_symbols_per_step=_max_symbols(model),
            preserve_step_confidence=True,
            exclude_blank_from_confidence=True,
            confidence_method_cfg=OmegaConf.structured(ConfidenceMethodConfig(name="max_prob", alpha=1.0)),
            allow_cuda_graphs=cuda_graphs,
        )
        self._blank = model.decoding.blank_id
        self._decoder = model.decoder
        one, two = (self._after_start(batch) for batch in (1, 2))
        self.fresh = one
        self.dims: Mapping[str, int] = {name: _batch_dim(one[name], two[name]) for name in one}

    def __call__(
        self, encoded: torch.Tensor, lengths: torch.Tensor, state: State
    ) -> tuple[list[list[DecodedToken]], dict[str, torch.Tensor]]:
        found, after = self._computer(
            x=encoded.transpose(1, 2), out_len=lengths, prev_batched_state=self._unpack(state)
        )
        counts = found.current_lengths.tolist()
        most = max(counts)
        if not most:
            return [[] for _ in counts], self._pack(after)
        ids = found.transcript[:, :most].tolist()
        frames = found.timestamps[:, :most].tolist()
        sure = found.step_confidence[:, :most].float().tolist()
        tokens = [
            [DecodedToken(*item) for item in zip(ids[row][:n], frames[row][:n], sure[row][:n], strict=True)]
            for row, n in enumerate(counts)
        ]
        return tokens, self._pack(after)

    def _after_start(self, batch: int) -> dict[str, torch.Tensor]:
        """Return the state after the start symbol."""
        import torch

        parameter = next(self._decoder.parameters())
        labels = torch.full([batch, 1], self._blank, dtype=torch.long, device=parameter.device)
        output, state, *_ = self._decoder.predict(labels, None, add_sos=False, batch_size=batch)
        return {"output": self._computer.joint.project_prednet(output), **_named(state)}

    def _pack(self, state: Any) -> dict[str, torch.Tensor]:
        return {"output": state.predictor_outputs, **_named(state.predictor_states)}

    def _unpack(self, state: State) -> Any:
        import torch
        from nemo.collections.asr.parts.submodules.transducer_decoding.label_looping_base import (
            BatchedLabelLoopingState,
        )

        parts = [value for name, value in state.items() if name.startswith("predictor")]
        batch = state["output"].shape[0]
        zeros = torch.zeros(batch, dtype=torch.long, device=state["output"].device)
        return BatchedLabelLoopingState(
            predictor_states=tuple(parts) if len(parts) > 1 else parts,
            predictor_outputs=state["output"],
            labels=torch.full_like(zeros, self._blank),
            decoded_lengths=zeros,
        )


class CtcDecoder:
    """Best path: the likeliest label of each frame, repeats and blanks folded.

    Args:
        head: The NeMo module that turns encoder frames into label log probabilities.
        blank: The blank's id.
    """

    dims: Mapping[str, int] = {"last": 0}

    def __init__(self, head: Any, blank: int) -> None:
        import torch

        self._head, self._blank = head, blank
        device = next(head.parameters()).device
        self.fresh = {"last": torch.full([1], blank, dtype=torch.long, device=device)}

    def __call__(
        self, encoded: torch.Tensor, lengths: torch.Tensor, state: State
    ) -> tuple[list[list[DecodedToken]], dict[str, torch.Tensor]]:
        import torch

        log_probs, labels = self._head(encoder_output=encoded).max(-1)
        before = torch.cat((state["last"][:, None], labels[:, :-1]), 1)
        inside = torch.arange(labels.shape[1], device=labels.device)[None] < lengths[:, None]
        new = inside & (labels != self._blank) & (labels != before)
        tokens: list[list[DecodedToken]] = [[] for _ in labels]
        rows, frames = new.nonzero(as_tuple=True)
        found = (rows, frames, labels[rows, frames], log_probs[rows, frames].float().exp())
        for row, frame, label, sure in zip(*(part.tolist() for part in found), strict=True):
            tokens[row].append(DecodedToken(label, frame, sure))
        final = labels.gather(1, (lengths - 1).clamp(min=0)[:, None]).squeeze(1)
        return tokens, {"last": torch.where(lengths > 0, final, state["last"])}


def _max_symbols(model: Any) -> int:
    """Return how many tokens one frame may give; a model that has no limit gets NeMo's usual one."""
    greedy = model.cfg.decoding.get("greedy") or {}
    return greedy.get("max_symbols") or greedy.get("max_symbols_per_step") or 10


def _named(states: Any) -> dict[str, torch.Tensor]:
    return {f"predictor{i}": value for i, value in enumerate(states)}


def _batch_dim(one: torch.Tensor, two: torch.Tensor) -> int:
    """Return the dimension that differs between a state for one stream and one for two."""
    return next(dim for dim, (a, b) in enumerate(zip(one.shape, two.shape, strict=True)) if a != b)
