"""One encoder step for a batch of streams that are at the same kind of position.

The first chunk of an utterance has no past, every later one brings the last few mel frames and the caches;
with a look-ahead of zero the second chunk is a kind of its own, because its past is shorter than that. Within
a kind, streams may be at any position, and a chunk that ends its utterance may be shorter than the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemotron_speech.errors import ConfigurationError

if TYPE_CHECKING:
    import torch

    from nemotron_speech.engines.nemo_asr.arena import State


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """Division of an utterance's frames into steps.

    Args:
        first: Mel frames of the first chunk.
        later: Mel frames of every later one.
        past: Mel frames before a chunk that its subsampling sees.
        subsampling: Mel frames per encoder frame.
    """

    first: int
    later: int
    past: int
    subsampling: int

    @classmethod
    def of(cls, encoder: Any) -> ChunkPlan:
        streaming = encoder.streaming_cfg
        first, later = streaming.shift_size
        return cls(first, later, streaming.pre_encode_cache_size[1], encoder.subsampling_factor)

    def frames(self, position: int) -> int:
        """Return how many mel frames the chunk at mel frame `position` takes."""
        return self.later if position else self.first

    def kind(self, position: int) -> int:
        """Return how many mel frames of the past the chunk at `position` brings: those that step together."""
        return min(position, self.past)

    def repeated(self, kind: int) -> int:
        """Return how many encoder frames the past itself gives, which were heard in an earlier step."""
        return 1 + (kind - 1) // self.subsampling if kind else 0


class StreamingEncoder:
    """Runs a cache-aware FastConformer encoder.

    Args:
        model: A NeMo model; its attention context is set.
        dtype: Type of the encoder's weights and caches.
        compiled: Let PyTorch compile the step, once for each power of two of streams in it.
    """

    dims = {"mel": 0, "attention": 1, "convolution": 1, "attended": 0}  # noqa: RUF012

    def __init__(self, model: Any, dtype: torch.dtype, *, compiled: bool = False) -> None:
        import torch

        self._encoder, self._dtype = model.encoder, dtype
        self._whole = compile_step(model.encoder) if compiled else None
        self.plan = ChunkPlan.of(model.encoder)
        device = next(model.encoder.parameters()).device
        attention, convolution, attended = model.encoder.get_initial_cache_state(
            batch_size=1, dtype=dtype, device=device
        )
        self.fresh = {
            "mel": torch.zeros(1, model.encoder._feat_in, self.plan.past, dtype=dtype, device=device),
            "attention": attention,
            "convolution": convolution,
            "attended": attended,
        }

    def __call__(
        self, kind: int, mel: torch.Tensor, frames: Sequence[int], state: State
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Encode `frames[i]` of the new mel frames of stream i.

        Returns the encoder frames `[B, D, T]`, how many of them each stream has, and the state after them,
        which is meaningful for streams that took a whole chunk.
        """
        import torch

        known = torch.cat((state["mel"], mel.to(self._dtype)), -1)
        lengths = torch.tensor([kind + n for n in frames], device=mel.device)
        # Steps of other lengths are few, and each would be compiled for itself.
        whole = self._whole if kind == self.plan.past and mel.shape[-1] == self.plan.later else None
        rows = len(frames)
        size = power_of_two(rows) if whole else rows
        encoded, counts, attention, convolution, attended = (whole or self._encoder.cache_aware_stream_step)(
            processed_signal=_filled(known[..., self.plan.past - kind :], 0, size),
            processed_signal_length=_filled(lengths, 0, size),
            cache_last_channel=_filled(state["attention"], self.dims["attention"], size),
            cache_last_time=_filled(state["convolution"], self.dims["convolution"], size),
            cache_last_channel_len=_filled(state["attended"], self.dims["attended"], size),
            keep_all_outputs=True,
            drop_extra_pre_encoded=self.plan.repeated(kind),
        )
        after = {
            "mel": known[..., -self.plan.past :],
            "attention": attention.narrow(self.dims["attention"], 0, rows),
            "convolution": convolution.narrow(self.dims["convolution"], 0, rows),
            "attended": attended[:rows],
        }
        return encoded[:rows], counts[:rows], after


def compile_step(encoder: Any) -> Any:
    """Return the encoder's step as PyTorch compiles it. Raises ConfigurationError where it cannot."""
    import shutil
    from importlib.util import find_spec

    import torch

    on_gpu = next(encoder.parameters()).is_cuda
    if on_gpu and not find_spec("triton"):
        raise ConfigurationError("compile: PyTorch compiles for a GPU with Triton only: pip install triton")
    if not on_gpu and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise ConfigurationError("compile: PyTorch compiles for a CPU with a C++ compiler only, such as g++")
    torch._dynamo.config.recompile_limit = 32  # one for each power of two, and no silent giving up
    return torch.compile(encoder.cache_aware_stream_step, dynamic=False)


def power_of_two(rows: int) -> int:
    """Return the least power of two that is not less."""
    return 1 << (rows - 1).bit_length()


def _filled(tensor: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """Return `tensor` with `size` rows along `dim`: the first one again where there are fewer."""
    import torch

    missing = size - tensor.shape[dim]
    if not missing:
        return tensor
    first = tensor.narrow(dim, 0, 1)
    return torch.cat((tensor, first.expand(*(missing if d == dim else -1 for d in range(tensor.dim())))), dim)
