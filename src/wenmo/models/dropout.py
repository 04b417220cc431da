"""Dropout: while a model learns, each number is set to 0 with a probability, and the others grow accordingly.

Srivastava et al., JMLR 2014. As `torch.nn.functional.dropout`, but for how chance is drawn on a CPU: torch draws each
number's fate by itself, which in a Transformer that learns is up to a tenth of all work; here a draw of 64 bits decides
on four of them, with the probability to the nearest 1/65,536. Which numbers are dropped follows torch's seed.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEVELS = 1 << 16
_LOWEST = torch.iinfo(torch.int16).min


def dropout(x: Tensor, prob: float, training: bool = True) -> Tensor:
    """``x`` of any shape to the same; as it is unless ``training``."""
    if not training or prob == 0:
        return x
    dropped = round(prob * _LEVELS)
    if x.device.type != "cpu" or dropped == _LEVELS:
        return F.dropout(x, prob)
    number = x.numel()
    # All 64 bits: from the lowest integer, without a highest one.
    drawn = torch.empty((number + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None).view(torch.int16)[:number]
    kept = torch.ge(drawn, _LOWEST + dropped, out=torch.empty(number, dtype=x.dtype))
    return x * kept.mul_(_LEVELS / (_LEVELS - dropped)).view(x.shape)


class Dropout(nn.Module):
    """`dropout` as a module."""

    def __init__(self, prob: float = 0.5) -> None:
        """Raises ValueError for what is no probability."""
        super().__init__()
        if not 0 <= prob <= 1:
            raise ValueError(f"a probability lies between 0 and 1; got {prob}")
        self.prob = prob

    def forward(self, x: Tensor) -> Tensor:
        """See `dropout`."""
        return dropout(x, self.prob, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"prob={self.prob}"
