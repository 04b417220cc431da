"""A linear layer and what follows it, in one pass over the result: bias, activation, residual.

oneDNN adds them to each tile of the product while it is in registers; by themselves they read and write the whole
result again. Where oneDNN or its operators are missing (float64, another device), the equations do the work.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.models.products import has_onednn
from wenmo.models.transformer_layers import ACTIVATIONS, Activation

_ONEDNN_NAMES: dict[Activation, tuple[str, str]] = {
    "relu": ("relu", ""),
    "gelu": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
}


class FusedLinear:
    """``x Wᵀ + b`` with its matrix laid out once, without gradients. A later change of the weights may not be seen."""

    def __init__(self, weight: Tensor, bias: Tensor | None, num_rows: int) -> None:
        """``weight`` is ``(output_size, input_size)``; it is laid out for about ``num_rows`` rows."""
        self._weight, self._bias = weight.detach(), None if bias is None else bias.detach()
        self._fuses = has_onednn(self._weight)
        if self._fuses:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight.contiguous(), num_rows)

    @classmethod
    def of(cls, linear: nn.Linear, num_rows: int, dtype: torch.dtype) -> "FusedLinear":
        """That of a layer, in another precision."""
        return cls(linear.weight.to(dtype), linear.bias.to(dtype), num_rows)

    def __call__(self, x: Tensor) -> Tensor:
        """``(rows, input_size)`` to ``(rows, output_size)``."""
        return self._pointwise(x, "none", "") if self._fuses else F.linear(x, self._weight, self._bias)

    def activated(self, x: Tensor, activation: Activation) -> Tensor:
        """``f(x Wᵀ + b)``."""
        if not self._fuses:
            return ACTIVATIONS[activation](self(x))
        return self._pointwise(x, *_ONEDNN_NAMES[activation])

    def added_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """``residual + x Wᵀ + b``, in the precision of the residual."""
        if not self._fuses or residual.dtype != x.dtype:
            return residual + self(x)
        total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self._weight, self._bias, "add")
        return total

    def _pointwise(self, x: Tensor, name: str, algorithm: str) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, name, [], algorithm)
        return y
