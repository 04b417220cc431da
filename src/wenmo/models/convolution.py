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
    scores, _ = _apply(vectors, index, weights, None)
    return scores


def ngram_scores_and_maxima(
    vectors: Tensor, index: Tensor, weights: Sequence[Tensor], inside: Sequence[Tensor]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The answers as in `ngram_scores`, and the strongest of each filter in each text.

    A maximum hands its gradient to one n-gram alone. Where nothing else of the answers is used, going back over these
    winners costs a small part of going back over every n-gram.

    Args:
        inside: for each width ``(batch, length - width + 1)``, true where an n-gram counts; at least one in each text.

    Returns:
        The answers, and for each width ``(batch, num_filters)``.
    """
    return _apply(vectors, index, weights, inside)


def _apply(
    vectors: Tensor, index: Tensor, weights: Sequence[Tensor], inside: Sequence[Tensor] | None
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    widths = tuple(weight.size(2) for weight in weights)
    if max(widths) > index.size(1):
        raise ValueError(f"a filter of width {max(widths)} does not fit into {index.size(1)} positions; pad the index")
    # (sum of widths * num_filters, embedding_size): the filters of one width and one place in the n-gram are a block.
    blocks = torch.cat([weight.permute(2, 0, 1).flatten(0, 1) for weight in weights])
    kind = vectors.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        vectors, blocks = vectors.to(dtype), blocks.to(dtype)
    found: tuple[Tensor, ...] = _NgramScores.apply(vectors, index, blocks, widths, inside)  # type: ignore[no-untyped-call]
    return found[: len(widths)], found[len(widths) :]


class _NgramScores(torch.autograd.Function):
    """Autograd of slices would fill a tensor of the full size for each of them; the gradient is simpler by hand."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        vectors: Tensor,
        index: Tensor,
        blocks: Tensor,
        widths: tuple[int, ...],
        inside: Sequence[Tensor] | None,
    ) -> tuple[Tensor, ...]:
        products = vectors.new_zeros(len(vectors) + 1, len(blocks))
        torch.mm(vectors, blocks.t(), out=products[:-1])
        placed = products.index_select(0, index.flatten()).view(*index.shape, -1)  # (batch, length, blocks)
        scores = []
        for width, columns in _columns(widths, len(blocks)):
            positions = index.size(1) - width + 1
            score = placed[:, :positions, columns[0]].clone()
            for shift in range(1, width):
                score += placed[:, shift : shift + positions, columns[shift]]
            scores.append(score)
        maxima, winners = [], []
        for score, counts in zip(scores, inside or (), strict=False):
            best = score.masked_fill(~counts.unsqueeze(-1), -torch.inf).max(dim=1)
            maxima.append(best.values)
            winners.append(best.indices)  # (batch, num_filters): where the winning n-gram begins
        ctx.widths = widths  # type: ignore[attr-defined]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(vectors, index, blocks, *winners)
        return (*scores, *maxima)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        vectors, index, blocks, *winners = ctx.saved_tensors  # type: ignore[attr-defined]
        needs_vectors, _, needs_blocks, *_ = ctx.needs_input_grad  # type: ignore[attr-defined]
        columns = _columns(ctx.widths, len(blocks))  # type: ignore[attr-defined]
        products = vectors.new_zeros(len(vectors) + 1, len(blocks))
        of_scores, of_maxima = gradients[: len(columns)], gradients[len(columns) :]
        if any(gradient is not None for gradient in of_scores):
            _add_scores(products, index, columns, of_scores)
        for (_, places), gradient, winner in zip(columns, of_maxima, winners, strict=False):
            if gradient is not None:
                _add_maxima(products, index, places, gradient, winner)
        products = products[:-1]  # the vector of zeros is no parameter
        return (
            products @ blocks if needs_vectors else None,
            None,
            products.t() @ vectors if needs_blocks else None,
            None,
            None,
        )


def _add_scores(
    products: Tensor, index: Tensor, columns: list[tuple[int, list[slice]]], gradients: Sequence[Tensor | None]
) -> None:
    """Add the gradients of all answers to those of the products of words and blocks."""
    placed = products.new_zeros(*index.shape, products.size(1))
    for (_, places), gradient in zip(columns, gradients, strict=True):
        if gradient is not None:
            for shift, place in enumerate(places):
                placed[:, shift : shift + gradient.size(1), place] = gradient
    products.index_add_(0, index.flatten(), placed.flatten(0, 1))


def _add_maxima(products: Tensor, index: Tensor, places: list[slice], gradient: Tensor, winner: Tensor) -> None:
    """The same for the gradients of maxima ``(batch, num_filters)``, at the n-grams that won."""
    flat = products.view(-1)
    for shift, place in enumerate(places):
        word = index.gather(1, winner + shift)  # (batch, num_filters)
        column = torch.arange(place.start, place.stop, device=index.device)
        flat.index_add_(0, (word * products.size(1) + column).flatten(), gradient.flatten())


def _columns(widths: tuple[int, ...], num_blocks: int) -> list[tuple[int, list[slice]]]:
    """For each width, the columns of the product that hold each place of its n-grams."""
    num_filters = num_blocks // sum(widths)
    start, found = 0, []
    for width in widths:
        edges = [start + place * num_filters for place in range(width + 1)]
        found.append((width, [slice(a, b) for a, b in pairwise(edges)]))
        start = edges[-1]
    return found
