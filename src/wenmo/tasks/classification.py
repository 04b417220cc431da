"""Classification: one label a text or a pair of texts, or several, over any extractor."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wenmo.data.batching import second_batch, store_batch
from wenmo.data.rows import Row
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.models.config import Config, ModelConfig
from wenmo.models.windows import Windows
from wenmo.tasks.hierarchy import Hierarchy
from wenmo.tasks.losses import ClassificationLoss, LossName
from wenmo.tasks.metrics import Interval, Matrix, classification_metrics
from wenmo.tasks.pairs import VECTORS_OF_A_PAIR, Pair, one_above_the_other, pair_vector
from wenmo.tasks.task import Example
from wenmo.tasks.thresholds import ThresholdFor, check_decision, decide_by


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
    loss: LossName = "cross_entropy"
    """``focal`` makes little of the texts that are answered well already (Lin et al. 2017)."""
    focal_gamma: float = 2.0
    """How little; 0 is cross entropy."""
    label_smoothing: float = 0.0
    """This share of a text's label is spread evenly over all labels."""
    class_weights: Literal["none", "balanced"] = "none"
    """``balanced``: a text weighs the more, the rarer its label is in the training texts."""
    calibrate: bool = False
    """Divide the logits by a temperature found on dev, so that probabilities mean what they say (Guo et al. 2017)."""
    threshold_for: ThresholdFor = "none"
    """Choose thresholds on dev: for the F1 of ``positive``, macro or micro F1, or a wanted precision."""
    positive: str = ""
    """Which of two labels is looked for; empty: the second."""
    least_precision: float = 0.0
    """The precision wanted of ``positive``, or of each of several labels; with ``threshold_for=precision``."""
    thresholds: tuple[float, ...] = ()
    """One for each label, in their order. Of several labels, all are said that reach theirs; of single ones, the one
    that is largest relative to its own. Empty: 0.5, and the likeliest; ``threshold_for`` fills it in."""
    costs: tuple[tuple[float, ...], ...] = ()
    """What mistakes cost: rows are right labels, columns are answers; with several labels 2 x 2, no and yes."""

    def __post_init__(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("task.labels names a label twice")
        if self.hierarchy_separator and self.multi_label:
            raise ValueError(
                "task.hierarchy_separator is for texts with one label each, and these may have several; leave it out"
            )
        if not 0 <= self.dropout_prob < 1:
            raise ValueError(f"dropout_prob must be at least 0 and below 1; got {self.dropout_prob}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1; got {self.label_smoothing}")
        if not 0 <= self.focal_gamma < math.inf:
            raise ValueError(f"focal_gamma must not be negative; got {self.focal_gamma}")
        if not all(0 < each < 1 for each in self.thresholds):
            raise ValueError(f"thresholds lie between 0 and 1; got {list(self.thresholds)}")
        if not 0 <= self.least_precision < 1:
            raise ValueError(f"least_precision is a share such as 0.95; got {self.least_precision}")

    def check_decision(self) -> None:
        """Refuse thresholds and costs that cannot work for the labels, as `wenmo.tasks.thresholds.check_decision`."""
        check_decision(
            self.labels,
            self.multi_label,
            thresholds=self.thresholds,
            threshold_for=self.threshold_for,
            positive=self.positive,
            least_precision=self.least_precision,
            costs=self.costs,
        )


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
        self.windows: Windows | None = None
        """How a text is read that is longer than the extractor reads at once; None: as it is."""
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
        self.loss = ClassificationLoss(
            loss=config.loss,
            focal_gamma=config.focal_gamma,
            label_smoothing=config.label_smoothing,
            multi_label=config.multi_label,
        )

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
            return self.pooled(batch)
        both = one_above_the_other(batch, batch_b)
        if self.compares:
            vectors: Tensor = self.extractor.compare(both)  # type: ignore[operator]
            return vectors
        return pair_vector(*self.pooled(both).chunk(2))

    def logits(self, batch: TokenBatch, batch_b: TokenBatch | None = None) -> Tensor:
        """``(batch, num_labels)``."""
        return self.classify(self.dropout(self.vectors(batch, batch_b)))

    def classify(self, vectors: Tensor) -> Tensor:
        """``(batch, vector_size)`` to logits ``(batch, num_labels)``."""
        logits: Tensor = self.classifier(vectors)
        return logits if self.paths is None else logits @ self.paths.to(logits.dtype).t()

    def pooled(self, batch: TokenBatch) -> Tensor:
        """``(batch, pooler_size)``: the vector of each text."""

        def read(texts: TokenBatch) -> Tensor:
            vectors: Tensor = self.extractor(texts).pooler_output
            return vectors

        return self.windows.vectors(batch, read) if self.windows else read(batch)

    def forward(self, example: Example) -> tuple[Tensor, Tensor]:
        """The loss, summed over the counted texts, and their number; `wenmo.tasks.losses` says which."""
        summed: tuple[Tensor, Tensor] = self.loss(self.logits(example.batch, example.batch_b).float(), example.labels)
        return summed

    def learn_frequencies(self, train: TokenStore) -> None:
        """Where the settings want classes weighed, weigh them by the texts that will be trained on."""
        if self.config.class_weights == "balanced":
            self.loss.weigh_by(self.gold(train), len(self.config.labels))

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
        # The value alone is wanted, at every look at dev; its interval would take most of the time.
        metrics = classification_metrics(
            gold, answers, multi_label=self.config.multi_label, predicted=self.decide(answers), resamples=1
        )
        return metrics[self.metric]["value"]

    def is_right(self, gold: NDArray[Any], answers: NDArray[np.float32]) -> NDArray[np.bool_]:
        """``(rows,)``: whether all labels of a text are answered as they should be."""
        said = self.decide(answers)
        if self.config.multi_label:
            return np.asarray((said == (gold > 0)).all(axis=1))
        return np.asarray(said.argmax(axis=1) == gold)

    def decide(self, answers: NDArray[np.float32]) -> Matrix:
        """``(rows, num_labels)``: the labels said, by the likeliest, by thresholds or by costs."""
        config = self.config
        return decide_by(answers, config.multi_label, thresholds=config.thresholds, costs=config.costs)

    def confidence(self, answers: NDArray[np.float32], said: Matrix) -> NDArray[np.float32]:
        """``(rows,)``: the probability of the label said; of several labels, of the least certain yes or no."""
        if self.config.multi_label:
            return np.asarray(np.where(said, answers, 1 - answers).min(axis=1))
        return np.asarray(answers[np.arange(len(answers)), said.argmax(axis=1)])

    def measure(self, gold: NDArray[Any], answers: NDArray[np.float32]) -> dict[str, Interval]:
        """Every metric with its 95 % interval."""
        multi_label = self.config.multi_label
        metrics = classification_metrics(gold, answers, multi_label, predicted=self.decide(answers))
        if self.hierarchy is None:
            return metrics
        return metrics | self.hierarchy.measure(gold, self.decide(answers).argmax(axis=1))


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
