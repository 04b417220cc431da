"""A softmax over a large vocabulary, and two ways to learn one without its whole matrix in every step.

**Sampled** (Jean et al., ACL 2015, https://arxiv.org/abs/1412.2007), as TensorFlow has it in
``tf.nn.sampled_softmax_loss``, with which ELMo was trained (8192 negatives): words that stand in the vocabulary in the
order of how frequent they are, the most frequent first, are drawn for a whole batch, each once, with

    p(k) = (log(k + 2) - log(k + 1)) / log(vocab_size + 1)

A word is among those drawn in T tries with the probability E(k) = 1 - (1 - p(k))^T. The cross entropy is taken over the
right word and the words drawn, of each the logit less log E(k); where a word drawn is the right one, it does not count
twice. While nothing is learnt, the softmax is the whole one. (TensorFlow has T p(k) for E(k) where no try was in vain,
which does not happen to thousands of words.)

**Adaptive** (Grave et al., ICML 2017, https://arxiv.org/abs/1609.04309): torch's; rare words stand in clusters with
narrower vectors. It wants the order of frequency too.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.errors import InputError
from wenmo.models.config import Config
from wenmo.models.cross_entropy import summed_cross_entropy

SoftmaxKind = Literal["full", "sampled", "adaptive"]


@dataclass(frozen=True, kw_only=True)
class SoftmaxConfig(Config):
    """Which softmax foretells words."""

    kind: SoftmaxKind = "full"
    """``sampled`` and ``adaptive`` are for vocabularies of some ten thousand words and more."""
    num_sampled: int = 8192
    """Words that a batch of a sampled softmax draws."""
    cutoffs: tuple[int, ...] = ()
    """Of an adaptive one: the first words of the clusters of rare words; empty: at a twentieth and at a quarter."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(SoftmaxKind):
            raise ValueError(f"kind must be one of {', '.join(get_args(SoftmaxKind))}; got {self.kind!r}")
        if self.num_sampled < 1 or list(self.cutoffs) != sorted({*self.cutoffs}) or min(self.cutoffs, default=1) < 1:
            raise ValueError(f"num_sampled must be at least 1, and cutoffs must rise from at least 1; got {self}")


class VocabularySoftmax(nn.Module):
    """The loss of words given states."""

    def __init__(self, hidden_size: int, vocab_size: int, config: SoftmaxConfig | None = None) -> None:
        """Make the layer.

        Raises:
            InputError: as many words would be drawn as there are, or a cluster begins behind the last word.
        """
        super().__init__()
        self.config = config or SoftmaxConfig()
        self.output: nn.Linear | nn.AdaptiveLogSoftmaxWithLoss
        if self.config.kind == "adaptive":
            cutoffs = self.config.cutoffs or (vocab_size // 20, vocab_size // 4)
            if not 0 < cutoffs[0] <= cutoffs[-1] < vocab_size:
                raise InputError(
                    f"softmax.cutoffs {cutoffs} are no words of a vocabulary of {vocab_size}; take softmax.kind=full"
                )
            if hidden_size < 4 ** len(cutoffs):
                raise InputError(
                    f"each of {len(cutoffs)} clusters has vectors of a quarter of the width of the one before, and "
                    f"{hidden_size} is too narrow for that; name fewer cutoffs, or take softmax.kind=full"
                )
            self.output = nn.AdaptiveLogSoftmaxWithLoss(hidden_size, vocab_size, list(cutoffs))
        else:
            self.output = nn.Linear(hidden_size, vocab_size)
        if self.config.kind == "sampled" and self.config.num_sampled >= vocab_size:
            raise InputError(
                f"softmax.num_sampled={self.config.num_sampled} words out of {vocab_size} are all of them; take "
                "softmax.kind=full"
            )

    def initialize(self, generator: torch.Generator) -> None:
        """Normal with the standard deviation 1 / sqrt(width), biases 0, as in ELMo's code."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_features), generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, states: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy summed over the rows: states ``(rows, hidden_size)``, labels ``(rows,)``, all counted."""
        if isinstance(self.output, nn.AdaptiveLogSoftmaxWithLoss):
            log_probabilities: Tensor = self.output(states, labels).output
            return -log_probabilities.sum()
        if self.config.kind == "sampled" and self.training:
            drawn, tries = draw_log_uniform(self.config.num_sampled, self.output.out_features)
            return self._sampled(states, labels, drawn.to(labels.device), tries)
        return summed_cross_entropy(self.output(states), labels)

    def _sampled(self, states: Tensor, labels: Tensor, drawn: Tensor, tries: int) -> Tensor:
        """Over the right words and those drawn."""
        assert isinstance(self.output, nn.Linear)
        weight, bias, size = self.output.weight, self.output.bias, self.output.out_features
        right = (states * weight[labels]).sum(dim=1) + bias[labels]
        right = right - log_expected_count(labels, size, tries).to(right.dtype)
        others = F.linear(states, weight[drawn], bias[drawn])
        others = others - log_expected_count(drawn, size, tries).to(others.dtype)
        others = others.masked_fill(labels.unsqueeze(1) == drawn, torch.finfo(others.dtype).min)
        logits = torch.cat([right.unsqueeze(1).to(others.dtype), others], dim=1)  # (rows, 1 + num_sampled)
        return summed_cross_entropy(logits, torch.zeros_like(labels))


def draw_log_uniform(num: int, vocab_size: int) -> tuple[Tensor, int]:
    """So many different words of the distribution above, and how many tries it took; from torch's own generator."""
    tried = np.empty(0, np.int64)
    while True:
        more = torch.rand(max(1024, 2 * num), dtype=torch.float64)
        words = ((more * math.log(vocab_size + 1)).exp().long() - 1) % vocab_size
        tried = np.concatenate([tried, words.numpy()])
        first = np.sort(np.unique(tried, return_index=True)[1])
        if len(first) >= num:
            return torch.from_numpy(tried[first[:num]]), int(first[num - 1]) + 1


def log_expected_count(words: Tensor, vocab_size: int, tries: int) -> Tensor:
    """log E(k)."""
    exact = words.double()
    p = ((exact + 2).log() - (exact + 1).log()) / math.log(vocab_size + 1)
    return (-torch.expm1(tries * torch.log1p(-p))).log()
