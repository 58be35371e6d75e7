"""The transformer layers of a loaded Magpie model, run on keys and values that the caller keeps.

NeMo's layers keep their cache inside themselves, one for the whole batch. Here the caller stores each row's
keys and values wherever it likes and hands back what to attend to.

Imports PyTorch; imported when a model is loaded, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253  # pyright: ignore[reportMissingImports]
from torch import Tensor  # noqa: TID253  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # noqa: N812, TID253  # pyright: ignore[reportMissingImports]

from nemotron_speech.errors import ConfigurationError

Remember = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Layer, new keys and values [n, rows, heads, t, size] -> all keys and values to attend to."""


@dataclass(frozen=True, slots=True)
class TextMemory:
    """Encoded text that the first row of each batch item attends to: keys and values of every layer."""

    keys: Tensor
    """[layers, n, heads, tokens, size]"""
    values: Tensor
    mask: Tensor
    """bool [n, tokens]"""
    prior: Tensor | None
    """Weights [n, tokens] that the attention is multiplied with."""


class Layers:
    """Run the layers of one `Transformer`.

    Args:
        transformer: NeMo's, in eval mode; causal, with pointwise feed-forward parts.
        prior_layers: Layers whose attention to the text follows the prior; None: all.
        aligned_layers: Layers whose attention to the text tells where the utterance is; None: all.
    """

    def __init__(
        self,
        transformer: Any,
        prior_layers: Collection[int] | None = None,
        aligned_layers: Collection[int] | None = None,
    ) -> None:
        _check(transformer)
        self._transformer = transformer
        self._layers = list(transformer.layers)
        self.count = len(self._layers)
        attention = self._layers[0].self_attention
        self.heads, self.head_size = attention.n_heads, attention.d_head
        everyone = range(self.count)
        self._prior_layers = set(everyone if prior_layers is None else prior_layers)
        self._aligned_layers = set(everyone if aligned_layers is None else aligned_layers)

    @property
    def cross_heads(self) -> tuple[int, int]:
        """Heads, and the size of one, of the attention to the text."""
        attention = self._layers[0].cross_attention
        return attention.n_heads, attention.d_head

    def at(self, x: Tensor, positions: Tensor) -> Tensor:
        """Add the position embedding of `positions` (broadcast over all but the last axis of `x`)."""
        if self._transformer.position_embeddings is None:
            return x
        return x + self._transformer.position_embeddings(positions)

    def text_memory(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values [layers, n, heads, tokens, size] of the encoded text [n, tokens, d]."""
        heads, size = self.cross_heads
        keys, values = [], []
        for layer in self._layers:
            kv = layer.cross_attention.kv_net(layer.norm_xattn_memory(encoded))
            k, v = kv.view(*encoded.shape[:2], 2, heads, size).permute(2, 0, 3, 1, 4)
            keys.append(k)
            values.append(v)
        return torch.stack(keys), torch.stack(values)

    def run(
        self,
        x: Tensor,
        remember: Remember,
        mask: Tensor | None,
        text: TextMemory | None = None,
        padding: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Run all layers over `x` [n, rows, t, d], positions added.

        Args:
            x: Each item's rows; only row 0 hears the text, for the others (guidance) it is silent.
            remember: Stores new keys and values, returns those to attend to.
            mask: bool [n, rows or 1, t, length], who may attend to what; None: all to all.
            text: Encoded text to attend to; None for layers without text.
            padding: bool [n, t], False where `x` is padding.

        Returns:
            Hidden states [n, rows, t, d], and the last position's attention to the text [n, tokens].
        """
        keep = None if padding is None else padding[:, None, :, None]
        aligned = []
        for index, layer in enumerate(self._layers):
            x = x if keep is None else x * keep
            x = x + self._attend(layer.self_attention, index, layer.norm_self(x), remember, mask)
            if text is not None:
                heard, probabilities = self._hear(layer, index, x[:, 0], text)
                x = torch.cat([(x[:, 0] + heard)[:, None], x[:, 1:]], dim=1)
                if index in self._aligned_layers:
                    aligned.append(probabilities[:, :, -1].float().mean(1))
            x = x + _feed_forward(layer.pos_ff, layer.norm_pos_ff(x))
        x = x if keep is None else x * keep
        scores = torch.stack(aligned).mean(0) if aligned else None
        return self._transformer.norm_out(x), scores

    def _attend(
        self, attention: Any, index: int, x: Tensor, remember: Remember, mask: Tensor | None
    ) -> Tensor:
        n, rows, t, _ = x.shape
        qkv = attention.qkv_net(x).view(n, rows, t, 3, self.heads, self.head_size)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5)
        keys, values = remember(index, k, v)
        mask = None if mask is None else mask.expand(n, rows, *mask.shape[2:]).flatten(0, 1)[:, None]
        y = F.scaled_dot_product_attention(
            q.flatten(0, 1), keys.flatten(0, 1), values.flatten(0, 1), attn_mask=mask, scale=attention.scale
        )
        return attention.o_net(y.reshape(n, rows, self.heads, t, -1).transpose(2, 3).flatten(3))

    def _hear(self, layer: Any, index: int, x: Tensor, text: TextMemory) -> tuple[Tensor, Tensor]:
        """Attention of row 0 [n, t, d] to the text: what it adds, and its probabilities."""
        attention = layer.cross_attention
        n, t, _ = x.shape
        q = attention.q_net(layer.norm_xattn_query(x)).view(n, t, attention.n_heads, -1).transpose(1, 2)
        scores = (q @ text.keys[index].transpose(2, 3)) * attention.scale
        scores = scores.masked_fill(~text.mask[:, None, None], float("-inf"))
        probabilities = scores.softmax(-1)
        if text.prior is not None and index in self._prior_layers:
            probabilities = probabilities * text.prior[:, None, None].to(probabilities.dtype)
            probabilities = probabilities / probabilities.sum(-1, keepdim=True)
        y = probabilities @ text.values[index]
        return attention.o_net(y.transpose(1, 2).flatten(2)), probabilities


