"""The linear baselines: one weight for each n-gram and label, added up.

``tfidf`` is logistic regression over TF-IDF; ``nbsvm`` is Wang and Manning, "Baselines and Bigrams", ACL 2012, section
2.3: binary counts, scaled by the log-count ratio of naive Bayes, under a linear support vector machine. In both the
answer is linear in the n-grams of the text, so both are this one model; how the weights are found is not its concern.

The input are the ids of the text's n-grams, repeated as often as they occur, in any order. Unknown n-grams are left
out: how many of them a text holds would drown what it says.
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


@dataclass(frozen=True, kw_only=True)
class LinearConfig(ModelConfig):
    """A linear model over the n-grams of a text."""

    fitting: ClassVar[Literal["gradient", "convex"]] = "convex"

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
        self.weights = nn.Embedding(config.vocab_size, config.num_outputs, padding_idx=PADDING_ID)
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
        values = self.values(batch.input_ids, batch.attention_mask)
        note("value of each n-gram", values, "batch", "n-grams")
        contributions = self.weights(batch.input_ids) * values.unsqueeze(-1)  # (batch, length, num_outputs)
        note("what each n-gram adds", contributions, "batch", "n-grams", "num_outputs")
        scores = note("scores of the text", contributions.sum(dim=1), "batch", "num_outputs")
        return Features(last_hidden_state=contributions, pooler_output=scores)

    def values(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """``(batch, length)``: the value of each known n-gram where it occurs first, else 0."""
        ids = input_ids.masked_fill((attention_mask == 0) | (input_ids == UNKNOWN_ID), -1)
        ordered, order = ids.sort(dim=1, stable=True)  # (batch, length)
        first = F.pad(ordered[:, 1:] != ordered[:, :-1], (1, 0), value=True)
        run = first.cumsum(dim=1) - 1  # (batch, length): which distinct id this is
        occurrences = torch.zeros_like(ids).scatter_add_(1, run, torch.ones_like(ids)).gather(1, run)
        count = occurrences.to(self.idf.dtype)
        value = count.log() + 1 if self.config.counts == "logarithmic" else torch.ones_like(count)
        if self.config.use_idf:
            value = value * self.idf[ordered.clamp(min=0)]
        value = value * (first & (ordered >= 0))
        if self.config.normalize:
            value = F.normalize(value, dim=1)
        return torch.zeros_like(value).scatter(1, order, value)
