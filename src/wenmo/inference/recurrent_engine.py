"""A recurrent model without padding, its matrices laid out once: the runtime ``packed`` of RNN, LSTM and GRU.

- Texts are sorted by length over all that are in hand, and those of a block begin together: a step is one product for
  each direction, over the texts that have it.
- The products of every word vector with the first layer's gates depend on the word alone, so they are computed once
  for the whole vocabulary, as `PackedTextCnn` does it.
- Matrices are laid out for oneDNN when the engine is made, in bfloat16 if the precision says so; states and gates stay
  float32.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wenmo.data.batching import token_batch
from wenmo.inference.poolings import TokenPooling
from wenmo.inference.word_table import TABLE_BYTES, TokenIds, WordTable
from wenmo.models.cells import Cell
from wenmo.models.packing import Packing
from wenmo.models.pooling import pool
from wenmo.models.products import multiplier
from wenmo.models.recurrent import Recurrent, RecurrentLayer
from wenmo.models.scan import Course, scan_without_gradients

_STATES_AT_ONCE = 1 << 16
"""Texts of a block times units: enough work for a step, and states that stay in the processor's cache."""
_MOST_TEXTS = 512
_ROWS_OF_INPUT = 4096
_GATES_AT_ONCE = 1 << 24
"""Tokens of a block times gates: for long texts, which are then fewer."""


def why_not_packed(model: Recurrent) -> str:
    """Why the engine does not cover a model; empty if it does."""
    config = model.config
    if config.normalization == "layer":
        return "has no layer normalisation, and this model has"
    if config.reset_gate == "before":
        return "has the reset gate of a GRU behind the product, and this model has it before"
    return ""


