"""Attention over texts that stand beside each other without padding.

Texts of one length are looked at together. In bfloat16 the equations are written out: on a CPU torch's fused attention
takes up to three times as long there, most of all for short texts. As each group of texts has a price of its own, texts
of nearly one length are then one group too, padded for as long as attention looks at them.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

_WEIGHTS_AT_ONCE = 1 << 20
"""Of all heads of some texts, written down at a time: what the processor's cache holds while it is read twice more."""
_MOST_WEIGHTS = 1 << 22
"""A text with more is left to torch's fused attention."""
_MOST_PADDING = 32
"""Places of a group that hold no token: another group costs about as much as attention of these."""
_STEP = 32
"""Numbers of bfloat16 in a register of 512 bits. A softmax takes the rest of a row one by one, so that a long rest
costs more than the places that would fill it up."""

Lengths = NDArray[np.int64]


class Group(NamedTuple):
    """Texts of one length that follow each other."""

    start: int
    """The row of their first token."""
    num_texts: int
    length: int

    @property
    def rows(self) -> slice:
        """Where their tokens stand."""
        return slice(self.start, self.start + self.num_texts * self.length)


def groups_of(lengths: Lengths) -> list[Group]:
    """The groups of texts of these lengths, equal ones beside each other; there is at least one text."""
    groups: list[Group] = []
    for part in _parts(lengths, 0):
        start = groups[-1].rows.stop if groups else 0
        groups.append(Group(start, len(part), int(part[0])))
    return groups


class PackedAttention:
    """softmax(Q Kᵀ) V of some texts in each head; the queries are scaled already. Serves all layers of a block."""

    def __init__(self, lengths: Lengths, num_heads: int, dtype: torch.dtype, *, causal: bool = False) -> None:
        """Say how the tokens are texts.

        Args:
            lengths: of each text, the longest first.
            num_heads: heads of attention.
            dtype: of what is looked at.
            causal: no token sees a later one.
        """
        self._num_heads = num_heads
        written = dtype == torch.bfloat16 and not causal and _multiplies_bfloat16()
        self._parts: list[tuple[slice, _Attention]] = []
        start = 0
        for part in _parts(lengths, _MOST_PADDING if written else 0):
            small = num_heads * int(part[0]) * _filled_up(int(part[0])) <= _MOST_WEIGHTS
            by_equations = written and small
            for texts in [part] if by_equations else _parts(part, 0):
                rows = slice(start, start + int(texts.sum()))
                self._parts.append((rows, _Written(texts) if by_equations else _Fused(texts, causal)))
                start = rows.stop

    def __call__(self, query_key_value: Tensor) -> Tensor:
        """``(tokens, 3 * hidden_size)`` to ``(tokens, hidden_size)``."""
        tokens, size = query_key_value.shape
        context = query_key_value.new_empty(tokens, size // 3)
        for rows, attention in self._parts:
            attention(query_key_value[rows], self._num_heads, context[rows])
        return context


class _Attention(Protocol):
    def __call__(self, query_key_value: Tensor, num_heads: int, context: Tensor) -> None:
        """From ``(tokens, 3 * hidden_size)`` into ``(tokens, hidden_size)``."""
        ...


class _Fused:
    """That of torch, over texts of one length."""

    def __init__(self, lengths: Lengths, causal: bool) -> None:
        self._num_texts, self._length, self._causal = len(lengths), int(lengths[0]), causal

    def __call__(self, query_key_value: Tensor, num_heads: int, context: Tensor) -> None:
        """See `_Attention`."""
        shape = (self._num_texts, self._length, 3, num_heads, -1)
        q, k, v = query_key_value.view(shape).permute(2, 0, 3, 1, 4)  # (texts, heads, length, head_size)
        found = F.scaled_dot_product_attention(q, k, v, is_causal=self._causal, scale=1.0)
        context.view(*shape[:2], num_heads, -1).copy_(found.transpose(1, 2))


class _Written:
    """The equations, over texts of nearly one length."""

    def __init__(self, lengths: Lengths) -> None:
        self._num_texts, self._length = len(lengths), int(lengths[0])
        self._width = _filled_up(self._length)
        self._is_padded = bool(lengths[-1] < self._length)
        if self._is_padded:
            first, places = (np.cumsum(lengths) - lengths)[:, None], np.arange(self._length)
            inside = places < lengths[:, None]  # (texts, length)
            self._rows_of_places = torch.from_numpy(np.where(inside, first + places, first).ravel())
            self._places_of_rows = torch.from_numpy(np.flatnonzero(inside))
            hidden = torch.from_numpy(np.arange(self._width) >= lengths[:, None, None, None])
            self._mask = torch.zeros(hidden.shape).masked_fill_(hidden, -math.inf)  # (texts, 1, 1, width)

    def __call__(self, query_key_value: Tensor, num_heads: int, context: Tensor) -> None:
        """See `_Attention`."""
        x = query_key_value[self._rows_of_places] if self._is_padded else query_key_value
        x = x.view(self._num_texts, self._length, 3, num_heads, -1)
        shape = (self._num_texts, self._length, num_heads, x.size(-1))
        found = context.new_empty(shape) if self._is_padded else context.view(shape)
        at_once = max(1, _WEIGHTS_AT_ONCE // (num_heads * self._length * self._width))
        for first in range(0, self._num_texts, at_once):
            texts = slice(first, first + at_once)
            found[texts].copy_(self._looked(x[texts], texts).transpose(1, 2))
        if self._is_padded:
            torch.index_select(found.flatten(0, 1).flatten(1), 0, self._places_of_rows, out=context)

    def _looked(self, x: Tensor, which: slice) -> Tensor:
        """``(texts, length, 3, heads, head_size)`` to ``(texts, heads, length, head_size)``."""
        texts, length, _, heads, size = x.shape
        queries, keys, values = x.permute(2, 0, 3, 1, 4)
        q = queries.reshape(texts * heads, length, size)
        k, v = (self._filled(each).view(texts * heads, self._width, size) for each in (keys, values))
        scores = torch.bmm(q, k.transpose(1, 2)).view(texts, heads, length, self._width)
        if self._is_padded:
            scores += self._mask[which].to(scores.dtype)
        elif self._width > length:
            scores[..., length:] = -math.inf
        weights = scores.softmax(dim=-1).view(texts * heads, length, self._width)
        return torch.bmm(weights, v).view(texts, heads, length, size)

    def _filled(self, x: Tensor) -> Tensor:
        """``(texts, heads, length, head_size)`` with as many places as are looked at; the last ones are 0."""
        if self._width == self._length:
            return x.contiguous()
        filled = x.new_zeros(*x.shape[:2], self._width, x.shape[3])
        filled[:, :, : self._length] = x
        return filled


def _parts(lengths: Lengths, most_padding: int) -> Iterator[Lengths]:
    """Cut sorted lengths where padding to the longest of a part would be more than that."""
    start, padding = 0, 0
    for i, length in enumerate(lengths.tolist()):
        padding += int(lengths[start]) - length
        if padding > most_padding:
            yield lengths[start:i]
            start, padding = i, 0
    yield lengths[start:]


def _filled_up(length: int) -> int:
    """How many keys are worth looking at for so many: as many, or up to the end of the last step."""
    rest = length % _STEP
    return length if rest < _STEP // 2 else length - rest + _STEP


@cache
def _multiplies_bfloat16() -> bool:
    """Whether this processor does, and torch knows how."""
    supported: bool = torch._C._has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return supported
