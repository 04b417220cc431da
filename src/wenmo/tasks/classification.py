"""Classification: one label a text or a pair of texts, or several, over any extractor."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wenmo.data.batching import second_batch, store_batch
from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Row
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL, Features, TokenBatch
from wenmo.models.config import ModelConfig
from wenmo.models.dropout import Dropout
from wenmo.models.windows import Windows
from wenmo.tasks.answering import answer_rows
from wenmo.tasks.hierarchy import Hierarchy
from wenmo.tasks.labels import find_labels, label_ids, multi_hot
from wenmo.tasks.language_loss import LM_WEIGHT, next_token_loss
from wenmo.tasks.losses import ClassificationLoss, LossName, penalized
from wenmo.tasks.metrics import Interval, Matrix, approximate_randomisation, classification_metrics, mcnemar
from wenmo.tasks.pairs import (
    VECTORS_OF_A_PAIR,
    Pair,
    encode_texts,
    one_above_the_other,
    pair_vector,
    refuse_other_kind,
    resolved_pair,
    single_texts,
    text_of,
)
from wenmo.tasks.task import CardText, Columns, Example, Task, TaskConfig, in_markdown, take_over_weights
from wenmo.tasks.thresholds import ThresholdFor, check_decision, decide_by
from wenmo.text.loading import AnyTokenizer, train_tokenizer
from wenmo.text.tokenizer_config import TokenizerConfig

_PAIRS_IN_WORDS = {
    "siamese": ("It reads both texts of a pair by themselves, with the same weights, and compares them.",),
    "joined": ("It reads both texts of a pair as one text with a separator between them.",),
    "symmetric": ("It reads both texts of a pair as one text, in both orders, and adds up what it finds.",),
}


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig(TaskConfig):
    """What is to be answered, and how the head is trained."""

    baselines: ClassVar[tuple[str, ...]] = ("tfidf", "nbsvm")
    in_folder: ClassVar[tuple[str, ...]] = ("problem_type", "id2label", "label2id", "pair", "hierarchy_separator")

    task: Literal["classify"] = "classify"
    labels: tuple[str, ...] = ()
    """In the order of the classifier's outputs. Empty: taken from the training data, sorted."""
    multi_label: bool = False
    """A text may have any number of labels, also none."""
    pair: Pair = "none"
    """How pairs of texts are read: each by itself with the same weights, joined to one text, or joined in both orders,
    whose vectors are added. ``none``: taken from the training data, and of pairs as it suits the model."""
    markers: bool = False
    """A checkpoint that reads from left to right gets three new tokens around texts: ``[start] text [extract]``, and
    ``[start] a [delimiter] b [extract]``; a text is read off the last of them (Radford et al. 2018)."""
    lm_weight: float | None = None
    """How much of the language model's loss is added: of foretelling each token of the text (Radford et al. 2018).
    Left out: 0.5 with ``markers``, if the model foretells with the vectors of its words, else 0."""
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
        if self.pair == "symmetric" and not self.markers:
            raise ValueError(
                "task.pair=symmetric adds up the vectors of both orders, as GPT reads them; take a checkpoint of GPT "
                "with task.markers=true, or another task.pair"
            )
        if not 0 <= self.dropout_prob < 1:
            raise ValueError(f"dropout_prob must be at least 0 and below 1; got {self.dropout_prob}")
        if self.lm_weight is not None and not 0 <= self.lm_weight < math.inf:
            raise ValueError(f"lm_weight must not be negative; got {self.lm_weight}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1; got {self.label_smoothing}")
        if not 0 <= self.focal_gamma < math.inf:
            raise ValueError(f"focal_gamma must not be negative; got {self.focal_gamma}")
        if not all(0 < each < 1 for each in self.thresholds):
            raise ValueError(f"thresholds lie between 0 and 1; got {list(self.thresholds)}")
        if not 0 <= self.least_precision < 1:
            raise ValueError(f"least_precision is a share such as 0.95; got {self.least_precision}")

    def settled(self, rows: Sequence[Row], model: ModelConfig, before: Self | None, source: str) -> Self:
        """The settings with the labels of the rows, behind those of the model that a run goes on from, and pairs.

        Raises:
            InputError: there is only one label, or none; some rows are pairs and others are not.
        """
        found, several = find_labels(rows)
        known = before.labels if before else self.labels
        if not known and not found:
            raise InputError(f"{source}: no row has a label; a classifier needs some to learn")
        if not known and len(found) < 2 and not several:
            raise InputError(f"{source}: every row has the label {found[0]!r}; a classifier needs two")
        if before and self.hierarchy_separator != before.hierarchy_separator:
            raise InputError("task.hierarchy_separator: with --from, it is the model's own; leave it out")
        if before and self.markers != before.markers:
            raise InputError("task.markers: with --from, it is the model's own; leave it out")
        if self.hierarchy_separator and several:
            raise InputError(
                f"{source}: rows have several labels, and task.hierarchy_separator is for one; leave it out"
            )
        new = tuple(label for label in found if label not in known)
        labels = (*known, *new) if before or not known else known
        pair = self._settled_pair(rows, model, before, source)
        lm_weight = self.lm_weight
        if lm_weight is None:
            lm_weight = LM_WEIGHT if self.markers and model.foretells else 0.0
        several = self.multi_label or several
        return replace(self, labels=labels, multi_label=several, pair=pair, lm_weight=lm_weight)

    def _settled_pair(self, rows: Sequence[Row], model: ModelConfig, before: Self | None, source: str) -> Pair:
        are_pairs = any(row.text_b is not None for row in rows)
        asked = self.pair if before is None or are_pairs else "none"  # with --from, nobody asked for it here
        pair = resolved_pair(asked, rows, "joined" if self.markers else model.pair)
        if before is not None and pair != before.pair:
            raise InputError(
                f"{source}: with --from, texts are read as before, task.pair={before.pair}, "
                f"and here it would be {pair}; bring data of the same kind, or train anew"
            )
        return pair

    def texts(self, rows: Iterable[Row]) -> Iterable[str]:
        """The texts; of a pair, both."""
        return single_texts(list(rows))

    def make_tokenizer(self, rows: Sequence[Row], config: TokenizerConfig) -> AnyTokenizer:
        """With a separator where pairs are joined."""
        if self.pair == "joined":
            config = replace(config, separator=True)
        return train_tokenizer(self.texts(rows), config)

    def columns(self, rows: Sequence[Row], tokenizer: AnyTokenizer, reading: LongTexts) -> Columns:
        """The ids of the texts as `wenmo.tasks.pairs.encode_texts` has them, and ``labels``."""
        labels = label_ids(rows, self.labels, several=self.multi_label)
        for row in rows:
            refuse_other_kind(text_of(row), self.pair, row.source)
        texts = encode_texts([text_of(row) for row in rows], tokenizer, self.pair, reading).columns
        return {**texts, "labels": labels}

    @property
    def num_labels(self) -> int:
        """Labels to choose from."""
        return len(self.labels)

    @property
    def compares(self) -> bool:
        """Whether both texts of a pair are read by themselves."""
        return self.pair == "siamese"

    def build(self, extractor: nn.Module, model: ModelConfig, windows: Windows | None) -> "Classification":
        """A linear layer over the extractor."""
        return Classification(extractor, model, self, windows)

    @classmethod
    def from_folder(cls, settings: Mapping[str, Any], described: Mapping[str, Any]) -> Self:
        """The labels are those of ``config.json``, where other tools look for them."""
        labels = tuple(described["id2label"][str(i)] for i in range(len(described["id2label"])))
        config = cls.from_dict({**settings, "labels": labels})
        config.check_decision()
        return config

    def described(self) -> dict[str, Any]:
        """The labels as the Hugging Face ecosystem writes them, and how texts are read."""
        return {
            "problem_type": "multi_label_classification" if self.multi_label else "single_label_classification",
            "id2label": {str(i): label for i, label in enumerate(self.labels)},
            "label2id": {label: i for i, label in enumerate(self.labels)},
            **({"pair": self.pair} if self.pair != "none" else {}),
            **({"hierarchy_separator": self.hierarchy_separator} if self.hierarchy_separator else {}),
        }

    def noun(self) -> str:
        """Texts, or pairs of them."""
        return "text" if self.pair == "none" else "pair"

    def card(self, model_type: str) -> CardText:
        """The labels, and how pairs are read."""
        noun = self.noun()
        title = f"{model_type} for {len(self.labels)} labels{' of pairs of texts' if noun == 'pair' else ''}"
        labels = ", ".join(f"`{in_markdown(label)}`" for label in self.labels)
        levels = f"Their levels stand between `{in_markdown(self.hierarchy_separator)}`."
        sections = (
            *_PAIRS_IN_WORDS.get(self.pair, ()),
            "## Labels",
            labels,
            *([levels] if self.hierarchy_separator else []),
        )
        limits = (
            f"It answers every {noun} with one of its labels, also a {noun} of another kind, language or time than "
            "it was trained on.",
        )
        return CardText(title, sections, limits)

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


