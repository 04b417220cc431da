"""Transformers without padding: the runtime ``packed`` of BERT, ERNIE, the Transformer's encoder and GPT.

- The tokens of many texts stand in one matrix, so that every linear layer sees tokens alone. Only attention knows which
  texts they are of (`wenmo.inference.packed_attention`).
- Texts are sorted by length over all that are in hand and cut into blocks of so many tokens that what a layer writes
  down stays in the processor's cache.
- Matrices are laid out for oneDNN when the engine is made, in bfloat16 if the precision says so, and what follows a
  product (bias, activation, residual) is fused into it (`wenmo.models.fused_products`). The root that attention divides
  by stands in the matrix of the queries.
- Layers above the one that is asked for are not computed, and where a text is read off one token, the last layer's
  feed-forward network sees that token alone.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.inference.packed_attention import Group, PackedAttention, groups_of
from wenmo.inference.poolings import TokenPooling
from wenmo.inference.word_table import TokenIds
from wenmo.models.attention import MultiHeadAttention
from wenmo.models.bert import Bert
from wenmo.models.ernie import Ernie
from wenmo.models.fused_products import FusedLinear
from wenmo.models.gpt import Gpt
from wenmo.models.pooling import Pooling
from wenmo.models.transformer import TransformerEncoder
from wenmo.models.transformer_layers import Activation, TransformerLayer, TransformerStack

PackableTransformer = Bert | Ernie | TransformerEncoder | Gpt
TRANSFORMERS = (Bert, Ernie, TransformerEncoder, Gpt)

_TOKENS_AT_ONCE = 1024
"""Of a block; a longer text is one by itself."""


class Block(NamedTuple):
    """Some texts, the longest first, and a vector for each of their tokens."""

    rows: NDArray[np.int64]
    """Which texts."""
    groups: list[Group]
    """How the tokens are texts."""
    states: Tensor
    """``(tokens, hidden_size)``; or of each text only the token asked for, ``(len(rows), hidden_size)``."""


class PackedTransformer:
    """Texts without padding through prepared matrices. A later change of the model's weights is not seen."""

    name: Literal["packed"] = "packed"

    def __init__(self, model: PackableTransformer, dtype: torch.dtype | None = None) -> None:
        """``dtype`` is that of the products, by default the model's own."""
        self._embeddings = model.embeddings
        stack: TransformerStack = model.decoder if isinstance(model, Gpt) else model.encoder
        self._own_dtype = model.embeddings.words.words.weight.dtype
        self._dtype = dtype or self._own_dtype
        self._layers = [
            PreparedLayer(layer, model.config.hidden_act, self._dtype, _TOKENS_AT_ONCE)
            for layer in stack.typed_layers()
        ]
        self._num_heads, self._causal = model.config.num_attention_heads, isinstance(model, Gpt)
        # A sum that is never normalised keeps what it has: in bfloat16 each layer would round all that is in it.
        self._sum_dtype = self._own_dtype if model.config.norm_first else self._dtype
        self._final_norm = stack.final_norm
        self._how = TokenPooling(_own_pooling(model))
        self._pooler = model.pooler if isinstance(model, Bert | Ernie) else None
        self._config = model.config

    @torch.inference_mode()
    def pooled(
        self, rows: Sequence[TokenIds], types: Sequence[TokenIds] | None = None, how: TokenPooling | None = None
    ) -> Tensor:
        """See `wenmo.inference.engines.Engine`."""
        asked = how or self._how
        # Of a text without tokens, zeros.
        vectors = torch.zeros(len(rows), asked.size(self._config), dtype=self._own_dtype)
        for block in self.blocks(rows, types, asked):
            vectors[torch.from_numpy(block.rows)] = _pooled(block, asked.how).to(self._own_dtype)
        return vectors if how is not None or self._pooler is None else self._pooler(vectors)

    @torch.inference_mode()
    def blocks(self, rows: Sequence[TokenIds], types: Sequence[TokenIds] | None, how: TokenPooling) -> Iterator[Block]:
        """The states that ``how`` pools, of all texts that have tokens, block by block."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        self._embeddings.check_length(int(lengths.max()))
        order = np.argsort(-lengths, kind="stable")
        order = order[: np.count_nonzero(lengths)]
        for part in _cut(order, lengths):
            groups = groups_of(lengths[part])
            ids, types_of_part = (
                None if each is None else torch.from_numpy(np.concatenate([each[i] for i in part.tolist()])).long()
                for each in (rows, types)
            )
            assert ids is not None
            attention = PackedAttention(lengths[part], self._num_heads, self._dtype, causal=self._causal)
            only = _only(groups, how.how)
            states = self._states(self._embedded(ids, types_of_part, groups), attention, how, only)
            yield Block(part, groups, states)

    def _states(self, x: Tensor, attention: PackedAttention, how: TokenPooling, only: Tensor | None) -> Tensor:
        """What is pooled of the chosen layers; of some rows alone, where the others are not asked for."""
        chosen = how.chosen(len(self._layers) + 1)
        kept = [x] if 0 in chosen else []
        for i, layer in enumerate(self._layers[: chosen[-1]], start=1):
            x = layer(x, attention, only if chosen == [i] else None)
            if i == len(self._layers) and self._final_norm is not None:
                x = normalized(x, self._final_norm)
            if i in chosen:
                kept.append(x)
        states = kept[0] if len(kept) == 1 else how.combined([each.to(self._own_dtype) for each in kept])
        return states if only is None or len(states) == len(only) else states[only]

    def _embedded(self, ids: Tensor, types: Tensor | None, groups: list[Group]) -> Tensor:
        places = torch.cat([torch.arange(group.length).repeat(group.num_texts) for group in groups])
        embedded: Tensor = self._embeddings(  # as texts of one token each, in their places
            ids.unsqueeze(1),
            position_ids=places.unsqueeze(1),
            token_type_ids=None if types is None else types.unsqueeze(1),
        )
        return embedded.squeeze(1).to(self._sum_dtype)


class PreparedLayer:
    """A layer with its matrices as they are multiplied with."""

    def __init__(self, layer: TransformerLayer, activation: Activation, dtype: torch.dtype, num_rows: int) -> None:
        """``num_rows``: about how many tokens it gets at a time."""
        attention, feed_forward = layer.attention, layer.feed_forward
        self._activation, self._norm_first, self._dtype = activation, layer.norm_first, dtype
        self._query_key_value = FusedLinear(*_scaled_queries(attention, dtype), num_rows)
        self._context, self._inner, self._outer = (
            FusedLinear.of(each, num_rows, dtype)
            for each in (attention.output, feed_forward.intermediate, feed_forward.output)
        )
        self._attention_norm, self._feed_forward_norm = layer.attention_norm, layer.feed_forward_norm

    def __call__(self, x: Tensor, attention: Callable[[Tensor], Tensor], only: Tensor | None) -> Tensor:
        """``(tokens, hidden_size)`` to the same; with ``only`` to those rows.

        ``attention`` is a function from queries, keys and values ``(tokens, 3 * hidden_size)`` to what was looked up.
        """
        context = attention(self._query_key_value(self._before(x, self._attention_norm)))
        if only is not None:
            x, context = x[only], context[only]
        x = self._after(self._context.added_to(x, context), self._attention_norm)
        inner = self._inner.activated(self._before(x, self._feed_forward_norm), self._activation)
        return self._after(self._outer.added_to(x, inner), self._feed_forward_norm)

    def _before(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        return normalized(x, norm).to(self._dtype) if self._norm_first else x

    def _after(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        return x if self._norm_first else normalized(x, norm)


def _own_pooling(model: PackableTransformer) -> Pooling:
    """What makes the model's own vector, in front of a pooler if it has one."""
    if isinstance(model, TransformerEncoder):
        return model.config.pooling
    return "last" if isinstance(model, Gpt) else "first"


