"""From one vector a token to one vector a text, without the padding."""

from typing import Literal

import torch
from torch import Tensor, nn

from wenmo.models.attention import masked_softmax

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


class AttentionPooling(nn.Module):
    """The mean of a text's vectors, weighted by how much each of them matters for it.

    Yang et al., NAACL 2016, https://aclanthology.org/N16-1174, equations 5 to 7: u = tanh(W h + b); the weights are the
    softmax of u · v over the text; v is learnt.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.projection = nn.Linear(hidden_size, hidden_size)
        self.query = nn.Linear(hidden_size, 1, bias=False)

    def initialize(self, generator: torch.Generator) -> None:
        """Weights uniform as of Glorot and Bengio, AISTATS 2010; biases 0."""
        nn.init.xavier_uniform_(self.projection.weight, generator=generator)
        nn.init.zeros_(self.projection.bias)
        nn.init.xavier_uniform_(self.query.weight, generator=generator)

    def forward(self, last_hidden_state: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """``(batch, length, hidden_size)`` to ``(batch, hidden_size)``, and the weights ``(batch, length)``.

        Padding has weight 0; a text without tokens gives zeros.
        """
        scores = self.query(torch.tanh(self.projection(last_hidden_state))).squeeze(-1)
        scores = scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores
        weights = masked_softmax(scores, attention_mask.bool())
        pooled = (weights.to(last_hidden_state.dtype).unsqueeze(1) @ last_hidden_state).squeeze(1)
        return pooled, weights