class Classification(Task):
    """A linear layer over the vector that an extractor makes of a text."""

    config: ClassificationConfig

    def __init__(
        self,
        extractor: nn.Module,
        extractor_config: ModelConfig,
        config: ClassificationConfig,
        windows: Windows | None = None,
    ) -> None:
        super().__init__()
        if len(config.labels) < 2 and not config.multi_label:
            raise InputError(f"a classifier needs at least two labels; the data has {list(config.labels)}")
        self.extractor = extractor
        self.extractor_config = extractor_config
        self.config = config
        self.metric: str = config.metric
        self.windows = windows
        """How a text is read that is longer than the extractor reads at once; None: as it is."""
        self.dropout = Dropout(config.dropout_prob)
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

    @property
    def shared_heads(self) -> Mapping[str, str]:
        """The classifier, where it sees what other tools' classifiers see, and its outputs are the labels."""
        return {} if self.config.pair == "siamese" or self.hierarchy is not None else {"classifier": "classifier"}

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
        return self.together(*self.pooled(both).chunk(2))

    def together(self, first: Tensor, second: Tensor) -> Tensor:
        """``(batch, vector_size)``: the vector of a pair from those of its texts, or of its orders."""
        return first + second if self.config.pair == "symmetric" else pair_vector(first, second)

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
        if self.config.lm_weight:
            return self._with_language_loss(example, self.config.lm_weight)
        loss, count = self.loss(self.logits(example.batch, example.batch_b).float(), example.labels)
        return penalized(loss, count, self.extractor), count

    def counts(self, example: Example) -> Tensor:
        """The number of texts that are counted."""
        of_texts = example.labels[:, 0] if self.config.multi_label else example.labels
        return (of_texts != IGNORED_LABEL).sum()

    def _with_language_loss(self, example: Example, lm_weight: float) -> tuple[Tensor, Tensor]:
        """The task's loss and, for each counted text, ``lm_weight`` times the mean of its rows' `next_token_loss`."""
        single = example.batch_b is None
        batch = example.batch if single else one_above_the_other(example.batch, cast(TokenBatch, example.batch_b))
        features: Features = self.extractor(batch)
        vectors = features.pooler_output if single else self.together(*features.pooler_output.chunk(2))
        summed, count = self.loss(self.classify(self.dropout(vectors)).float(), example.labels)
        table: Tensor = self.extractor.word_table()  # type: ignore[operator]
        nats = next_token_loss(features.last_hidden_state, batch, table).view(-1, len(example.labels)).mean(dim=0)
        counted = example.labels.view(len(nats), -1)[:, 0] != IGNORED_LABEL
        return summed + lm_weight * (nats * counted).sum(), count

    def prepare(self, train: TokenStore) -> None:
        """Where the settings want classes weighed, weigh them by the texts that will be trained on."""
        if self.config.class_weights == "balanced":
            self.loss.weigh_by(self.gold(train), len(self.config.labels))

    def answers(self, batch: TokenBatch, batch_b: TokenBatch | None = None) -> Tensor:
        """Probabilities ``(batch, num_labels)``; they sum to 1 unless a text may have several labels."""
        return self.probabilities(self.logits(batch, batch_b).float())

    def probabilities(self, logits: Tensor) -> Tensor:
        """``(..., num_labels)`` logits to probabilities."""
        return logits.sigmoid() if self.config.multi_label else logits.softmax(dim=-1)

    def answer_store(self, store: TokenStore, device: torch.device, precision: str = "float32") -> NDArray[np.float32]:
        """``(rows, num_labels)`` probabilities."""
        return answer_rows(self, self.answers, store, device, precision)

    def logits_of_store(self, store: TokenStore, device: torch.device) -> NDArray[np.float32]:
        """``(rows, num_labels)``."""
        return answer_rows(self, self.logits, store, device, "float32")

    def example(self, store: TokenStore, rows: NDArray[np.int64]) -> Example:
        """Some rows of a store with columns ``input_ids`` and ``labels``, and those of pairs."""
        labels = store["labels"].take(rows)
        if self.config.multi_label:
            gold = torch.from_numpy(multi_hot(labels, len(self.config.labels)))
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
            return multi_hot(labels, len(self.config.labels))
        return np.concatenate(labels).astype(np.int64) if labels else np.empty(0, np.int64)

    def score(self, gold: NDArray[Any], answers: NDArray[np.float32]) -> float:
        """The value of the metric by which models are chosen."""
        if self.metric == "accuracy":
            return float(self.is_right(gold, self.decide(answers)).mean())
        # The value alone is wanted, at every look at dev; its interval would take most of the time.
        metrics = classification_metrics(
            gold, answers, multi_label=self.config.multi_label, predicted=self.decide(answers), resamples=1
        )
        return metrics[self.metric]["value"]

    def is_right(self, gold: NDArray[Any], said: Matrix) -> NDArray[np.bool_]:
        """``(rows,)``: whether all labels of a text are those said to it."""
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

    def differs_by_chance(self, gold: NDArray[Any], said: Matrix, others: Matrix) -> float:
        """The p-value of a paired test of the metric between what two models said to the same rows."""
        if self.config.metric == "accuracy":
            return mcnemar(self.is_right(gold, said), self.is_right(gold, others))
        return approximate_randomisation(gold, said, others, self.config.metric)

    @torch.no_grad()
    def take_over(self, before: Task) -> None:
        """The weights of an earlier model; of its head, the rows of the labels or nodes it knew."""
        assert isinstance(before, Classification)
        take_over_weights(self.extractor, before.extractor)
        places = [self.outputs.index(name) for name in before.outputs]
        self.classifier.weight[places] = before.classifier.weight
        self.classifier.bias[places] = before.classifier.bias


def as_classifier(task: Task, place: object) -> Classification:
    """A task that has to be a classification.

    Raises:
        InputError: it is another one.
    """
    if not isinstance(task, Classification):
        raise InputError(f"{place}: this is for classifiers, and the model there was trained to {task.config.task}")
    return task
