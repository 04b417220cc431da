"""The objective of ELMo: which word comes next, and which one stood before.

Peters et al., NAACL 2018, https://arxiv.org/abs/1802.05365, section 3.1, and https://github.com/allenai/bilm-tf: of two
language models that share the characters of words and the softmax, one reads from left to right and foretells at each
word, and at the sentence's begin, the next one, its end among them; the other the same from right to left. Dropout
stands on the states that words are foretold from, as on the input of every layer.

Sentences are read one by one, each between its markers. With ``streams`` a text is read at so many places side by side,
and the states behind a sentence are carried to the next one of its row, which in bilm-tf are windows of 20 words; no
gradient goes back past a sentence here, past a window there. A sentence longer than a sequence is read as several.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL
from wenmo.models.config import ModelConfig
from wenmo.models.dropout import dropout
from wenmo.models.elmo import Elmo, ElmoConfig
from wenmo.models.vocabulary_softmax import SoftmaxConfig, VocabularySoftmax
from wenmo.pretraining.draws import Draws
from wenmo.pretraining.masking import Integers
from wenmo.pretraining.objectives import Objective, Reading
from wenmo.pretraining.sequences import Draft

NEXT, BEFORE = range(2)
"""The two directions in labels and sums."""


@dataclass(frozen=True)
class BidirectionalLm(Objective):
    """The words on both sides of each word."""

    vocab_size: int
    """Words that are foretold, the markers among them."""
    begin_id: int
    """The word ``<S>``."""
    end_id: int
    """The word ``</S>``."""
    softmax: SoftmaxConfig = SoftmaxConfig()  # noqa: RUF009 - frozen
    streams: int = 0
    """Rows of a batch that go on where the batch before ended; 0: every sentence begins from nothing."""
    name: str = "bidirectional_lm"

    def label(self, draft: Draft, draws: Draws) -> Integers:
        """``(batch, length + 2, 2)``: at the begin, each word and the end, the next word and the one before."""
        batch, length = draft.mask.shape
        words = np.full((batch, length + 2), IGNORED_LABEL, np.int64)
        words[:, 0] = self.begin_id
        words[:, 1:-1] = np.where(draft.mask, draft.original, IGNORED_LABEL)
        words[np.arange(batch), draft.mask.sum(axis=1) + 1] = self.end_id
        labels = np.full((batch, length + 2, 2), IGNORED_LABEL, np.int64)
        labels[:, :-1, NEXT] = words[:, 1:]
        labels[:, 1:, BEFORE] = np.where(words[:, 1:] != IGNORED_LABEL, words[:, :-1], IGNORED_LABEL)
        return labels

    def make_head(self, config: ModelConfig) -> nn.Module:
        """The softmax that both directions share."""
        if not isinstance(config, ElmoConfig):
            raise InputError(
                f"{self.name} wants a model whose two directions never see each other, which is elmo; got "
                f"{config.model_type}"
            )
        return VocabularySoftmax(config.projection_size, self.vocab_size, self.softmax)

    def loss(self, head: nn.Module | None, reading: Reading, labels: Tensor) -> Tensor:
        """Of both directions."""
        return self.measure(head, reading, labels)[0].sum()

    def measure(self, head: nn.Module | None, reading: Reading, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Of each direction."""
        extractor = reading.extractor
        assert isinstance(extractor, Elmo) and head is not None
        states, reading.state = extractor.language_states(reading.batch)
        states = dropout(states, extractor.config.hidden_dropout_prob, extractor.training)
        counted = labels != IGNORED_LABEL
        sums = [
            head(half[counted[..., way]], labels[..., way][counted[..., way]])
            for way, half in enumerate(states.chunk(2, dim=2))
        ]
        return torch.stack(sums), counted.flatten(0, 1).sum(dim=0)
