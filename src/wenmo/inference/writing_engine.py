"""GPT that writes on behind several texts at once: the runtime ``packed`` of language models.

- Matrices are laid out for oneDNN once, in bfloat16 if the precision says so, and what follows a product is fused into
  it, as in `wenmo.inference.transformer_engine`. A step reads every weight for few tokens, so that its time is that of
  reading them: texts that are written together share it.
- Keys and values have their place from the beginning: a step writes one token's and copies nothing.
- Texts need not be equally long: each has its own row and its own length, and a row that is done leaves.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.inference.transformer_engine import PreparedLayer, normalized
from wenmo.models.fused_products import FusedLinear
from wenmo.models.gpt import Gpt

_ROWS = 8
"""Texts that are written at once: for about so many, products are laid out."""
_PLACES = 64
"""Places of a text at first, and by which they grow at least."""


class PackedWriter:
    """A GPT's prepared matrices, and those that foretell a token. A later change of the weights is not seen."""

    def __init__(self, model: Gpt, output: nn.Linear | None, dtype: torch.dtype | None = None) -> None:
        """Prepare the matrices.

        Args:
            model: reads the texts.
            output: foretells the next token; None: the table of the words does.
            dtype: of the products, by default the model's own.
        """
        self.embeddings, self.final_norm = model.embeddings, model.decoder.final_norm
        table = model.word_table() if output is None else output.weight
        self.dtype = dtype or table.dtype
        # A sum that is never normalised keeps what it has: in bfloat16 each layer would round all that is in it.
        self.sum_dtype = table.dtype if model.config.norm_first else self.dtype
        self.layers = [
            PreparedLayer(layer, model.config.hidden_act, self.dtype, _ROWS) for layer in model.decoder.typed_layers()
        ]
        bias = None if output is None or output.bias is None else output.bias.to(self.dtype)
        self.output = FusedLinear(table.to(self.dtype), bias, _ROWS)
        self.num_heads, self.head_size = (
            model.config.num_attention_heads,
            model.config.hidden_size // model.config.num_attention_heads,
        )

    def begin(self, num_texts: int) -> "PackedTexts":
        """Texts that nothing was read of."""
        return PackedTexts(self, num_texts)


class PackedTexts:
    """Some texts, each in a row, and the keys and values of what was read of them."""

    def __init__(self, writer: PackedWriter, num_texts: int) -> None:
        self._writer = writer
        self._lengths = torch.zeros(num_texts, dtype=torch.long)
        shape = (len(writer.layers), 2, num_texts, writer.num_heads, _PLACES, writer.head_size)
        self._cache = torch.zeros(shape, dtype=writer.dtype)

    @torch.inference_mode()
    def read(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> Tensor:
        """Read texts from their beginning, whatever stood in these rows.

        Returns:
            ``(len(rows), vocab_size)``: the logits of what comes next behind each of them.
        """
        lengths = [len(text) for text in texts]
        self._lengths[list(rows)] = torch.tensor(lengths)
        if not any(lengths):
            return torch.empty(len(rows), 0)
        self._make_room(max(lengths))
        ids = torch.tensor([token for text in texts for token in text])
        places = torch.cat([torch.arange(length) for length in lengths])
        ends = torch.tensor(lengths).cumsum(0)
        x = self._embedded(ids, places)
        for i, layer in enumerate(self._writer.layers):
            last = ends - 1 if i == len(self._writer.layers) - 1 else None  # of a text, only its end is asked
            x = layer(x, partial(self._look_at_texts, i, rows, lengths), last)
        return self._logits(x)

    @torch.inference_mode()
    def step(self, ids: Tensor) -> Tensor:
        """Read one token more of each text, ``(texts,)``; the logits of what comes next, ``(texts, vocab_size)``."""
        self._make_room(int(self._lengths.max()) + 1)
        x = self._embedded(ids, self._lengths)
        longest = int(self._lengths.max()) + 1
        mask = None
        if int(self._lengths.min()) + 1 < longest:
            mask = (torch.arange(longest) <= self._lengths.unsqueeze(1))[:, None, None]  # (texts, 1, 1, longest)
        for i, layer in enumerate(self._writer.layers):
            x = layer(x, partial(self._look_back, i, longest, mask), None)
        self._lengths += 1
        return self._logits(x)

    def keep(self, rows: Sequence[int]) -> None:
        """Let the other texts go; these have the first rows now, in this order."""
        kept = torch.tensor(rows, dtype=torch.long)
        self._cache, self._lengths = self._cache.index_select(2, kept), self._lengths[kept]

    def _look_at_texts(
        self, layer: int, rows: Sequence[int], lengths: Sequence[int], query_key_value: Tensor
    ) -> Tensor:
        """``(tokens, 3 * hidden_size)`` of texts behind each other to ``(tokens, hidden_size)``."""
        parts = []
        for row, qkv in zip(rows, torch.split(query_key_value, list(lengths)), strict=True):
            q, k, v = self._heads(qkv)  # (heads, length, head_size)
            self._cache[layer, 0, row, :, : len(qkv)], self._cache[layer, 1, row, :, : len(qkv)] = k, v
            looked = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True, scale=1.0)
            parts.append(looked[0].transpose(0, 1).flatten(1))
        return torch.cat(parts)

    def _look_back(self, layer: int, longest: int, mask: Tensor | None, query_key_value: Tensor) -> Tensor:
        """``(texts, 3 * hidden_size)`` of one token each to ``(texts, hidden_size)``."""
        q, k, v = self._heads(query_key_value)  # (heads, texts, head_size)
        rows = torch.arange(len(query_key_value))
        keys, values = self._cache[layer]  # (texts, heads, places, head_size)
        keys[rows, :, self._lengths], values[rows, :, self._lengths] = k.transpose(0, 1), v.transpose(0, 1)
        looked = F.scaled_dot_product_attention(
            q.transpose(0, 1).unsqueeze(2), keys[:, :, :longest], values[:, :, :longest], attn_mask=mask, scale=1.0
        )
        return looked.flatten(1)

    def _heads(self, query_key_value: Tensor) -> tuple[Tensor, ...]:
        """``(tokens, 3 * hidden_size)`` to queries, keys and values, each ``(heads, tokens, head_size)``."""
        shape = (len(query_key_value), 3, self._writer.num_heads, self._writer.head_size)
        return query_key_value.view(shape).permute(1, 2, 0, 3).unbind()

    def _embedded(self, ids: Tensor, places: Tensor) -> Tensor:
        """``(tokens, hidden_size)``: as texts of one token each, in their places."""
        embedded: Tensor = self._writer.embeddings(ids.unsqueeze(1), position_ids=places.unsqueeze(1))
        return embedded.squeeze(1).to(self._writer.sum_dtype)

    def _logits(self, x: Tensor) -> Tensor:
        norm = self._writer.final_norm
        states = x if norm is None else normalized(x, norm)
        return self._writer.output(states.to(self._writer.dtype)).float()

    def _make_room(self, length: int) -> None:
        """At least so many places in each row; more at a time, so that they are rarely copied."""
        places = self._cache.size(4)
        if length > places:
            more = max(length, places + max(_PLACES, places // 2)) - places
            self._cache = F.pad(self._cache, (0, 0, 0, more))