class CodeEmbedding:
    """The embeddings of all codebooks as one table."""

    def __init__(self, model: Any) -> None:
        tables = [embedding.weight for embedding in model.audio_embeddings]
        self._table = torch.cat(tables).detach()
        self._codebooks = model.num_audio_codebooks
        self._size = tables[0].shape[0]
        self._offsets = torch.arange(len(tables), device=self._table.device) * self._size

    def frames(self, codes: Tensor) -> Tensor:
        """Return the embedding [n, d] of stacked frames [n, codebooks, stack]."""
        return F.embedding(codes.transpose(1, 2).flatten(1) + self._offsets, self._table).mean(1)

    def code(self, codebook: int, codes: Tensor) -> Tensor:
        """Return the embedding [n, d] of codes [n] of one codebook (counted over the stacked frames)."""
        return F.embedding(codes + codebook * self._size, self._table)


def _feed_forward(part: Any, x: Tensor) -> Tensor:
    """Apply the layer; a convolution over one position is a matrix product, and much faster as such."""
    inner, outer = part.proj.conv, part.o_net.conv
    x = part.non_linearity(F.linear(x, inner.weight[:, :, 0], inner.bias))
    return F.linear(x, outer.weight[:, :, 0], outer.bias)


def _check(transformer: Any) -> None:
    """Raise ConfigurationError for a transformer that cannot be stepped position by position."""
    for layer in transformer.layers:
        if not layer.self_attention.is_causal:
            raise ConfigurationError("this Magpie checkpoint's decoder is not causal: it cannot be stepped")
        if layer.use_moe or layer.pos_ff.proj.kernel_size != 1:
            raise ConfigurationError(
                "this Magpie checkpoint's decoder has feed-forward parts (mixture of experts, or wider than "
                "one position) that cannot be stepped"
            )
