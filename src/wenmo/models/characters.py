"""A vector for each word from its characters, which stands beside the vector that the word has as a whole.

- ``cnn``: Ma and Hovy, ACL 2016, https://arxiv.org/abs/1603.01354, section 2.1: filters over the characters, the
  strongest answer of each. As in the paper there is no activation behind the filters, vectors of characters start in
  uniform(-sqrt(3 / size), sqrt(3 / size)) and have dropout. One difference: dropout takes a number of a character's
  vector from all words of a batch at once.
- ``lstm``: Lample et al., NAACL 2016, https://arxiv.org/abs/1603.01360, section 4.1: the last states of an LSTM that
  reads the word from its beginning, and of one that reads it from its end.

What stands on the padding is never seen: a word has the same vector in any batch.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.models.cells import LstmCell
from wenmo.models.convolution import ngram_scores_and_maxima
from wenmo.models.dropout import dropout
from wenmo.models.embeddings import PADDING_ID
from wenmo.models.packing import Packing
from wenmo.models.scan import Course

CharacterFeatures = Literal["none", "cnn", "lstm"]
"""Whether a model looks into its words, and how."""


class CharacterCnn(nn.Module):
    """Slides filters over the characters of a word; each keeps its strongest answer."""

    def __init__(
        self, vocab_size: int, *, embedding_size: int = 30, size: int = 30, width: int = 3, dropout_prob: float = 0.0
    ) -> None:
        """``size`` filters of one ``width``, centred on each character."""
        super().__init__()
        if width < 1:
            raise ValueError(f"width is a number of characters of at least 1; got {width}")
        self.embeddings = nn.Embedding(vocab_size, embedding_size, padding_idx=PADDING_ID)
        self.conv = nn.Conv1d(embedding_size, size, width)
        self.dropout_prob = dropout_prob

    def initialize(self, generator: torch.Generator) -> None:
        """Characters as the top of this file says; filters uniform as of Glorot and Bengio, 2010; biases 0."""
        _initialize_characters(self.embeddings, generator)
        nn.init.xavier_uniform_(self.conv.weight, generator=generator)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def forward(self, character_ids: Tensor) -> Tensor:
        """Answer the n-grams of each word.

        Args:
            character_ids: ``(words, num_characters)``, padded on the right with 0.

        Returns:
            ``(words, size)``.
        """
        width = self.conv.kernel_size[0]
        characters, index = torch.unique(character_ids, return_inverse=True)
        vectors = dropout(self.embeddings(characters), self.dropout_prob, self.training)
        inside = character_ids != PADDING_ID
        # A word without characters keeps one n-gram, of zeros.
        counts = torch.cat([torch.ones_like(inside[:, :1]), inside[:, 1:]], dim=1)
        before = (width - 1) // 2
        index = F.pad(index.masked_fill(~inside, len(vectors)), (before, width - 1 - before), value=len(vectors))
        _, (strongest,) = ngram_scores_and_maxima(vectors, index, [self.conv.weight], [counts])
        assert self.conv.bias is not None
        return strongest + self.conv.bias


class CharacterLstm(nn.Module):
    """Reads the characters of a word in both directions and keeps what it knows at the ends."""

    def __init__(self, vocab_size: int, *, embedding_size: int = 25, size: int = 50, dropout_prob: float = 0.0) -> None:
        """``size`` is the width of the result, half of it for each direction."""
        super().__init__()
        if size % 2:
            raise ValueError(f"size is that of two directions, so it is even; got {size}")
        self.embeddings = nn.Embedding(vocab_size, embedding_size, padding_idx=PADDING_ID)
        self.cells = nn.ModuleList(LstmCell(embedding_size, size // 2, forget_bias=1.0) for _ in range(2))
        self.dropout_prob = dropout_prob

    def initialize(self, generator: torch.Generator) -> None:
        """Characters as the top of this file says; the cells as they say."""
        _initialize_characters(self.embeddings, generator)
        for cell in self.cells:
            assert isinstance(cell, LstmCell)
            cell.initialize(generator)

    def forward(self, character_ids: Tensor) -> Tensor:
        """``(words, num_characters)``, padded on the right with 0, to ``(words, size)``."""
        packing = Packing.of((character_ids != PADDING_ID).long())
        characters, index = torch.unique(packing.pack(character_ids), return_inverse=True)
        x = dropout(self.embeddings(characters), self.dropout_prob, self.training).index_select(0, index)
        last = []
        for i, cell in enumerate(self.cells):
            assert isinstance(cell, LstmCell)
            states = cell.first_states(x, len(character_ids))
            _, (hidden, _) = cell.run(cell.products(x), states, cell.weight_hh, Course(packing, reverse=i == 1))
            last.append(packing.restore_texts(hidden))
        return torch.cat(last, dim=1)


def _initialize_characters(embeddings: nn.Embedding, generator: torch.Generator) -> None:
    limit = math.sqrt(3 / embeddings.embedding_dim)
    nn.init.uniform_(embeddings.weight, -limit, limit, generator=generator)
    with torch.no_grad():
        embeddings.weight[PADDING_ID].zero_()
