"""Matrix products for loops over time: those of `torch.nn.functional.linear`, from oneDNN where it is faster.

On many processors torch sends float32 products to MKL, which does not use all of their instructions, and it packs the
matrix anew at every call. A recurrence multiplies the same matrix at every step, so it is packed once. Where oneDNN or
these operators are missing, `torch.nn.functional.linear` does the work.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Multiplier = Callable[[Tensor], Tensor]
_ONEDNN_TYPES = (torch.float32, torch.bfloat16)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``(rows, input_size)`` times ``weight`` ``(output_size, input_size)``, plus the bias; with gradients."""
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    if not has_onednn(x):
        return F.linear(x, weight, bias)
    product: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return product


def multiplier(weight: Tensor, num_rows: int, bias: Tensor | None = None) -> Multiplier:
    """A function from ``(rows, input_size)`` to its product with ``weight``, plus the bias, without gradients.

    Args:
        weight: ``(output_size, input_size)``; a later change of it may not be seen.
        num_rows: about how many rows there are, for which the matrix is laid out.
        bias: ``(output_size,)``.
    """
    weight, bias = weight.detach(), None if bias is None else bias.detach()
    if not has_onednn(weight):
        return lambda x: F.linear(x, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), num_rows)
    return lambda x: _onednn(x, packed, bias) if len(x) else F.linear(x, weight, bias)


class _Linear(torch.autograd.Function):
    """``x Wᵀ + b``, and its two products of the way back, by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (above,) = gradients
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            _onednn(above, weight.t(), None) if needs_x else None,
            weight_gradient(above, x) if needs_weight else None,
            above.sum(dim=0) if needs_bias else None,
        )


def weight_gradient(above: Tensor, x: Tensor) -> Tensor:
    """``aboveᵀ x``: from ``(rows, output_size)`` and ``(rows, input_size)`` to ``(output_size, input_size)``."""
    return _onednn(above.t(), x.t(), None) if has_onednn(x) and len(x) else above.t() @ x


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


def has_onednn(x: Tensor) -> bool:
    """Whether oneDNN multiplies such a tensor here."""
    return x.device.type == "cpu" and x.dtype in _ONEDNN_TYPES and x.numel() > 0 and _onednn_is_there()


@cache
def _onednn_is_there() -> bool:
    """Whether this torch was built with oneDNN and has the operators."""
    names = ("_linear_pointwise", "_reorder_linear_weight")
    return torch._C._has_mkldnn and all(hasattr(torch.ops.mkldnn, name) for name in names)
