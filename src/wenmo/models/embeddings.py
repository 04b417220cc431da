"""Word vectors: random or given, fixed or trained, or one table of each (Kim 2014, section 3.1)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Channels = Literal["rand", "static", "non-static", "multichannel"]
"""``rand``: random and trained. ``static``: given and fixed. ``non-static``: given and trained. ``multichannel``:
two tables from the same given vectors, one fixed and one trained."""

PADDING_ID = 0
UNKNOWN_ID = 1
"""What a tokenizer gives for a token that is not in its vocabulary."""


class WordEmbeddings(nn.Module):
    """A vector for each id.

    With two channels the vectors are added: a filter that runs over both channels and sums its two answers before
    bias and activation (Kim 2014, section 2.1) is, being linear, the same filter over the sum of the channels.
    """

    def __init__(self, vocab_size: int, embedding_size: int, channels: Channels = "rand") -> None:
        super().__init__()
        if vocab_size < 1:
            raise ValueError("vocab_size is 0; build the tokenizer first and pass its size")
        self.channels: Channels = channels
        self.words = nn.Embedding(vocab_size, embedding_size, padding_idx=PADDING_ID)
        self.words.weight.requires_grad_(channels != "static")
        fixed = torch.zeros(vocab_size, embedding_size) if channels == "multichannel" else None
        self.fixed_weight: Tensor | None
        self.register_buffer("fixed_weight", fixed)

    def initialize(self, generator: torch.Generator) -> None:
        """Uniform(-0.25, 0.25) as in Kim's code; the padding is zero."""
        nn.init.uniform_(self.words.weight, -0.25, 0.25, generator=generator)
        with torch.no_grad():
            self.words.weight[PADDING_ID].zero_()

    @torch.no_grad()
    def load_vectors(self, matrix: Tensor) -> None:
        """Take given vectors ``(vocab_size, embedding_size)`` into every channel.

        Raises:
            ValueError: the shape is not that of the table.
        """
        if matrix.shape != self.words.weight.shape:
            raise ValueError(
                f"the vectors are {tuple(matrix.shape)}, the model wants {tuple(self.words.weight.shape)}; "
                f"set model.embedding_size={matrix.shape[-1]} or bring other vectors"
            )
        self.words.weight.copy_(matrix)
        if self.fixed_weight is not None:
            self.fixed_weight.copy_(matrix)

    def forward(self, input_ids: Tensor) -> Tensor:
        """``(...)`` ids to ``(..., embedding_size)`` vectors."""
        vectors: Tensor = self.words(input_ids)
        return vectors if self.fixed_weight is None else vectors + F.embedding(input_ids, self.fixed_weight)
