"""Similarity: how alike two texts are in meaning, as a number, over any extractor.

``siamese``: the cosine of the vectors of both texts, learnt by its squared error, so that a text's vector can be kept
and compared with any other (Reimers and Gurevych, EMNLP 2019, https://arxiv.org/abs/1908.10084, section 3). ``joined``:
both texts are read as one, and the number is a linear function of its vector (Devlin et al., NAACL 2019, STS-B).
Numbers of any scale are brought to 0 to 1; labels of yes and no are 1 and 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.data.batching import second_batch, store_batch
from wenmo.data.long_texts import LongTexts
from wenmo.data.rows import Row
from wenmo.data.splits import SplitBy
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL, TokenBatch
from wenmo.models.config import ModelConfig
from wenmo.models.dropout import Dropout
from wenmo.models.pooling import Pooling, pool
from wenmo.models.windows import Windows
from wenmo.tasks.answering import answer_rows
from wenmo.tasks.correlation import (
    accuracy_at,
    best_threshold,
    correlation_metrics,
    pearson,
    spearman,
    swapped_by_chance,
)
from wenmo.tasks.losses import penalized
from wenmo.tasks.metrics import Interval
from wenmo.tasks.pairs import (
    encode_texts,
    one_above_the_other,
    pair_vector,
    refuse_other_kind,
    resolved_pair,
    single_texts,
    text_of,
)
from wenmo.tasks.task import CardText, Columns, Example, Task, TaskConfig
from wenmo.text.loading import AnyTokenizer, train_tokenizer
from wenmo.text.tokenizer_config import TokenizerConfig

Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SimilarityConfig(TaskConfig):
    """How two texts are read, and on which scale people judged them."""

    labels_are_numbers: ClassVar[bool] = True
    in_folder: ClassVar[tuple[str, ...]] = ("pair",)

    task: Literal["similarity"] = "similarity"
    pair: Literal["siamese", "joined"] = "siamese"
    """Each text by itself and the cosine of both vectors, or both as one text."""
    pooling: Pooling | Literal["own"] = "own"
    """What makes the vector of a text: the model's own, or the mean, maximum, first or last of those of its tokens."""
    low: float | None = None
    """The number of texts that have nothing in common; left out: the smallest in the training data."""
    high: float | None = None
    """The number of texts that say the same; left out: the largest in the training data."""
    threshold: float | None = None
    """From which similarity, between 0 and 1, the answer is yes; chosen on dev where the data says yes and no."""
    dropout_prob: float = 0.1
    """Dropout on the vector of a text."""
    metric: Literal["spearman", "pearson"] = "spearman"
    """By which models are chosen on dev."""

    def __post_init__(self) -> None:
        if not 0 <= self.dropout_prob < 1:
            raise ValueError(f"dropout_prob must be at least 0 and below 1; got {self.dropout_prob}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"task.low must be below task.high; got {self.low} and {self.high}")

    def settled(self, rows: Sequence[Row], model: ModelConfig, before: Self | None, source: str) -> Self:
        """The settings with the scale of the numbers.

        Raises:
            InputError: rows are no pairs, a label is no number, or all are the same.
        """
        if before is not None:
            return replace(self, pair=before.pair, pooling=before.pooling, low=before.low, high=before.high)
        if resolved_pair(self.pair, rows, "siamese") == "none":
            raise InputError(f"{source}: similarity is of pairs; bring the columns text_a and text_b")
        found = [number_of(row) for row in rows]
        low = min(found) if self.low is None else self.low
        high = max(found) if self.high is None else self.high
        if low >= high:
            raise InputError(f"{source}: every pair has the number {low:g}; there is nothing to learn from that")
        return replace(self, low=low, high=high)

    def split(self, rows: Sequence[Row], shares: Sequence[float], *, seed: int, by: SplitBy) -> list[list[Row]]:
        """As of labelled texts where there are two numbers; others are no kinds of which each part wants its share."""
        if len({row.label for row in rows}) <= 2:
            return super().split(rows, shares, seed=seed, by=by)
        plain = [replace(row, label=None) for row in rows]
        labelled = dict(zip(map(id, plain), rows, strict=True))
        return [[labelled[id(row)] for row in part] for part in super().split(plain, shares, seed=seed, by=by)]

    def texts(self, rows: Iterable[Row]) -> Iterable[str]:
        """Both texts of each pair."""
        return single_texts(list(rows))

    def make_tokenizer(self, rows: Sequence[Row], config: TokenizerConfig) -> AnyTokenizer:
        """With a separator where pairs are joined."""
        return train_tokenizer(self.texts(rows), replace(config, separator=self.pair == "joined"))

    def columns(self, rows: Sequence[Row], tokenizer: AnyTokenizer, reading: LongTexts) -> Columns:
        """The ids as `wenmo.tasks.pairs.encode_texts` has them, and ``labels``: the bits of a number from 0 to 1."""
        for row in rows:
            refuse_other_kind(text_of(row), self.pair, row.source)
        texts = encode_texts([text_of(row) for row in rows], tokenizer, self.pair, reading).columns
        numbers = np.array([self.scaled(number_of(row)) for row in rows], np.float32)
        return {**texts, "labels": list(numbers.view(np.int32).reshape(-1, 1))}

    def scaled(self, number: float) -> float:
        """From the scale of the data to 0 to 1."""
        assert self.low is not None and self.high is not None, "the scale is settled before rows are encoded"
        return (number - self.low) / (self.high - self.low)

    @property
    def compares(self) -> bool:
        """Whether both texts of a pair are read by themselves."""
        return self.pair == "siamese"

    def build(self, extractor: nn.Module, model: ModelConfig, windows: Windows | None) -> "Similarity":
        """A cosine, or a number of one vector, over the extractor."""
        return Similarity(extractor, model, self, windows)

    def described(self) -> dict[str, Any]:
        """How pairs are read."""
        return {"pair": self.pair}

    def noun(self) -> str:
        """Pairs."""
        return "pair"

    def card(self, model_type: str) -> CardText:
        """How it compares, and on which scale."""
        how = "the cosine of their vectors" if self.compares else "a number read off both as one text"
        return CardText(
            f"{model_type} for the similarity of texts",
            (
                f"It says how alike two texts are, from 0 to 1, by {how}. In the data, {self.low:g} stands for nothing "
                f"in common and {self.high:g} for the same.",
            ),
            ("What counts as alike is what the training data calls so.",),
        )


class Similarity(Task):
    """One number for two texts."""

    config: SimilarityConfig
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def __init__(
        self,
        extractor: nn.Module,
        extractor_config: ModelConfig,
        config: SimilarityConfig,
        windows: Windows | None = None,
    ) -> None:
        super().__init__()
        self.extractor, self.extractor_config = extractor, extractor_config
        self.config, self.windows = config, windows
        self.metric: str = config.metric
        self.dropout = Dropout(config.dropout_prob)
        size = extractor_config.pooler_size if config.pooling == "own" else extractor_config.hidden_size
        self.regression = None if config.compares else nn.Linear(size, 1)

    compares = False
    """A vector of two texts is that of `wenmo.tasks.pairs.pair_vector`, as of classifiers."""

    def initialize(self, generator: torch.Generator) -> None:
        """The extractor's own; a regression starts at the middle of the scale."""
        self.extractor.initialize(generator)  # type: ignore[operator]
        if self.regression is not None:
            nn.init.normal_(self.regression.weight, std=0.02, generator=generator)
            nn.init.constant_(self.regression.bias, 0.5)

    def pooled(self, batch: TokenBatch) -> Tensor:
        """``(batch, size)``: the vector of each text."""

        def read(texts: TokenBatch) -> Tensor:
            features = self.extractor(texts)
            if self.config.pooling == "own":
                own: Tensor = features.pooler_output
                return own
            return pool(features.last_hidden_state, texts.attention_mask, self.config.pooling)

        return self.windows.vectors(batch, read) if self.windows else read(batch)

    def vectors(self, batch: TokenBatch, batch_b: TokenBatch | None = None) -> Tensor:
        """``(batch, size)``: the vector of each text, or of each pair."""
        if batch_b is None:
            return self.pooled(batch)
        return self.together(*self.pooled(one_above_the_other(batch, batch_b)).chunk(2))

    def together(self, first: Tensor, second: Tensor) -> Tensor:
        """``(batch, 4 * size)``: the vector of a pair from those of its texts; what is compared are the two."""
        return pair_vector(first, second)

    def answers(self, batch: TokenBatch, batch_b: TokenBatch | None = None) -> Tensor:
        """``(batch,)``: a cosine from -1 to 1, or a number about 0 to 1."""
        if batch_b is None:
            assert self.regression is not None, "siamese pairs are two batches"
            number: Tensor = self.regression(self.dropout(self.pooled(batch))).squeeze(1)
            return number
        both = self.dropout(self.pooled(one_above_the_other(batch, batch_b)))
        return F.cosine_similarity(*both.float().chunk(2))

    def forward(self, example: Example) -> tuple[Tensor, Tensor]:
        """The squared error, summed over the counted pairs, and their number."""
        counted = example.labels != IGNORED_LABEL
        error = self.answers(example.batch, example.batch_b).float() - example.labels
        loss, count = error.square().masked_fill(~counted, 0).sum(), counted.sum()
        return penalized(loss, count, self.extractor), count

    def example(self, store: TokenStore, rows: NDArray[Any]) -> Example:
        """Some pairs of a store as tensors."""
        labels = torch.from_numpy(_numbers(store, rows).astype(np.float32))
        return Example(batch=store_batch(store, rows), batch_b=second_batch(store, rows), labels=labels)

    def gold(self, store: TokenStore) -> Numbers:
        """``(rows,)``: numbers from 0 to 1."""
        return _numbers(store, np.arange(len(store)))

    def answer_store(self, store: TokenStore, device: torch.device, precision: str = "float32") -> NDArray[np.float32]:
        """``(rows,)``."""
        return answer_rows(self, self.answers, store, device, precision)

    def score(self, gold: Numbers, answers: NDArray[Any]) -> float:
        """The correlation by which models are chosen."""
        return spearman(gold, answers) if self.metric == "spearman" else pearson(gold, answers)

    def measure(self, gold: Numbers, answers: NDArray[Any]) -> dict[str, Interval]:
        """Both correlations, and the accuracy at the threshold where there is one."""
        return measured(gold, answers, self.config.threshold)

    def choose_threshold(self, dev: TokenStore, device: torch.device) -> None:
        """Where dev says yes and no: from which similarity on the answer is yes."""
        gold = self.gold(dev)
        if is_yes_and_no(gold):
            chosen = best_threshold(gold, self.answer_store(dev, device))
            self.config = replace(self.config, threshold=chosen)

    def differs_by_chance(self, gold: Numbers, said: NDArray[Any], others: NDArray[Any]) -> float:
        """The p-value of a paired test of the metric between what two models said to the same pairs."""
        return swapped_by_chance(gold, said, others, ranked=self.metric == "spearman")


def measured(gold: Numbers, answers: NDArray[Any], threshold: float | None) -> dict[str, Interval]:
    """Pearson and Spearman, and of yes and no the accuracy at a threshold that was chosen on other rows."""
    metrics = correlation_metrics(gold, answers)
    metrics = {name: metrics[name] for name in ("spearman", "pearson")}
    if threshold is None or not is_yes_and_no(gold):
        return metrics
    return metrics | {"accuracy": accuracy_at(gold, answers, threshold)}


def is_yes_and_no(gold: Numbers) -> bool:
    """Whether all numbers are 0 or 1."""
    return bool(np.isin(gold, (0.0, 1.0)).all())


def number_of(row: Row) -> float:
    """The number that people gave a pair.

    Raises:
        InputError: it has none, or several labels, or something else.
    """
    try:
        number = float(row.label)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise InputError(
            f"{row.source}: the label {row.label!r} is no number; similarity wants one, such as 0, 1 or 3.8"
        )
    return number


def _numbers(store: TokenStore, rows: NDArray[Any]) -> Numbers:
    bits = np.concatenate(store["labels"].take(rows)).astype(np.int32) if len(rows) else np.empty(0, np.int32)
    return bits.view(np.float32).astype(np.float64)
