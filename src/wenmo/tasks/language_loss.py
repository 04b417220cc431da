"""What a language model would still have to learn of a text, as a loss beside that of the task.

Radford et al. 2018 (section 3.2, equation 5) add it while they fine-tune: the model keeps its language, and few labels
go a longer way.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from wenmo.features import TokenBatch

LM_WEIGHT = 0.5
"""The paper's weight of it (section 4.1)."""


def next_token_loss(hidden_states: Tensor, batch: TokenBatch, word_table: Tensor) -> Tensor:
    """Foretell each token of a text from the state in front of it.

    Args:
        hidden_states: ``(batch, length, hidden_size)``, none of which knows of a later token.
        batch: the texts, padded on the right; special tokens are foretold like others.
        word_table: ``(vocab_size, hidden_size)``: logits are products with it.

    Returns:
        ``(batch,)``: in nats, the mean over the tokens of a text but its first; 0 for a text of fewer than two.
    """
    assert batch.input_ids is not None, "only ids can be foretold"
    inside = batch.attention_mask[:, 1:].bool()  # (batch, length - 1)
    logits = F.linear(hidden_states[:, :-1][inside], word_table).float()  # (tokens, vocab_size)
    nats = F.cross_entropy(logits, batch.input_ids[:, 1:][inside], reduction="none")
    of_texts = torch.zeros(inside.shape, dtype=nats.dtype, device=nats.device).masked_scatter(inside, nats)
    return of_texts.sum(dim=1) / inside.sum(dim=1).clamp(min=1)
