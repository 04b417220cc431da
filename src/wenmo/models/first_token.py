"""A text read off its first token, as BERT and its descendants do: ``[CLS]`` stands there to gather what is said."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.features import Features
from wenmo.models.pooling import pool
from wenmo.models.tracing import note
from wenmo.models.transformer_layers import StackOutput

PoolerActivation = Literal["tanh", "relu", "gelu"]
_ACTIVATIONS: dict[PoolerActivation, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": F.relu,
    "gelu": F.gelu,
}


class FirstTokenPooler(nn.Module):
    """f(W h + b) of the first token's h, where f is tanh in BERT."""

    def __init__(self, hidden_size: int, activation: PoolerActivation = "tanh") -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.activation = _ACTIVATIONS[activation]

    def forward(self, first: Tensor) -> Tensor:
        """``(batch, hidden_size)`` to the same."""
        return self.activation(self.dense(first))


def features_of_first_token(
    output: StackOutput, attention_mask: Tensor, pooler: FirstTokenPooler | None = None
) -> Features:
    """What a stack gives as features: 0 on the padding, the vector of a text by the pooler from its first token."""
    first = pool(output.last_hidden_state, attention_mask, "first")
    pooled = first if pooler is None else pooler(first)
    return Features(
        last_hidden_state=output.last_hidden_state.masked_fill(~attention_mask.unsqueeze(-1).bool(), 0.0),
        pooler_output=note("vector of the first token", pooled, "batch", "hidden_size"),
        hidden_states=output.hidden_states,
        attentions=output.attentions,
    )
