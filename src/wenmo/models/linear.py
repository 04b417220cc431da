"""The linear baselines: one weight for each n-gram and label, added up.

``tfidf`` is logistic regression over TF-IDF; ``nbsvm`` is Wang and Manning, "Baselines and Bigrams", ACL 2012, section
2.3: binary counts, scaled by the log-count ratio of naive Bayes, under a linear support vector machine. In both the
answer is linear in the n-grams of the text, so both are this one model; how the weights are found is not its concern.

The input are the ids of the text's n-grams, repeated as often as they occur, in any order. Unknown n-grams are left
out: how many of them a text holds would drown what it says.

Two texts are compared n-gram by n-gram: what both have of it, what the first has beyond the second, and what the second
has beyond the first, each with a weight of its own. These three are min(u, v), u - min(u, v) and v - min(u, v) of the
values u and v; min(u, v) is histogram intersection (Swain and Ballard 1991). On MRPC it is better than u * v, and
|u - v| alone cannot tell what follows from what.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.features import Features, TokenBatch
from wenmo.models.config import ModelConfig
from wenmo.models.embeddings import PADDING_ID, UNKNOWN_ID
from wenmo.models.tracing import note

COMPARED = 3
"""What two texts have of an n-gram: both of it, the first alone, the second alone."""


@dataclass(frozen=True, kw_only=True)
class LinearConfig(ModelConfig):
    """A linear model over the n-grams of a text."""

    fitting: ClassVar[Literal["gradient", "convex", "counted"]] = "convex"
    tasks: ClassVar[tuple[str, ...]] = ("classify",)

    model_type: Literal["linear"] = "linear"
    vocab_size: int = 0
    """0: taken from the tokenizer when the model is built."""
    num_outputs: int = 0
    """Scores a text gets, one for each label; 0: taken from the labels when the model is built."""
    solver: Literal["logistic", "naive-bayes-svm"] = "logistic"
    """What finds the weights."""
    counts: Literal["binary", "logarithmic"] = "logarithmic"
    """An n-gram that occurs c times counts 1, or 1 + log c."""
    use_idf: bool = True
    """Counts are multiplied with 1 + log((1 + texts) / (1 + texts with the n-gram))."""
    normalize: bool = True
    """Each text's counts are divided by their Euclidean norm."""
    regularization: float = 0.0
    """``C`` of the solver: the larger, the closer to the training data. 0: the best on dev."""
    compares: bool = False
    """It compares two texts; set where pairs are learnt."""
    comparison: Literal["auto", "symmetric", "directed"] = "auto"
    """Whether the order of the two texts may matter, as in what follows from what; ``auto``: the better on dev."""
    interpolation: float = 0.25
    """Wang and Manning's beta: how much of the ratios' scaling stays in the weights of ``naive-bayes-svm``."""

    def __post_init__(self) -> None:
        if self.regularization < 0:
            raise ValueError(f"regularization must not be negative; got {self.regularization}")
        if not 0 <= self.interpolation <= 1:
            raise ValueError(f"interpolation must lie between 0 and 1; got {self.interpolation}")

    @property
    def hidden_size(self) -> int:
        """The scores are the features."""
        return self.num_outputs


