"""Filters over n-grams of vectors, as one matrix product over the distinct words of a batch.

A filter of width k answers an n-gram x_1..x_k with sum_j w_j . x_j (Kim 2014, equation 1, before bias and activation).
Every product w_j . x_j depends on one word only, so all of them come from a single product of the batch's distinct
words with all filters; an answer is then k shifted look-ups, added. Natural text repeats its words: this is about
half the arithmetic of a convolution, and the gradient arrives once for each distinct word.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


def ngram_scores(vectors: Tensor, index: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The answers of filters of several widths to the n-grams that begin at each position.

    Args:
        vectors: ``(num_vectors, embedding_size)``.
        index: ``(batch, length)``: which vector stands where; ``num_vectors`` stands for a vector of zeros.
        weights: for each width ``(num_filters, embedding_size, width)``, as in `torch.nn.Conv1d`.

    Returns:
        For each width ``(batch, length - width + 1, num_filters)``.

    Raises:
        ValueError: a filter is wider than ``length``.
    """
    widest = max(weight.size(2) for weight in weights)
    if widest > index.size(1):
        raise ValueError(f"a filter of width {widest} does not fit into {index.size(1)} positions; pad the index")
    widths = tuple(weight.size(2) for weight in weights)
    # (sum of widths * num_filters, embedding_size): the filters of one width and one place in the n-gram are a block.
    blocks = torch.cat([weight.permute(2, 0, 1).flatten(0, 1) for weight in weights])
    kind = vectors.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        vectors, blocks = vectors.to(dtype), blocks.to(dtype)
    scores: tuple[Tensor, ...] = _NgramScores.apply(vectors, index, blocks, widths)  # type: ignore[no-untyped-call]
    return scores


class _NgramScores(torch.autograd.Function):
    """Autograd of slices would fill a tensor of the full size for each of them; the gradient is simpler by hand."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, vectors: Tensor, index: Tensor, blocks: Tensor, widths: tuple[int, ...]
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(vectors, index, blocks)
        ctx.widths = widths  # type: ignore[attr-defined]
        products = vectors.new_zeros(len(vectors) + 1, len(blocks))
        torch.mm(vectors, blocks.t(), out=products[:-1])
        placed = products.index_select(0, index.flatten()).view(*index.shape, -1)  # (batch, length, blocks)
        answers = []
        for width, columns in _columns(widths, len(blocks)):
            positions = index.size(1) - width + 1
            answer = placed[:, :positions, columns[0]].clone()
            for shift in range(1, width):
                answer += placed[:, shift : shift + positions, columns[shift]]
            answers.append(answer)
        return tuple(answers)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        vectors, index, blocks = ctx.saved_tensors  # type: ignore[attr-defined]
        placed = vectors.new_zeros(*index.shape, len(blocks))
        for (width, columns), gradient in zip(_columns(ctx.widths, len(blocks)), gradients, strict=True):  # type: ignore[attr-defined]
            for shift in range(width):
                placed[:, shift : shift + gradient.size(1), columns[shift]] = gradient
        products = vectors.new_zeros(len(vectors) + 1, len(blocks))
        products.index_add_(0, index.flatten(), placed.flatten(0, 1))
        products = products[:-1]  # the vector of zeros is no parameter
        needs_vectors, _, needs_blocks, _ = ctx.needs_input_grad  # type: ignore[attr-defined]
        return (
            products @ blocks if needs_vectors else None,
            None,
            products.t() @ vectors if needs_blocks else None,
            None,
        )


def _columns(widths: tuple[int, ...], num_blocks: int) -> list[tuple[int, list[slice]]]:
    """For each width, the columns of the product that hold each place of its n-grams."""
    num_filters = num_blocks // sum(widths)
    start, found = 0, []
    for width in widths:
        edges = [start + place * num_filters for place in range(width + 1)]
        found.append((width, [slice(a, b) for a, b in pairwise(edges)]))
        start = edges[-1]
    return found