def _scaled_queries(attention: MultiHeadAttention, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight and bias of queries, keys and values, the queries divided by the root of their size."""
    linear = attention.query_key_value
    size = linear.in_features
    scale = linear.weight.new_ones(3 * size)
    scale[:size] = (size // attention.num_attention_heads) ** -0.5
    weight, bias = linear.weight.detach() * scale.unsqueeze(1), linear.bias.detach() * scale
    return weight.to(dtype), bias.to(dtype)


def normalized(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Mean and variance are float32 or better, also of bfloat16."""
    return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _cut(order: NDArray[np.int64], lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Texts in this order, as many at a time as have the tokens of a block."""
    ends = np.cumsum(lengths[order])
    start = 0
    while start < len(order):
        before = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + _TOKENS_AT_ONCE, side="right")))
        yield order[start:end]
        start = end


def _only(groups: list[Group], how: Pooling) -> Tensor | None:
    """The rows of the tokens that a text is read off; None: all of them."""
    if how not in ("first", "last"):
        return None
    return torch.cat(
        [
            torch.arange(group.num_texts) * group.length + group.start + (group.length - 1 if how == "last" else 0)
            for group in groups
        ]
    )


def _pooled(block: Block, how: Pooling) -> Tensor:
    """``(len(block.rows), hidden_size)``."""
    if len(block.states) == len(block.rows):  # of each text one token
        return block.states
    vectors = []
    for group in block.groups:
        states = block.states[group.rows].view(group.num_texts, group.length, -1)
        exact = torch.promote_types(states.dtype, torch.float32)
        vectors.append(states.amax(dim=1) if how == "max" else states.mean(dim=1, dtype=exact))
    return torch.cat(vectors)
