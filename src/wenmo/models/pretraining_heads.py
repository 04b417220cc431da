"""What stands on an encoder while it is first trained: which word is masked, does a sentence follow, was it replaced.

Devlin et al., NAACL 2019, https://arxiv.org/abs/1810.04805, section 3.1; ERNIE has the first two as well. The third is
ELECTRA's (Clark et al., ICLR 2020, https://arxiv.org/abs/2003.10555, section 2). Layers only: which words are masked,
and what the losses are, is a matter of the pre-training.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.models.transformer_layers import ACTIVATIONS, Activation


class MaskedLanguageModelHead(nn.Module):
    """LN(f(W h + b)) against the vectors of all words, and a bias for each: which word stands behind the mask (task 1).

    The matrix of the words is the encoder's own and is handed in, so that there is one of it. What trains the two
    together says so to the table (`wenmo.models.embeddings.WordEmbeddings.tied`), which then learns in every row.
    """

    def __init__(
        self,
        hidden_size: int,
        vocab_size: int,
        *,
        embedding_size: int = 0,
        hidden_act: Activation = "gelu",
        layer_norm_eps: float = 1e-12,
    ) -> None:
        """Make the layers.

        Args:
            hidden_size: width of the encoder.
            vocab_size: words.
            embedding_size: width of the word vectors; 0: ``hidden_size``.
            hidden_act: f, that of the encoder's feed-forward networks.
            layer_norm_eps: of the layer norm.
        """
        super().__init__()
        width = embedding_size or hidden_size
        self.dense = nn.Linear(hidden_size, width)
        self.activation = ACTIVATIONS[hidden_act]
        self.norm = nn.LayerNorm(width, eps=layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, last_hidden_state: Tensor, word_table: Tensor, places: Tensor | None = None) -> Tensor:
        """Say which word stands at each place that is asked for.

        Args:
            last_hidden_state: ``(batch, length, hidden_size)``.
            word_table: ``(vocab_size, embedding_size)``.
            places: ``(batch, length)``, True where a word is to be foretold; None: everywhere. The logits are most of
                the work, and 15 % of the words are masked.

        Returns:
            Logits ``(places, vocab_size)``, row by row of the batch; ``(batch, length, vocab_size)`` for everywhere.
        """
        states = last_hidden_state if places is None else last_hidden_state[places.bool()]
        return F.linear(self.norm(self.activation(self.dense(states))), word_table, self.bias)


class NextSentenceHead(nn.Linear):
    """Whether the second text follows the first: ``(batch, hidden_size)`` to logits ``(batch, 2)`` (task 2).

    It reads ``pooler_output``. In BERT 0 says that it follows and 1 that it is a random one; in ERNIE it is the other
    way round.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size, 2)


class ReplacedTokenHead(nn.Module):
    """Whether each token was replaced by another: a logit above 0 says yes (ELECTRA's discriminator)."""

    def __init__(self, hidden_size: int, hidden_act: Activation = "gelu") -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.activation = ACTIVATIONS[hidden_act]
        self.output = nn.Linear(hidden_size, 1)

    def forward(self, last_hidden_state: Tensor) -> Tensor:
        """``(batch, length, hidden_size)`` to logits ``(batch, length)``."""
        logits: Tensor = self.output(self.activation(self.dense(last_hidden_state)))
        return logits.squeeze(-1)
