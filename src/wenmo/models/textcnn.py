"""TextCNN: convolutional neural networks for sentence classification.

Yoon Kim, EMNLP 2014, https://arxiv.org/abs/1408.5882, whose equation numbers stand below; what the paper leaves open
follows the author's code, https://github.com/yoonkim/CNN_sentence. We differ in two ways. Padding to the batch never
reaches the result: a text has the same features alone and in any batch. A text shorter than a filter is completed
with zero vectors, so that it gives features and not an error.

Beyond the paper: average and k-max pooling over time (Kalchbrenner et al., ACL 2014, section 3.3), the choice of the
padding, and dropout on the word vectors.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.features import Features, TokenBatch
from wenmo.models.config import ModelConfig
from wenmo.models.convolution import ngram_scores, ngram_scores_and_maxima
from wenmo.models.dropout import dropout
from wenmo.models.embeddings import Channels, WordEmbeddings
from wenmo.models.tracing import note


@dataclass(frozen=True, kw_only=True)
class TextCnnConfig(ModelConfig):
    """Sizes of a TextCNN. The defaults are Kim's (sections 3.1 and 3.2), but for the padding."""

    reads_vectors: ClassVar[bool] = True

    model_type: Literal["textcnn"] = "textcnn"
    vocab_size: int = 0
    """0: taken from the tokenizer when the model is built."""
    embedding_size: int = 300
    channels: Channels = "rand"
    """Where the word vectors come from and whether they are trained."""
    kernel_sizes: tuple[int, ...] = (3, 4, 5)
    """Widths of the filters, in tokens."""
    num_filters: int = 100
    """Filters of each width."""
    padding: Literal["valid", "same", "wide"] = "valid"
    """Which n-grams are answered: those inside the text; one around each token; or all that touch the text and
    those of Kim's code, which puts the widest filter less one zero vectors before and behind every text."""
    pooling: Literal["max", "average", "kmax"] = "max"
    num_maxima: int = 1
    """How many of the strongest answers ``kmax`` keeps, in the order of the text."""
    embedding_dropout_prob: float = 0.0
    """While training, numbers of word vectors are set to 0, in every place of a batch where the word stands (Gal and
    Ghahramani 2016, section 4.2)."""

    def __post_init__(self) -> None:
        if not self.kernel_sizes or min(self.kernel_sizes) < 1:
            raise ValueError(f"kernel_sizes must be widths in tokens, like (3, 4, 5); got {self.kernel_sizes}")
        if min(self.embedding_size, self.num_filters, self.num_maxima) < 1:
            raise ValueError("embedding_size, num_filters and num_maxima must be at least 1")
        if self.num_maxima > 1 and self.pooling != "kmax":
            raise ValueError(f"num_maxima={self.num_maxima} needs pooling='kmax'; got pooling={self.pooling!r}")
        if not 0 <= self.embedding_dropout_prob < 1:
            raise ValueError(f"embedding_dropout_prob must be in [0, 1); got {self.embedding_dropout_prob}")

    @property
    def hidden_size(self) -> int:
        """Width of the features: ``num_filters`` for each of the ``kernel_sizes``."""
        return self.num_filters * len(self.kernel_sizes)

    @property
    def pooler_size(self) -> int:
        """Width of ``pooler_output``: ``num_maxima`` answers of each filter."""
        return self.hidden_size * self.num_maxima


