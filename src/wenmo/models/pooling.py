"""From one vector a token to one vector a text, without the padding."""

from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["mean", "max", "first", "last"]


def pool(last_hidden_state: Tensor, attention_mask: Tensor, how: Pooling) -> Tensor:
    """``(batch, length, hidden_size)`` to ``(batch, hidden_size)``; padding on the right is not seen.

    A text without tokens gives zeros.
    """
    mask = attention_mask.unsqueeze(-1).bool()
    if how == "mean":
        total = last_hidden_state.masked_fill(~mask, 0).sum(dim=1)
        return total / attention_mask.sum(dim=1, keepdim=True).clamp(min=1)
    if how == "max":
        best = last_hidden_state.masked_fill(~mask, -torch.inf).amax(dim=1)
        return best.masked_fill(~mask.any(dim=1), 0)
    last = attention_mask.sum(dim=1).sub(1).clamp(min=0) if how == "last" else torch.zeros_like(attention_mask[:, 0])
    rows = torch.arange(len(last_hidden_state), device=last_hidden_state.device)
    return last_hidden_state[rows, last.long()].masked_fill(~mask.any(dim=1), 0)
