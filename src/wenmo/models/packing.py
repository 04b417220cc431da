"""Texts of different lengths beside each other without padding, as a recurrence wants them.

The texts are sorted, the longest first; then come the first tokens of all of them, then the second tokens of those that
have one, and so on. A step of the recurrence is a block of rows, and its first rows are those texts that go on.
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where each token stands."""

    order: Tensor
    """``(batch,)``: which text is the first, second, ... longest."""
    index: Tensor
    """``(tokens,)``: the place of each packed row in the flattened padded batch ``(batch * length)``."""
    steps: tuple[tuple[int, int], ...]
    """Of each step the first packed row, and how many texts have it."""
    shape: tuple[int, int]
    """``(batch, length)`` of the padded batch."""

    @classmethod
    def of(cls, attention_mask: Tensor) -> "Packing":
        """The packing of a batch ``(batch, length)`` whose padding stands on the right."""
        batch, length = attention_mask.shape
        lengths, order = attention_mask.sum(dim=1).sort(descending=True, stable=True)
        places = torch.arange(length, device=lengths.device).unsqueeze(1)  # (length, 1)
        inside = places < lengths  # (length, batch)
        sizes = [size for size in inside.sum(dim=1).tolist() if size]
        starts = accumulate([0, *sizes[:-1]])
        steps = tuple(zip(starts, sizes, strict=False))
        return cls(order, (order * length + places)[inside], steps, (batch, length))

    def pack(self, padded: Tensor) -> Tensor:
        """``(batch, length, ...)`` to ``(tokens, ...)``."""
        return padded.flatten(0, 1).index_select(0, self.index)

    def unpack(self, packed: Tensor) -> Tensor:
        """``(tokens, size)`` to ``(batch, length, size)``, zeros on the padding."""
        padded = packed.new_zeros(self.shape[0] * self.shape[1], packed.size(1))
        return padded.index_copy(0, self.index, packed).view(*self.shape, packed.size(1))

    def sort_texts(self, rows: Tensor) -> Tensor:
        """``(batch, ...)`` from the order of the batch to that of the lengths."""
        return rows.index_select(0, self.order)

    def restore_texts(self, rows: Tensor) -> Tensor:
        """``(batch, ...)`` from the order of the lengths to that of the batch."""
        return rows.index_select(0, self.order.argsort())
