"""One vector from those of several layers, weighted: how a task takes what a deep model says.

Peters et al., NAACL 2018, https://arxiv.org/abs/1802.05365, equation 1: γ Σ_k s_k h_k with s = softmax(w); w and γ are
learnt, and start so that the mixture is the plain mean. Section 3.2 for the layer norm before mixing, section 5.1 for
the penalty λ‖w‖²: 1 keeps the plain mean, 0.001 lets the weights move.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wenmo.models.dropout import dropout

_EPS = 1e-12
"""Beneath the root of the variance, as in AllenNLP."""


class ScalarMix(nn.Module):
    """``γ Σ_k softmax(w)_k h_k``."""

    def __init__(
        self, num_layers: int, *, layer_norm: bool = False, dropout_prob: float = 0.0, penalty: float = 0.0
    ) -> None:
        """A mixture of ``num_layers`` tensors.

        Args:
            num_layers: how many there are.
            layer_norm: give each layer the mean 0 and the variance 1 before it is mixed: over all that is text in a
                batch, tokens and numbers of their vectors together. So a text's vectors then depend on its company.
            dropout_prob: on the mixture, while training.
            penalty: λ.
        """
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(num_layers))
        self.gamma = nn.Parameter(torch.ones(()))
        self.layer_norm = layer_norm
        self.dropout_prob = dropout_prob
        self.penalty_factor = penalty

    @torch.no_grad()
    def initialize(self) -> None:
        """The plain mean."""
        nn.init.zeros_(self.weights)
        nn.init.ones_(self.gamma)

    def forward(self, layers: Sequence[Tensor], attention_mask: Tensor | None = None) -> Tensor:
        """Mix layers ``(..., size)``; ``attention_mask`` ``(...)`` says what counts for the layer norm, None: all.

        Raises:
            ValueError: there are more or fewer layers than weights.
        """
        if len(layers) != len(self.weights):
            raise ValueError(f"{len(layers)} layers, and weights for {len(self.weights)}; give one for each weight")
        shares = self.weights.softmax(dim=0)
        normed = [_normalized(layer, attention_mask) for layer in layers] if self.layer_norm else layers
        mixed = self.gamma * sum(share * layer for share, layer in zip(shares, normed, strict=True))
        return dropout(mixed, self.dropout_prob, self.training)

    def penalty(self) -> Tensor:
        """``λ‖w‖²``, to be added to the loss."""
        return self.penalty_factor * self.weights.square().sum()


def _normalized(layer: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Mean 0 and variance 1 over everything that counts, without a learnt scale."""
    counts = torch.ones_like(layer[..., :1]) if attention_mask is None else attention_mask.unsqueeze(-1).to(layer.dtype)
    number = counts.sum() * layer.size(-1)
    mean = (layer * counts).sum() / number
    variance = ((layer - mean) * counts).square().sum() / number
    return (layer - mean) / (variance + _EPS).sqrt()