class TextCnn(nn.Module):
    """Slides filters of several widths over the word vectors; each filter keeps its strongest answer."""

    def __init__(self, config: TextCnnConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = WordEmbeddings(config.vocab_size, config.embedding_size, config.channels)
        self.convs = nn.ModuleList(
            nn.Conv1d(config.embedding_size, config.num_filters, width) for width in config.kernel_sizes
        )

    def initialize(self, generator: torch.Generator) -> None:
        """Kim's code: word vectors uniform(-0.25, 0.25), filters uniform(-0.01, 0.01), biases 0."""
        self.embeddings.initialize(generator)
        for conv in self._filters():
            nn.init.uniform_(conv.weight, -0.01, 0.01, generator=generator)
            nn.init.zeros_(cast(Tensor, conv.bias))

    def forward(self, batch: TokenBatch) -> Features:
        """Answer every n-gram with every filter (equation 2), then pool over time.

        Args:
            batch: ``input_ids`` ``(batch, length)`` or ``inputs_embeds`` ``(batch, length, embedding_size)``, and
                ``attention_mask`` ``(batch, length)``: 1 on the text, 0 on the padding, which stands on the right.

        Returns:
            ``last_hidden_state`` ``(batch, length, hidden_size)``: the answers to the n-grams that begin at each
            token (with ``padding="same"``: that surround it), 0 where there is none. ``pooler_output``
            ``(batch, pooler_size)``: pooled over all n-grams of the text.

        Raises:
            ValueError: the batch has length 0.
        """
        length = batch.attention_mask.size(1)
        if length == 0:
            raise ValueError("the batch has length 0; drop rows without tokens, or let the tokenizer add [CLS]")
        vectors, index = self._distinct_vectors(batch)
        vectors = dropout(vectors, self.config.embedding_dropout_prob, self.training)
        note("vectors of the distinct words", vectors, "words", "embedding_size")
        before, behind = self._margins()
        index = F.pad(index, (before, behind), value=len(vectors))  # (batch, before + length + behind)
        note("which word stands where, zeros around it", index, "batch", "positions")
        inside = [self._inside(width, index.size(1), batch.num_tokens) for width in self.config.kernel_sizes]
        weights = [conv.weight for conv in self._filters()]
        if self.config.pooling == "max":
            scores, maxima = ngram_scores_and_maxima(vectors, index, weights, inside)
        else:
            scores, maxima = ngram_scores(vectors, index, weights), ()

        maps, pooled = [], []
        for i, (width, conv) in enumerate(zip(self.config.kernel_sizes, self._filters(), strict=True)):
            bias = cast(Tensor, conv.bias)
            # Outside the text stand zeros, which add nothing to an average.
            feature_map = F.relu(scores[i] + bias) * inside[i].unsqueeze(-1)  # (batch, positions, num_filters)
            note(f"answers of the filters of width {width}", feature_map, "batch", "n-grams", "num_filters")
            # relu and the bias keep the order, so the maximum may be taken before them.
            vector = F.relu(maxima[i] + bias) if maxima else self._pool(feature_map, inside[i])
            pooled.append(note(f"{self.config.pooling} over time", vector, "batch", "filters"))
            first = self._first_ngram(width) if self.config.padding == "same" else before
            maps.append(feature_map[:, first : first + length])
        tokens = batch.attention_mask.unsqueeze(-1)
        return Features(
            last_hidden_state=torch.cat(maps, dim=2) * tokens,  # (batch, length, hidden_size)
            pooler_output=note("vector of the text", torch.cat(pooled, dim=1), "batch", "pooler_size"),
        )

    def _filters(self) -> list[nn.Conv1d]:
        return cast(list[nn.Conv1d], list(self.convs))

    def _distinct_vectors(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """The vectors of the batch, each word once, and which of them stands where; padding points behind the last."""
        mask = batch.attention_mask.bool()
        if batch.input_ids is None:
            assert batch.inputs_embeds is not None, "a TextCNN reads input_ids or inputs_embeds"
            vectors = batch.inputs_embeds.flatten(0, 1)
            index = torch.arange(len(vectors), device=vectors.device).view_as(mask)
        else:
            words, index = torch.unique(batch.input_ids, return_inverse=True)
            vectors = self.embeddings(words)  # (num_distinct, embedding_size)
        return vectors, index.masked_fill(~mask, len(vectors))

    def _margins(self) -> tuple[int, int]:
        """Zero vectors before and behind the text."""
        widest = max(self.config.kernel_sizes)
        before = {"valid": 0, "same": (widest - 1) // 2, "wide": widest - 1}[self.config.padding]
        return before, widest - 1

    def _first_ngram(self, width: int) -> int:
        """Where the first n-gram that counts begins."""
        before, _ = self._margins()
        return before - (width - 1) // 2 if self.config.padding == "same" else 0

    def _inside(self, width: int, length: int, num_tokens: Tensor) -> Tensor:
        """``(batch, length - width + 1)``: which n-grams count."""
        start = torch.arange(length - width + 1, device=num_tokens.device)
        first = self._first_ngram(width)
        if self.config.padding == "same":
            count = num_tokens.clamp(min=1)
        elif self.config.padding == "wide":
            count = num_tokens + sum(self._margins()) - width + 1
        else:
            count = (num_tokens - width + 1).clamp(min=1)  # the first stays even when it is longer than the text
        return (start >= first) & (start < first + count.unsqueeze(1))

    def _pool(self, feature_map: Tensor, inside: Tensor) -> Tensor:
        """``(batch, positions, num_filters)`` to ``(batch, num_filters * num_maxima)``: the average, or k maxima."""
        if self.config.pooling == "average":
            return feature_map.sum(dim=1) / inside.sum(dim=1, keepdim=True).clamp(min=1)
        # Room behind the text for maxima that it is too short to have. A stable sort, so that of equal answers the
        # first in the text is kept; one outside the text comes after all others and then stands last.
        feature_map = F.pad(feature_map, (0, 0, 0, self.config.num_maxima))
        outside = ~F.pad(inside, (0, self.config.num_maxima)).unsqueeze(-1)
        ranked = feature_map.masked_fill(outside, -1.0).sort(dim=1, descending=True, stable=True)
        last = feature_map.size(1) - 1
        best = ranked.indices.masked_fill(ranked.values < 0, last)[:, : self.config.num_maxima]
        return feature_map.gather(1, best.sort(dim=1).values).flatten(1)
