"""Objectives: what is learnt from sequences, as labels that the text itself gives and a head that foretells them.

Token objectives label places, sequence objectives take the class that the cut gave (`wenmo.pretraining.cuts`). Each has
two sides: `Objective.label` works on a `Draft` of numpy arrays, where data is made; `Objective.loss` on tensors, in the
model (`wenmo.pretraining.model`). Objectives hold settings alone, so one may be handed to another process.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL, Features, TokenBatch
from wenmo.models.bert import BertConfig
from wenmo.models.config import ModelConfig
from wenmo.models.cross_entropy import summed_cross_entropy
from wenmo.models.ernie import ErnieConfig
from wenmo.models.pretraining_heads import MaskedLanguageModelHead, NextSentenceHead
from wenmo.models.recurrent import RecurrentState
from wenmo.pretraining.draws import Draws
from wenmo.pretraining.masking import Integers, MaskingConfig, Vocabulary, mask
from wenmo.pretraining.sequences import Draft
from wenmo.pretraining.shards import CAPITALS


class Reading:
    """A batch and what the extractor makes of it, computed when it is first asked for and then kept."""

    def __init__(self, extractor: nn.Module, batch: TokenBatch) -> None:
        self.extractor = extractor
        self.batch = batch
        self.state: RecurrentState | None = None
        """Behind each text, of an objective whose rows go on in the next batch."""

    @cached_property
    def features(self) -> Features:
        """The extractor's."""
        features: Features = self.extractor(self.batch)
        return features


