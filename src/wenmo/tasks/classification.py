"""Classification: one label a text or a pair of texts, or several, over any extractor."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.data.batching import second_batch, store_batch
from wenmo.data.rows import Row
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL, TokenBatch
from wenmo.models.config import Config, ModelConfig
from wenmo.tasks.hierarchy import Hierarchy
from wenmo.tasks.metrics import Interval, classification_metrics, decide
from wenmo.tasks.pairs import VECTORS_OF_A_PAIR, Pair, one_above_the_other, pair_vector
from wenmo.tasks.task import Example


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig(Config):
    """What is to be answered, and how the head is trained."""

    task: Literal["classify"] = "classify"
    labels: tuple[str, ...] = ()
    """In the order of the classifier's outputs. Empty: taken from the training data, sorted."""
    multi_label: bool = False
    """A text may have any number of labels, also none."""
    pair: Pair = "none"
    """How pairs of texts are read: each by itself with the same weights, or joined to one text. ``none``: taken from
    the training data, and of pairs as it suits the model."""
    hierarchy_separator: str = ""
    """What stands between the levels of a label, such as the slash of ``sport/football``; empty: labels have none."""
    dropout_prob: float = 0.5
    """Dropout on the vector of the text (Kim 2014, equation 4)."""
    max_norm: float = 0.0
    """Each label's weights are scaled down to this norm after an update (Kim 2014, section 2.2); 0: not at all."""
    metric: Literal["accuracy", "macro_f1", "micro_f1"] = "accuracy"
    """By which models are chosen on dev."""

    def __post_init__(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("task.labels names a label twice")
        if self.hierarchy_separator and self.multi_label:
            raise ValueError(
                "task.hierarchy_separator is for texts with one label each, and these may have several; leave it out"
            )
        if not 0 <= self.dropout_prob < 1:
            raise ValueError(f"dropout_prob must be at least 0 and below 1; got {self.dropout_prob}")


class Classification(nn.Module):
    """A linear layer over the vector that an extractor makes of a text."""

    def __init__(self, extractor: nn.Module, extractor_config: ModelConfig, config: ClassificationConfig) -> None:
        super().__init__()
        if len(config.labels) < 2 and not config.multi_label:
            raise InputError(f"a classifier needs at least two labels; the data has {list(config.labels)}")
        self.extractor = extractor
        self.extractor_config = extractor_config
        self.config = config
        self.metric: str = config.metric
        self.dropout = nn.Dropout(config.dropout_prob)
        self.hierarchy = Hierarchy(config.labels, config.hierarchy_separator) if config.hierarchy_separator else None
        self.outputs: tuple[str, ...] = config.labels
        """What the rows of the classifier stand for: the labels, or all nodes of their tree."""
        paths: Tensor | None = None
        if self.hierarchy is not None and extractor_config.fitting == "gradient":
            self.outputs = self.hierarchy.nodes
            # On the CPU even where modules are made without their weights: it is in no file.
            paths = torch.tensor(self.hierarchy.on_path, device="cpu")
        self.paths: Tensor | None
        self.register_buffer("paths", paths, persistent=False)
        self.classifier = nn.Linear(self.vector_size, len(self.outputs))

    @property
    def vector_size(self) -> int:
        """Width of what the classifier sees."""
        size = self.extractor_config.pooler_size
        return size if self.config.pair != "siamese" or self.compares else VECTORS_OF_A_PAIR * size

    @property
    def compares(self) -> bool:
        """Whether the extractor makes its own vector of two texts."""
        return hasattr(self.extractor, "compare")

    def initialize(self, generator: torch.Generator) -> None:
        """The extractor's own initialisation; the classifier starts at zero, as in Kim's code."""
        self.extractor.initialize(generator)  # type: ignore[operator]
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def vectors(self, batch: TokenBatch, batch_b: TokenBatch | None = None) -> Tensor:
        """``(batch, vector_size)``: what the extractor makes of each text, or of each pair in one call."""
        if batch_b is None:
            vectors: Tensor = self.extractor(batch).pooler_output
            return vectors
        both = one_above_the_other(batch, batch_b)
        if self.compares:
            vectors = self.extractor.compare(both)  # type: ignore[operator]
            return vectors
        return pair_vector(*self.extractor(both).pooler_output.chunk(2))

    def logits(self, batch: TokenBatch, batch_b: TokenBatch | None = None) -> Tensor:
        """``(batch, num_labels)``."""
        return self.classify(self.dropout(self.vectors(batch, batch_b)))

    def classify(self, vectors: Tensor) -> Tensor:
        """``(batch, vector_size)`` to logits ``(batch, num_labels)``."""
        logits: Tensor = self.classifier(vectors)
        return logits if self.paths is None else logits @ self.paths.to(logits.dtype).t()

    def forward(self, example: Example) -> tuple[Tensor, Tensor]:
        """Cross entropy, summed over the counted texts, and their number.

        With several labels: the binary cross entropy of a text is the mean over the labels.
        """
        logits = self.logits(example.batch, example.batch_b).float()
        if self.config.multi_label:
            counted = example.labels[:, 0] != IGNORED_LABEL
            losses = F.binary_cross_entropy_with_logits(logits, example.labels.float(), reduction="none").mean(dim=1)
            return losses[counted].sum(), counted.sum()
        loss = F.cross_entropy(logits, example.labels, reduction="sum", ignore_index=IGNORED_LABEL)
        return loss, (example.labels != IGNORED_LABEL).sum()

    def answers(self, batch: TokenBatch, batch_b: TokenBatch | None = None) -> Tensor:
        """Probabilities ``(batch, num_labels)``; they sum to 1 unless a text may have several labels."""
        return self.probabilities(self.logits(batch, batch_b).float())

    def probabilities(self, logits: Tensor) -> Tensor:
        """``(..., num_labels)`` logits to probabilities."""
        return logits.sigmoid() if self.config.multi_label else logits.softmax(dim=-1)

    def example(self, store: TokenStore, rows: NDArray[np.int64]) -> Example:
        """Some rows of a store with columns ``input_ids`` and ``labels``, and those of pairs."""
        labels = store["labels"].take(rows)
        if self.config.multi_label:
            gold = torch.from_numpy(_multi_hot(labels, len(self.config.labels)))
        else:
            gold = torch.from_numpy(np.concatenate(labels).astype(np.int64))
        return Example(batch=store_batch(store, rows), batch_b=second_batch(store, rows), labels=gold)

    @torch.no_grad()
    def constrain(self) -> None:
        """Kim's max-norm: scale the weights of a label down where they are longer."""
        if self.config.max_norm:
            self.classifier.weight.copy_(self.classifier.weight.renorm(2, 0, self.config.max_norm))

    def gold(self, store: TokenStore) -> NDArray[Any]:
        """``(rows,)`` label ids, or ``(rows, num_labels)`` zeros and ones where a text may have several."""
        labels = store["labels"].take(range(len(store)))
        if self.config.multi_label:
            return _multi_hot(labels, len(self.config.labels))
        return np.concatenate(labels).astype(np.int64) if labels else np.empty(0, np.int64)

    def score(self, gold: NDArray[Any], answers: NDArray[np.float32]) -> float:
        """The value of the metric by which models are chosen."""
        if self.metric == "accuracy":
            return float(self.is_right(gold, answers).mean())
        return self.measure(gold, answers)[self.metric]["value"]

    def is_right(self, gold: NDArray[Any], answers: NDArray[np.float32]) -> NDArray[np.bool_]:
        """``(rows,)``: whether all labels of a text are answered as they should be."""
        if self.config.multi_label:
            return np.asarray((decide(answers, multi_label=True) == (gold > 0)).all(axis=1))
        return np.asarray(answers.argmax(axis=1) == gold)

    def measure(self, gold: NDArray[Any], answers: NDArray[np.float32]) -> dict[str, Interval]:
        """Every metric with its 95 % interval."""
        metrics = classification_metrics(gold, answers, multi_label=self.config.multi_label)
        return metrics | (self.hierarchy.measure(gold, answers.argmax(axis=1)) if self.hierarchy else {})


def find_labels(rows: Iterable[Row]) -> tuple[tuple[str, ...], bool]:
    """The labels that stand in the rows, sorted, and whether texts have several."""
    found: set[str] = set()
    several = False
    for row in rows:
        if isinstance(row.label, tuple):
            several = True
            found.update(row.label)
        elif row.label is not None:
            found.add(row.label)
    return tuple(sorted(found)), several


def label_ids(rows: Sequence[Row], config: ClassificationConfig) -> list[list[int]]:
    """The ids of each row's labels, for the column ``labels`` of a store.

    Raises:
        InputError: a row has a label that is not among those of the task, or several where one is wanted.
    """
    known = {label: i for i, label in enumerate(config.labels)}
    ids = []
    for row in rows:
        labels = row.label if isinstance(row.label, tuple) else (row.label,) if row.label is not None else ()
        if not config.multi_label and len(labels) != 1:
            raise InputError(f"{row.source}: {len(labels)} labels where one is wanted; set task.multi_label=true")
        for label in labels:
            if label not in known:
                raise InputError(
                    f"{row.source}: the label {label!r} was not seen in training; known are "
                    f"{', '.join(config.labels[:20])}; correct the row, or train with this label"
                )
        ids.append([known[label] for label in labels])
    return ids


def _multi_hot(labels: Sequence[NDArray[Any]], num_labels: int) -> NDArray[np.float32]:
    hot = np.zeros((len(labels), num_labels), np.float32)
    for row, ids in enumerate(labels):
        hot[row, ids] = 1
    return hot
