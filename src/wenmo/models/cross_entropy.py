"""Cross entropy over large vocabularies: the loss and its gradient in one go, a few rows of logits at a time.

``log Σ_k exp(z_k) - (1 - ε) z_y - ε mean_k z_k`` for logits z and the right token y: cross entropy with the smoothed
labels of Szegedy et al. 2016, as `torch.nn.functional.cross_entropy` has it. The logits of a batch are some thousand
rows of some ten thousand numbers. Step by step they are written and read a dozen times, in float32; in rows that stay
in the processor's cache each is read once, and its gradient is written where it will be needed, in the logits' type.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_NUMBERS_AT_ONCE = 1 << 18


def summed_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The sum over the rows, at least in float32.

    Args:
        logits: ``(rows, vocab_size)``, of any precision; computed in float32 at least.
        labels: ``(rows,)``, each of them counted.
        label_smoothing: ε, the share of each label that is spread over the vocabulary.
    """
    if logits.device.type != "cpu":
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return F.cross_entropy(exact, labels, reduction="sum", label_smoothing=label_smoothing)
    summed: Tensor = _SummedCrossEntropy.apply(logits, labels, label_smoothing)  # type: ignore[no-untyped-call]
    return summed


class _SummedCrossEntropy(torch.autograd.Function):
    """Both passes over a block of rows while it is in the cache."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        exact, size = torch.promote_types(logits.dtype, torch.float32), logits.size(1)
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), dtype=torch.float64)
        at_once = max(1, _NUMBERS_AT_ONCE // size)
        for start in range(0, len(logits), at_once):
            rows = slice(start, start + at_once)
            block, gold = logits[rows].to(exact, copy=True), labels[rows].unsqueeze(1)
            right = block.gather(1, gold).sum()
            spread = block.sum() / size if smoothing else 0.0
            highest = block.amax(dim=1, keepdim=True)
            sums = block.sub_(highest).exp_().sum(dim=1, keepdim=True)
            total += (sums.log() + highest).sum() - (1 - smoothing) * right - smoothing * spread
            if gradient is not None:
                block.div_(sums)
                if smoothing:
                    block.sub_(smoothing / size)
                block.scatter_add_(1, gold, torch.full_like(sums, smoothing - 1))
                gradient[rows] = block
        ctx.gradient = gradient
        return total.to(exact)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, None, None]:
        return ctx.gradient * above[0].to(ctx.gradient.dtype), None, None
