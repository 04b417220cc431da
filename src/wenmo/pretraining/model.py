"""An extractor with the heads of what it is pre-trained on."""

from collections.abc import Sequence as Many

import torch
from torch import Tensor, nn

from wenmo.features import IGNORED_LABEL
from wenmo.models.config import ModelConfig
from wenmo.models.embeddings import WordEmbeddings
from wenmo.models.transformer_layers import initialize_normal
from wenmo.pretraining.objectives import Objective, Reading
from wenmo.pretraining.sequences import PretrainingExample


class Pretraining(nn.Module):
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
        if {"masked_lm", "causal_lm"} & {each.head_name for each in objectives}:
            self._tie()
        if not any(each.reads_pooler for each in objectives) and isinstance(
            pooler := getattr(extractor, "pooler", None), nn.Module
        ):
            pooler.requires_grad_(False)  # weight decay would wear down what nothing teaches

    def initialize(self, generator: torch.Generator) -> None:
        """The extractor's own; heads normal(0, 0.02) with biases 0, as in BERT's code, unless they say otherwise."""
        self.extractor.initialize(generator)  # type: ignore[operator]
        for head in self.heads.values():
            if callable(own := getattr(head, "initialize", None)):
                own(generator)
            else:
                initialize_normal(head, generator)

    def counts(self, example: PretrainingExample) -> Tensor:
        """``(k,)``: how many labels of each objective count, in the order of the example; no model is needed."""
        return torch.stack([(labels != IGNORED_LABEL).sum() for labels in example.labels.values()])

    def forward(self, example: PretrainingExample) -> tuple[Tensor, Tensor]:
        """The summed loss of each objective ``(k,)``, and how many labels each counts ``(k,)``."""
        reading = Reading(self.extractor, example.batch)
        sums = []
        for name, labels in example.labels.items():
            objective = self.objectives[name]
            head = self.heads[objective.head_name] if objective.head_name in self.heads else None  # noqa: SIM401
            sums.append(objective.loss(head, reading, labels))
        return torch.stack(sums), self.counts(example)

    def _tie(self) -> None:
        """The table of the words is an output too, so every batch changes all of it."""
        for module in self.extractor.modules():
            if isinstance(module, WordEmbeddings):
                module.tied = True