class Objective(ABC):
    """Something to learn from raw text."""

    name: str
    """In logs, recipes and the labels of examples."""

    reads_pooler: ClassVar[bool] = False
    """Whether its loss reads the vector of a sequence; a pooler that no objective reads stays as it is."""

    streams: int = 0
    """So many rows of a batch go on where the batch before ended; 0: what is read is read by itself."""

    @property
    def head_name(self) -> str:
        """Under which its head is kept; objectives of the same name share one."""
        return self.name

    @abstractmethod
    def label(self, draft: Draft, draws: Draws) -> Integers:
        """The right answers, ``(batch, length)`` or ``(batch,)``; -100 is not counted.

        What the model reads may be changed; then ``draft.original`` is what stood there.
        """

    @abstractmethod
    def make_head(self, config: ModelConfig) -> nn.Module | None:
        """What stands on the extractor; None where nothing of its own does.

        Raises:
            InputError: such a model cannot learn this.
        """

    @abstractmethod
    def loss(self, head: nn.Module | None, reading: Reading, labels: Tensor) -> Tensor:
        """Cross entropy summed over the counted labels."""

    def measure(self, head: nn.Module | None, reading: Reading, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The same and the number of counted labels, ``(parts,)`` each, of parts that are reported by themselves."""
        return self.loss(head, reading, labels).unsqueeze(0), (labels != IGNORED_LABEL).sum().unsqueeze(0)


@dataclass(frozen=True)
class MaskedLm(Objective):
    """Which words were masked; knowledge masking and the dialogue LM are the same with other units and sequences."""

    masking: MaskingConfig
    vocabulary: Vocabulary
    name: str = "masked_lm"

    @property
    def head_name(self) -> str:
        """One head, whatever is masked."""
        return "masked_lm"

    def label(self, draft: Draft, draws: Draws) -> Integers:
        """The words that were masked."""
        return mask(draft, self.masking, self.vocabulary, draws, self.name)

    def make_head(self, config: ModelConfig) -> nn.Module:
        """BERT's, on the table of the words."""
        if not isinstance(config, BertConfig | ErnieConfig):
            raise InputError(
                f"{self.name} wants a model that sees both sides: bert, ernie or ernie2; got {config.model_type}"
            )
        return MaskedLanguageModelHead(
            config.hidden_size,
            config.vocab_size,
            embedding_size=getattr(config, "embedding_size", 0),
            hidden_act=config.hidden_act,
            layer_norm_eps=config.layer_norm_eps,
        )

    def loss(self, head: nn.Module | None, reading: Reading, labels: Tensor) -> Tensor:
        """Logits at the masked places alone."""
        assert head is not None
        places = labels != IGNORED_LABEL
        table = reading.extractor.word_table()  # type: ignore[operator]
        return summed_cross_entropy(head(reading.features.last_hidden_state, table, places), labels[places])


@dataclass(frozen=True)
class CausalLm(Objective):
    """Which token comes next, at every token but the last."""

    name: str = "causal_lm"

    def label(self, draft: Draft, draws: Draws) -> Integers:
        """The tokens that follow, separators of documents among them."""
        labels = np.full_like(draft.original, IGNORED_LABEL)
        labels[:, :-1] = np.where(draft.mask[:, 1:], draft.original[:, 1:], IGNORED_LABEL)
        return labels

    def make_head(self, config: ModelConfig) -> nn.Module | None:
        """None where the table of the words says what comes next."""
        if "generate" not in config.tasks or getattr(config, "bidirectional", False):
            raise InputError(
                f"{self.name} wants a model that sees nothing of what comes next: gpt, gpt2, or rnn, lstm and gru with "
                f"model.bidirectional=false; got {config.model_type}"
            )
        return None if config.foretells else nn.Linear(config.hidden_size, config.vocab_size)

    def loss(self, head: nn.Module | None, reading: Reading, labels: Tensor) -> Tensor:
        """At each place that another token follows."""
        places = labels != IGNORED_LABEL
        states = reading.features.last_hidden_state[places]
        logits = F.linear(states, reading.extractor.word_table()) if head is None else head(states)  # type: ignore[operator]
        return summed_cross_entropy(logits, labels[places])


@dataclass(frozen=True)
class SequenceClass(Objective):
    """Which class a sequence is of, read off its first token."""

    reads_pooler: ClassVar[bool] = True

    name: str
    num_classes: int

    def label(self, draft: Draft, draws: Draws) -> Integers:
        """What the cut says."""
        return draft.labels

    def make_head(self, config: ModelConfig) -> nn.Module:
        """One layer over the vector of the sequence."""
        if self.name == "next_sentence":
            return NextSentenceHead(config.pooler_size)
        return nn.Linear(config.pooler_size, self.num_classes)

    def loss(self, head: nn.Module | None, reading: Reading, labels: Tensor) -> Tensor:
        """Over the sequences that have a class."""
        assert head is not None
        counted = labels != IGNORED_LABEL
        return summed_cross_entropy(head(reading.features.pooler_output[counted]), labels[counted])


@dataclass(frozen=True)
class TokenClass(Objective):
    """A class for each token of the text, masked ones too."""

    name: str
    num_classes: int = 2

    def make_head(self, config: ModelConfig) -> nn.Module:
        """One layer over the vector of the token."""
        return nn.Linear(config.hidden_size, self.num_classes)

    def loss(self, head: nn.Module | None, reading: Reading, labels: Tensor) -> Tensor:
        """Over the tokens that have a class."""
        assert head is not None
        counted = labels != IGNORED_LABEL
        return summed_cross_entropy(head(reading.features.last_hidden_state[counted]), labels[counted])


@dataclass(frozen=True)
class TokenDocumentRelation(TokenClass):
    """Whether a token stands in another segment of its document too (ERNIE 2.0, section 4.2.1): such words are common,
    or what the document is about. A segment is what one part of a sequence has of the document; where that is all of
    it, no token is counted."""

    name: str = "token_document_relation"

    def label(self, draft: Draft, draws: Draws) -> Integers:
        """1 where it does."""
        assert draft.documents is not None, "this objective looks into the shard"
        labels = np.full_like(draft.original, IGNORED_LABEL)
        for row, sequence in enumerate(draft.sequences):
            for (place, behind, _), (begin, end) in zip(sequence.parts, sequence.runs, strict=True):
                recurs = draft.documents.recurring(int(begin), int(end))
                if recurs is not None:
                    labels[row, place:behind] = recurs
        return labels


@dataclass(frozen=True)
class Capitalization(TokenClass):
    """Whether a token began with a capital letter in the raw text (ERNIE 2.0, section 4.2.1): names often do."""

    name: str = "capitalization"

    def label(self, draft: Draft, draws: Draws) -> Integers:
        """1 where it did."""
        return draft.column(CAPITALS)
