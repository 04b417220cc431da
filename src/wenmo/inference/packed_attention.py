"""Attention over texts that stand beside each other without padding: texts of one length together.

In bfloat16 the equations are written out where the weights are small enough for the processor's cache: on a CPU torch's
fused attention takes up to three times as long there, most of all for short texts.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

_WEIGHTS_AT_ONCE = 1 << 22
"""Of all heads of some texts, written down at a time."""
_STEP = 32
"""Numbers of bfloat16 in a register of 512 bits. A softmax takes the rest of a row one by one, so that a long rest
costs more than the places that would fill it up."""


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


def groups_of(lengths: NDArray[np.int64]) -> list[Group]:
    """The groups of texts of these lengths, equal ones beside each other; there is at least one text."""
    ends = [*(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
    groups, start, before = [], 0, 0
    for end in ends:
        groups.append(Group(start, end - before, int(lengths[before])))
        start, before = groups[-1].rows.stop, end
    return groups


def attend(query_key_value: Tensor, groups: Sequence[Group], num_heads: int, *, causal: bool = False) -> Tensor:
    """softmax(Q Kᵀ) V in each head; the queries are scaled already.

    Args:
        query_key_value: ``(tokens, 3 * hidden_size)``.
        groups: how the tokens are texts.
        num_heads: heads of attention.
        causal: no token sees a later one.

    Returns:
        ``(tokens, hidden_size)``.
    """
    tokens, size = query_key_value.shape
    context = query_key_value.new_empty(tokens, size // 3)
    for group in groups:
        shape = (group.num_texts, group.length, -1, num_heads, size // 3 // num_heads)
        q, k, v = query_key_value[group.rows].view(shape).permute(2, 0, 3, 1, 4)  # (texts, heads, length, head_size)
        each = num_heads * group.length * _filled_up(group.length)
        if causal or each > _WEIGHTS_AT_ONCE or not _is_faster_by_equations(query_key_value):
            found = F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=1.0)
        else:
            at_once = _WEIGHTS_AT_ONCE // each
            parts = [_attend(*each) for each in zip(*(x.split(at_once) for x in (q, k, v)), strict=True)]
            found = parts[0] if len(parts) == 1 else torch.cat(parts)
        context[group.rows].view(shape[:2] + shape[3:]).copy_(found.transpose(1, 2))
    return context


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """``(texts, heads, length, head_size)`` each, and so is the result."""
    texts, heads, length, size = queries.shape
    width = _filled_up(length)
    q = queries.reshape(texts * heads, length, size)
    if width == length:
        k, v = (x.reshape(texts * heads, length, size) for x in (keys, values))
    else:
        filled = queries.new_zeros(2, texts, heads, width, size)
        filled[0, :, :, :length] = keys
        filled[1, :, :, :length] = values
        k, v = filled.view(2, texts * heads, width, size)
    scores = torch.bmm(q, k.transpose(1, 2))  # (texts * heads, length, width)
    scores[:, :, length:] = -math.inf
    return torch.bmm(scores.softmax(dim=-1), v).view(texts, heads, length, size)


def _filled_up(length: int) -> int:
    """How many keys are worth looking at for so many: as many, or up to the end of the last step."""
    rest = length % _STEP
    return length if rest < _STEP // 2 else length - rest + _STEP


def _is_faster_by_equations(x: Tensor) -> bool:
    return x.dtype == torch.bfloat16 and _multiplies_bfloat16()


@cache
def _multiplies_bfloat16() -> bool:
    """Whether this processor does, and torch knows how."""
    supported: bool = torch._C._has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return supported
