"""A bag of vectors: the mean of the vectors of a text's words and word n-grams, in fastText's shape.

Joulin et al., "Bag of Tricks for Efficient Text Classification", EACL 2017, https://arxiv.org/abs/1607.01759: words
have a vector each; n-grams share the vectors of a fixed number of buckets, by a hash. We differ in the hash, which is
taken over word ids and not over spellings, so that it is a few tensor operations.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from wenmo.features import Features, TokenBatch
from wenmo.models.config import ModelConfig
from wenmo.models.embeddings import Channels, WordEmbeddings
from wenmo.models.pooling import Pooling, pool
from wenmo.models.tracing import note

_HASH_MULTIPLIER = 116049371
"""fastText's, by which it chains the hashes of the words of an n-gram (dictionary.cc, addWordNgrams)."""


@dataclass(frozen=True, kw_only=True)
class BagConfig(ModelConfig):
    """Sizes of a bag of vectors."""

    reads_vectors: ClassVar[bool] = True

    model_type: Literal["bag"] = "bag"
    vocab_size: int = 0
    """0: taken from the tokenizer when the model is built."""
    embedding_size: int = 100
    channels: Channels = "rand"
    """Where the word vectors come from and whether they are trained."""
    max_ngram: int = 2
    """Longest n-gram that has a vector, in tokens; 1 is words alone."""
    num_buckets: int = 65536
    """Vectors that all n-grams of two and more tokens share."""
    pooling: Pooling = "mean"
    """What makes one vector of a text: the mean, as in the paper; or the maximum, the first or the last token, which
    is for vectors of a model that knows more of a token than its word."""

    def __post_init__(self) -> None:
        if min(self.embedding_size, self.max_ngram, self.num_buckets) < 1:
            raise ValueError("embedding_size, max_ngram and num_buckets must be at least 1")

    @property
    def hidden_size(self) -> int:
        """Width of the vectors."""
        return self.embedding_size


class Bag(nn.Module):
    """Averages the vectors of words and n-grams."""

    def __init__(self, config: BagConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = WordEmbeddings(config.vocab_size, config.embedding_size, config.channels)
        self.ngrams = nn.Embedding(config.num_buckets, config.embedding_size) if config.max_ngram > 1 else None

    def initialize(self, generator: torch.Generator) -> None:
        """Words as in every model here; buckets 0, so that an n-gram never seen in training adds nothing."""
        self.embeddings.initialize(generator)
        if self.ngrams is not None:
            nn.init.zeros_(self.ngrams.weight)

    def forward(self, batch: TokenBatch) -> Features:
        """Average the vectors of the words and n-grams of each text.

        Args:
            batch: ``input_ids`` ``(batch, length)`` or, without n-grams, ``inputs_embeds``
                ``(batch, length, embedding_size)``, and ``attention_mask`` ``(batch, length)``; padding on the right.

        Returns:
            ``last_hidden_state`` ``(batch, length, hidden_size)``: the vector of each token plus those of the n-grams
            that begin there. ``pooler_output`` ``(batch, hidden_size)``: their sum over the number of words and
            n-grams, or what else ``pooling`` makes of them; zeros for a text without tokens.
        """
        mask = batch.attention_mask.unsqueeze(-1)
        vectors = batch.inputs_embeds if batch.input_ids is None else self.embeddings(batch.input_ids)
        assert vectors is not None, "a bag of vectors reads input_ids or inputs_embeds"
        states = vectors * mask  # (batch, length, embedding_size)
        note("vectors of the words", states, "batch", "length", "embedding_size")
        num_tokens = batch.num_tokens
        counted = num_tokens
        if self.ngrams is not None:
            assert batch.input_ids is not None, "n-grams are of input_ids; set max_ngram=1"
            hashed = batch.input_ids
            for size in range(2, min(self.config.max_ngram, hashed.size(1)) + 1):
                hashed = _chain(hashed, batch.input_ids, size)
                inside = torch.arange(hashed.size(1), device=hashed.device) + size <= num_tokens.unsqueeze(1)
                vectors = self.ngrams((hashed % self.config.num_buckets).masked_fill(~inside, 0))
                note(f"vectors of the n-grams of {size} words", vectors, "batch", "length", "embedding_size")
                states = states + vectors * inside.unsqueeze(-1)
                counted = counted + inside.sum(dim=1)
        if self.config.pooling == "mean":
            vector = states.sum(dim=1) / counted.clamp(min=1).unsqueeze(1)  # (batch, hidden_size)
        else:
            vector = pool(states, batch.attention_mask, self.config.pooling)
        return Features(
            last_hidden_state=states, pooler_output=note("vector of the text", vector, "batch", "hidden_size")
        )


def _chain(hashed: Tensor, input_ids: Tensor, size: int) -> Tensor:
    """Hashes ``(batch, length)`` of n-grams one token shorter to those of ``size``; meaningless past the text."""
    following = torch.roll(input_ids, -(size - 1), dims=1)
    return hashed * _HASH_MULTIPLIER + following  # int64 wraps around, which a hash may