class PackedRecurrent:
    """Texts without padding through prepared matrices. A later change of the model's weights is not seen."""

    name: Literal["packed"] = "packed"

    def __init__(self, model: Recurrent, dtype: torch.dtype | None = None, *, table_bytes: int = TABLE_BYTES) -> None:
        """``dtype`` is that of the products, by default the model's own."""
        self._model = model
        self._config = model.config
        self._dtype = dtype or model.embeddings.words.weight.dtype
        self._layers = [
            [_PreparedCell(cell, self._dtype) for cell in cast(list[Cell], list(cast(RecurrentLayer, layer).cells))]
            for layer in model.stack.layers
        ]
        self._num_gates = sum(len(cell.weight) for cell in self._layers[0])
        most_words = table_bytes // (self._num_gates * self._dtype.itemsize)
        self._table = WordTable(self._first_products, self._config.vocab_size, most_words)

    @torch.inference_mode()
    def pooled(
        self, rows: Sequence[TokenIds], types: Sequence[TokenIds] | None = None, how: TokenPooling | None = None
    ) -> Tensor:
        """See `wenmo.inference.engines.Engine`; there is one layer to ask for, what the model says last."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        if len(rows) > 1 and not self._table.covers(int(lengths.sum())):
            half = len(rows) // 2
            return torch.cat([self.pooled(part, None, how) for part in (rows[:half], rows[half:])])
        order = np.argsort(-lengths, kind="stable")
        parts = [self._pooled_block([rows[i] for i in block.tolist()], how) for block in self._blocks(order, lengths)]
        found = torch.cat(parts)
        pooled = torch.empty_like(found)
        pooled[torch.from_numpy(order)] = found
        return pooled

    def _blocks(self, order: NDArray[np.int64], lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """The texts that go through the layers together, the longest first."""
        start = 0
        while start < len(order):
            longest = max(1, int(lengths[order[start]]))
            room = min(
                _MOST_TEXTS,
                _STATES_AT_ONCE // self._config.num_units,
                _GATES_AT_ONCE // (longest * self._num_gates),
            )
            yield order[start : start + max(1, room)]
            start += max(1, room)

    def _pooled_block(self, rows: list[TokenIds], how: TokenPooling | None) -> Tensor:
        packing, x = self._states_of(rows, self._table.rows_of)
        states = packing.unpack(x.to(self._model.embeddings.words.weight.dtype))
        mask = packing.unpack(x.new_ones(len(x), 1)).squeeze(2)
        return self._model.pool(states, mask) if how is None else pool(states, mask, how.how)

    def states(self, rows: Sequence[TokenIds], words: Tensor) -> Iterator[tuple[NDArray[np.int64], Packing, Tensor]]:
        """The state behind every token.

        Args:
            rows: of each text which of ``words`` stand in it; there is at least one row.
            words: ``(num_words, input_size)``: the vectors of the words in hand.

        Returns:
            Block by block: which rows it holds, the longest first, how their tokens lie, and ``(tokens, hidden_size)``.
        """
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        table = self._products_of(words)
        for block in self._blocks(np.argsort(-lengths, kind="stable"), lengths):
            packing, states = self._states_of(
                [rows[i] for i in block.tolist()], lambda ids: (table, torch.from_numpy(ids)), words
            )
            yield block, packing, states.to(words.dtype)

    def _states_of(
        self,
        rows: list[TokenIds],
        products_of: Callable[[TokenIds], tuple[Tensor, Tensor]],
        vectors: Tensor | None = None,
    ) -> tuple[Packing, Tensor]:
        """The last layer's states ``(tokens, hidden_size)``.

        Args:
            rows: the words of each text.
            products_of: gives a table of first products and which of its rows belongs to each word.
            vectors: of the words, where they are not those of the model's own table.
        """
        batch = token_batch(rows)
        assert batch.input_ids is not None
        packing = Packing.of(batch.attention_mask)
        ids = packing.pack(batch.input_ids)
        table, words = products_of(ids.numpy())
        products = table.chunk(len(self._layers[0]), dim=1)
        x = self._states(self._layers[0], products, packing, words)
        if self._adds_input(0):
            x = x + (self._model.embeddings(ids) if vectors is None else vectors[ids]).to(x.dtype)
        for i, cells in enumerate(self._layers[1:], start=1):
            y = self._states(cells, [cell.products(x) for cell in cells], packing)
            x = x + y if self._adds_input(i) else y
        return packing, x

    def _states(
        self, cells: list["_PreparedCell"], products: Sequence[Tensor], packing: Packing, words: Tensor | None = None
    ) -> Tensor:
        """Of all directions of a layer, ``(tokens, hidden_size)``; ``words`` as in `_PreparedCell.run`."""
        found = [
            cell.run(each, Course(packing, reverse=i == 1), words)
            for i, (cell, each) in enumerate(zip(cells, products, strict=True))
        ]
        return torch.cat(found, dim=1) if len(found) > 1 else found[0]

    def _adds_input(self, layer: int) -> bool:
        return cast(RecurrentLayer, self._model.stack.layers[layer]).adds_input

    def _first_products(self, words: Tensor) -> Tensor:
        """``(num_words, gates of both directions)``: what each word adds to the first layer's gates."""
        return self._products_of(self._model.embeddings(words))

    def _products_of(self, vectors: Tensor) -> Tensor:
        return torch.cat([cell.products(vectors.to(self._dtype)) for cell in self._layers[0]], dim=1)


class _PreparedCell:
    """The matrices of a cell as they are multiplied with."""

    def __init__(self, cell: Cell, dtype: torch.dtype) -> None:
        assert cell.kernel is not None
        self._kernel, self._num_units, self._num_states = cell.kernel, cell.num_units, cell.num_states
        weight, bias = cell.prepared_input()
        recurrent_bias = cell.recurrent_bias()
        self.weight = weight
        self.products = multiplier(weight.to(dtype), _ROWS_OF_INPUT, bias.to(dtype))
        self._recur = multiplier(
            cell.weight_hh.to(dtype),
            min(_MOST_TEXTS, _STATES_AT_ONCE // cell.num_units),
            None if recurrent_bias is None else recurrent_bias.to(dtype),
        )

    def run(self, products: Tensor, course: Course, words: Tensor | None = None) -> Tensor:
        """``(tokens, num_units)``: h behind every token.

        With ``words`` the products are a table, and these are the rows that the tokens want.
        """
        num_texts = course.packing.shape[0]
        zeros = [products.new_zeros(num_texts, self._num_units) for _ in range(self._num_states)]
        states, _ = scan_without_gradients(self._kernel, products, self._recur, zeros, course, words)
        return states