class Linear(nn.Module):
    """Adds the weights of the n-grams that a text holds."""

    def __init__(self, config: LinearConfig) -> None:
        super().__init__()
        if config.vocab_size < 1 or config.num_outputs < 1:
            raise ValueError("vocab_size and num_outputs must be known; build the tokenizer and the labels first")
        self.config = config
        rows = config.vocab_size * (COMPARED if config.compares else 1)
        self.weights = nn.Embedding(rows, config.num_outputs, padding_idx=PADDING_ID)
        self.idf: Tensor
        self.register_buffer("idf", torch.ones(config.vocab_size))

    def initialize(self, generator: torch.Generator) -> None:
        """Zeros: a convex fit does not depend on where it starts."""
        del generator
        nn.init.zeros_(self.weights.weight)

    def forward(self, batch: TokenBatch) -> Features:
        """Count each n-gram of a text once, weigh it, add.

        Args:
            batch: ``input_ids`` and ``attention_mask``, both ``(batch, length)``; padding on the right.

        Returns:
            ``last_hidden_state`` ``(batch, length, num_outputs)``: what each n-gram adds, all of it where the n-gram
            occurs first and 0 where it occurs again. ``pooler_output`` ``(batch, num_outputs)``: the sum.
        """
        assert batch.input_ids is not None, "a linear model reads input_ids"
        if self.config.compares:
            raise ValueError("this model compares two texts; pass both to compare")
        values = self.values(batch.input_ids, batch.attention_mask)
        note("value of each n-gram", values, "batch", "n-grams")
        contributions = self.weights(batch.input_ids) * values.unsqueeze(-1)  # (batch, length, num_outputs)
        note("what each n-gram adds", contributions, "batch", "n-grams", "num_outputs")
        scores = note("scores of the text", contributions.sum(dim=1), "batch", "num_outputs")
        return Features(last_hidden_state=contributions, pooler_output=scores)

    def compare(self, batch: TokenBatch) -> Tensor:
        """Weigh what two texts share and what each has alone.

        Args:
            batch: ``input_ids`` and ``attention_mask``, both ``(2 * pairs, length)``: all first texts, then all second.

        Returns:
            ``(pairs, num_outputs)``.
        """
        ids, values = self.compared(batch)
        contributions = self.weights(ids) * values.unsqueeze(-1)  # (pairs, 3 * 2 * length, num_outputs)
        return note("scores of the pair", contributions.sum(dim=1), "pairs", "num_outputs")

    def compared(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """For each pair rows of ``weights`` and the values that they are multiplied with, ``(pairs, 3 * 2 * length)``.

        The rows of one n-gram are ``vocab_size`` apart: shared, the first text's alone, the second text's alone.
        """
        assert batch.input_ids is not None, "a linear model reads input_ids"
        values = self.values(batch.input_ids, batch.attention_mask)  # (2 * pairs, length)
        ids = batch.input_ids.masked_fill(values == 0, PADDING_ID)
        ordered, order = torch.cat(ids.chunk(2), dim=1).sort(dim=1)  # (pairs, 2 * length)
        run = _runs(ordered)
        # An n-gram has its value where it occurs first in a text, so a run adds up one value of each text at most.
        first, second = values.chunk(2)
        nothing = torch.zeros_like(first)
        u, v = (
            torch.zeros_like(side).scatter_add_(1, run, side.gather(1, order))
            for side in (torch.cat([first, nothing], dim=1), torch.cat([nothing, second], dim=1))
        )
        distinct = torch.zeros_like(ordered).scatter_(1, run, ordered)
        shared = torch.minimum(u, v)
        rows = [distinct + kind * self.config.vocab_size for kind in range(COMPARED)]
        return torch.cat(rows, dim=1), torch.cat([shared, u - shared, v - shared], dim=1)

    def values(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """``(batch, length)``: the value of each known n-gram where it occurs first, else 0."""
        ids = input_ids.masked_fill((attention_mask == 0) | (input_ids == UNKNOWN_ID), -1)
        ordered, order = ids.sort(dim=1, stable=True)  # (batch, length)
        run = _runs(ordered)
        first = F.pad(run[:, 1:] != run[:, :-1], (1, 0), value=True)
        occurrences = torch.zeros_like(ids).scatter_add_(1, run, torch.ones_like(ids)).gather(1, run)
        count = occurrences.to(self.idf.dtype)
        value = count.log() + 1 if self.config.counts == "logarithmic" else torch.ones_like(count)
        if self.config.use_idf:
            value = value * self.idf[ordered.clamp(min=0)]
        value = value * (first & (ordered >= 0))
        if self.config.normalize:
            value = F.normalize(value, dim=1)
        return torch.zeros_like(value).scatter(1, order, value)


def _runs(ordered: Tensor) -> Tensor:
    """Which distinct value, from 0, stands at each place of sorted rows ``(batch, length)``."""
    return F.pad(ordered[:, 1:] != ordered[:, :-1], (1, 0), value=False).cumsum(dim=1)
