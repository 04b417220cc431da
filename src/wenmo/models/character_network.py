"""A vector for a word from its characters alone: filters, the strongest answer of each, highways, a projection.

Kim et al., AAAI 2016, https://arxiv.org/abs/1508.06615, in the form of Jozefowicz et al., 2016, arXiv 1602.02410, that
ELMo has; highways are those of Srivastava et al., 2015, https://arxiv.org/abs/1505.00387. As in ELMo, filters also
answer the padding behind a word, so a word is read as if ``max_characters`` stood there. What is computed is less: all
answers to padding alone are equal, so one of them is enough.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.features import WORD_PADDING_ID
from wenmo.models.products import linear

CharacterActivation = Literal["relu", "tanh"]


class Highway(nn.Module):
    """``y = t relu(H x) + (1 - t) x``, with the gate ``t = σ(T x)``.

    In TensorFlow's ELMo the gate t is called carry, and AllenNLP computes 1 - t, so its T has the other sign.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.transform = nn.Linear(size, size)
        self.gate = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        """``(rows, size)`` to the same."""
        t = torch.sigmoid(linear(x, self.gate.weight, self.gate.bias))
        return t * F.relu(linear(x, self.transform.weight, self.transform.bias)) + (1 - t) * x


class CharacterNetwork(nn.Module):
    """Characters to a vector of ``output_size``."""

    def __init__(
        self,
        vocab_size: int,
        *,
        embedding_size: int,
        filters: Sequence[tuple[int, int]],
        output_size: int,
        num_highways: int,
        activation: CharacterActivation = "relu",
        max_characters: int = 50,
    ) -> None:
        """``filters``: of each width, in characters, how many there are."""
        super().__init__()
        size = sum(number for _, number in filters)
        self.widest = max(width for width, _ in filters)
        self.max_characters = max_characters
        self.activation = activation
        self.embeddings = nn.Embedding(vocab_size, embedding_size, padding_idx=0)
        self.convs = nn.ModuleList(nn.Conv1d(embedding_size, number, width) for width, number in filters)
        self.highways = nn.ModuleList(Highway(size) for _ in range(num_highways))
        self.projection = nn.Linear(size, output_size)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """As ELMo was trained (bilm-tf, training.py).

        Characters uniform(-1, 1); filters uniform(-0.05, 0.05), with tanh normal(0, 1 / sqrt(width * embedding_size));
        highways and projection normal(0, 1 / sqrt(filters)); biases 0, those of the gates -2, which lets x through.
        """
        nn.init.uniform_(self.embeddings.weight, -1, 1, generator)
        self.embeddings.weight[0] = 0
        for conv in self.convs:
            assert isinstance(conv, nn.Conv1d) and conv.bias is not None
            if self.activation == "relu":
                nn.init.uniform_(conv.weight, -0.05, 0.05, generator)
            else:
                nn.init.normal_(conv.weight, std=conv.weight[0].numel() ** -0.5, generator=generator)
            nn.init.zeros_(conv.bias)
        for layer in [each for highway in self.highways for each in highway.children()] + [self.projection]:
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)
        for highway in self.highways:
            assert isinstance(highway, Highway)
            nn.init.constant_(highway.gate.bias, -2)

    def forward(self, character_ids: Tensor) -> Tensor:
        """Answer each word.

        Args:
            character_ids: ``(words, num_characters)``; what is 0 or missing is padding of a word.

        Returns:
            ``(words, output_size)``.

        Raises:
            ValueError: there are more than ``max_characters``.
        """
        x = self.embeddings(self._cut(character_ids)).transpose(1, 2)  # (words, embedding_size, characters)
        y = torch.cat([conv(x).amax(dim=2) for conv in self.convs], dim=1)  # (words, filters)
        y = F.relu(y) if self.activation == "relu" else torch.tanh(y)
        for highway in self.highways:
            y = highway(y)
        return linear(y, self.projection.weight, self.projection.bias)

    def _cut(self, character_ids: Tensor) -> Tensor:
        """As many characters as the longest word has, and behind it one n-gram of padding for every width."""
        given = character_ids.size(1)
        if given > self.max_characters:
            raise ValueError(f"{given} characters a word, and the model reads {self.max_characters}; cut the words")
        ids = character_ids.masked_fill(character_ids == 0, WORD_PADDING_ID)
        longest = int((ids != WORD_PADDING_ID).sum(dim=1).max()) if len(ids) else 0
        wanted = min(self.max_characters, longest + self.widest)
        return F.pad(ids[:, :wanted], (0, max(0, wanted - given)), value=WORD_PADDING_ID)
