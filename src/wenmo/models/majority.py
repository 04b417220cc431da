"""The most frequent tag of each word in the training data: the baseline that every tagger is shown beside.

Nothing is learnt but counted: a word that is not known, or does not occur, gets the most frequent tag of all.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.features import Features, TokenBatch
from wenmo.models.config import ModelConfig
from wenmo.models.embeddings import UNKNOWN_ID
from wenmo.models.tracing import note


@dataclass(frozen=True, kw_only=True)
class MajorityConfig(ModelConfig):
    """Sizes of the table of counts."""

    fitting: ClassVar[Literal["gradient", "convex", "counted"]] = "counted"
    tasks: ClassVar[tuple[str, ...]] = ("tag",)

    model_type: Literal["majority"] = "majority"
    vocab_size: int = 0
    """0: taken from the tokenizer when the model is built."""
    num_outputs: int = 0
    """0: one for each tag, taken from the training data."""

    @property
    def hidden_size(self) -> int:
        """Width of the features: one number for each tag."""
        return self.num_outputs


class Majority(nn.Module):
    """A row for each word: 1 at its most frequent tag."""

    def __init__(self, config: MajorityConfig) -> None:
        super().__init__()
        if config.vocab_size < 1 or config.num_outputs < 1:
            raise ValueError("vocab_size and num_outputs are 0; build the tokenizer first and pass both sizes")
        self.config = config
        self.table = nn.Parameter(torch.zeros(config.vocab_size, config.num_outputs), requires_grad=False)

    def initialize(self, generator: torch.Generator) -> None:
        """Zeros: nothing was counted yet."""
        nn.init.zeros_(self.table)

    @torch.no_grad()
    def count(self, input_ids: Tensor, tags: Tensor) -> None:
        """Take over what tokens ``(tokens,)`` are tagged with, of equally frequent tags the first."""
        pairs = torch.zeros(self.table.shape, dtype=torch.long)
        pairs.index_put_((input_ids.long(), tags.long()), torch.ones(len(tags), dtype=torch.long), accumulate=True)
        often = pairs.sum(dim=0)
        unseen = pairs.sum(dim=1) == 0
        unseen[UNKNOWN_ID] = True  # what is rare in the training data is not what will be unknown
        pairs[unseen] = often
        self.table.copy_(F.one_hot(pairs.argmax(dim=1), self.config.num_outputs))

    def forward(self, batch: TokenBatch) -> Features:
        """``last_hidden_state`` ``(batch, length, num_outputs)``; ``pooler_output``: the shares of the tags."""
        assert batch.input_ids is not None, "the most frequent tag is that of words"
        states = F.embedding(batch.input_ids, self.table) * batch.attention_mask.unsqueeze(2)
        note("the most frequent tag of each word", states, "batch", "length", "num_outputs")
        shares = states.sum(dim=1) / batch.num_tokens.clamp(min=1).unsqueeze(1)
        return Features(
            last_hidden_state=states,
            pooler_output=note("vector of the text, the shares of the tags", shares, "batch", "pooler_size"),
        )
