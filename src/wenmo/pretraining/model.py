"""An extractor with the heads of what it is pre-trained on."""

from collections.abc import Sequence as Many
from dataclasses import replace

import torch
from torch import Tensor, nn

from wenmo.features import IGNORED_LABEL, TokenBatch
from wenmo.models.config import ModelConfig
from wenmo.models.embeddings import WordEmbeddings
from wenmo.models.recurrent import RecurrentState
from wenmo.models.transformer_layers import initialize_normal
from wenmo.pretraining.objectives import Objective, Reading
from wenmo.pretraining.sequences import PretrainingExample
from wenmo.tasks.task import Learner


class Pretraining(Learner):
    """Sums of losses over an extractor; which objectives an example is for, its labels say."""

    def __init__(self, extractor: nn.Module, extractor_config: ModelConfig, objectives: Many[Objective]) -> None:
        """Make the heads.

        Raises:
            InputError: such a model cannot learn one of the objectives.
        """
        super().__init__()
        self.extractor = extractor
        self.extractor_config = extractor_config
        self.objectives = {each.name: each for each in objectives}
        self.heads = nn.ModuleDict()
        for each in objectives:
            if each.head_name not in self.heads:
                head = each.make_head(extractor_config)
                if head is not None:
                    self.heads[each.head_name] = head
        streams = max((each.streams for each in objectives), default=0)
        # Learnt by nobody: in checkpoints, and in no model folder.
        self.carried = CarriedState(extractor.first_state(streams)) if streams else None  # type: ignore[operator]
        if {"masked_lm", "causal_lm"} & {each.head_name for each in objectives}:
            self._tie()
        # Weight decay would wear down what nothing teaches: a pooler, the mixture of ELMo's layers.
        unread = ["mix"] if any(each.name == "bidirectional_lm" for each in objectives) else []
        unread += [] if any(each.reads_pooler for each in objectives) else ["pooler"]
        for part in unread:
            if isinstance(module := getattr(extractor, part, None), nn.Module):
                module.requires_grad_(False)

    def initialize(self, generator: torch.Generator) -> None:
        """The extractor's own; heads normal(0, 0.02) with biases 0, as in BERT's code, unless they say otherwise."""
        self.extractor.initialize(generator)  # type: ignore[operator]
        for head in self.heads.values():
            if callable(own := getattr(head, "initialize", None)):
                own(generator)
            else:
                initialize_normal(head, generator)

    @property
    def losses(self) -> tuple[str, ...]:
        """The names of the objectives, in the order of `counts` and `forward`."""
        return tuple(self.objectives)

    def counts(self, example: PretrainingExample) -> Tensor:
        """``(k,)``: how many labels of each objective count, 0 where the example is not for it; no model is needed."""
        counted = {name: (labels != IGNORED_LABEL).sum() for name, labels in example.labels.items()}
        none = next(iter(counted.values())).new_zeros(())
        return torch.stack([counted.get(name, none) for name in self.objectives])

    def forward(self, example: PretrainingExample) -> tuple[Tensor, Tensor]:
        """The summed loss of each objective ``(k,)``, and how many labels each counts ``(k,)``; 0 where the example is
        not for it."""
        carried = self.carried if self.training else None
        reading = Reading(self.extractor, carried.before(example) if carried is not None else example.batch)
        sums = {
            name: self.objectives[name].loss(self._head(name), reading, labels)
            for name, labels in example.labels.items()
        }
        if carried is not None and reading.state is not None:
            carried.keep(reading.state.detach())
        none = next(iter(sums.values())).new_zeros(())
        return torch.stack([sums.get(name, none) for name in self.objectives]), self.counts(example)

    @torch.no_grad()
    def measure(self, example: PretrainingExample) -> dict[str, tuple[Tensor, Tensor]]:
        """By objective, summed losses and counted labels ``(parts,)``: of one part, or of both directions of ELMo."""
        reading = Reading(self.extractor, example.batch)
        return {
            name: self.objectives[name].measure(self._head(name), reading, labels)
            for name, labels in example.labels.items()
        }

    def _head(self, name: str) -> nn.Module | None:
        head_name = self.objectives[name].head_name
        return self.heads[head_name] if head_name in self.heads else None  # noqa: SIM401 - it has no get

    def _tie(self) -> None:
        """The table of the words is an output too, so every batch changes all of it."""
        for module in self.extractor.modules():
            if isinstance(module, WordEmbeddings):
                module.tied = True


class CarriedState(nn.Module):
    """The states behind the rows of a batch, from which the next batch goes on."""

    def __init__(self, state: RecurrentState) -> None:
        super().__init__()
        self.hidden: Tensor
        self.cell: Tensor
        for name, value in zip(("hidden", "cell"), state.tensors(), strict=True):
            self.register_buffer(name, value)

    def before(self, example: PretrainingExample) -> TokenBatch:
        """A batch that goes on where the one before ended, or from zeros."""
        if example.begins:
            self.hidden.zero_()
            self.cell.zero_()
        rows = len(example.batch.attention_mask)
        state = RecurrentState(self.hidden[:, :rows].clone(), self.cell[:, :rows].clone())
        return replace(example.batch, past_key_values=state)

    def keep(self, state: RecurrentState) -> None:
        """The states behind a batch; rows that it did not have keep theirs."""
        for kept, behind in zip((self.hidden, self.cell), state.tensors(), strict=True):
            kept[:, : behind.size(1)] = behind


def perplexity(sums: Tensor, counts: Tensor) -> float:
    """e to the nats a token, as the papers report it: of two directions the mean of both.

    Args:
        sums: ``(parts,)``, added up over a whole text.
        counts: ``(parts,)``.
    """
    return float((sums.double() / counts).exp().mean())
