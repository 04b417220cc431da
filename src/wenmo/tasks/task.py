"""What a task is to the rest of the house: settings that know their data, and a module that learns and answers.

The training loop, model folders and comparisons know tasks by these two classes alone; which tasks there are stands in
`wenmo.tasks.registry`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wenmo.data.batching import FIRST, SECOND
from wenmo.data.long_texts import LongTexts
from wenmo.data.readers import Asked, read_rows
from wenmo.data.rows import Row, RowSet, Text
from wenmo.data.splits import SplitBy, split_rows
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL, TokenBatch
from wenmo.models.config import Config, ModelConfig
from wenmo.models.windows import Windows
from wenmo.tasks.metrics import Interval
from wenmo.tasks.pairs import text_of
from wenmo.text.loading import AnyTokenizer
from wenmo.text.tokenizer_config import TokenizerConfig

Columns = Mapping[str, Sequence[Any]]
"""Ragged columns of a store: a sequence of ids for each of its rows."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Example:
    """A batch with its gold answers; what is not counted is -100."""

    batch: TokenBatch
    labels: Tensor
    batch_b: TokenBatch | None = None
    """The second texts of pairs that are read each by itself."""
    decoder_input_ids: Tensor | None = None
    """What a decoder reads while it is trained."""
    word_starts: Tensor | None = None
    """``(batch, words)``: where each word begins, of models that read words in pieces; the labels are of words."""
    choice_sizes: Tensor | None = None
    """``(labels,)``: how many rows of the batch, one after the other, are the choices that each label is among."""

    def to(self, device: torch.device) -> Self:
        """The same example on another device."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: part.to(device) for name, part in parts.items() if part is not None})


@dataclass(frozen=True, kw_only=True)
class TaskConfig(Config, ABC):
    """Settings of a task, and what they say about data. Each subclass has a literal field ``task`` that names it."""

    in_folder: ClassVar[tuple[str, ...]] = ()
    """Names that `described` adds to the ``config.json`` of a model folder."""

    labels_are_numbers: ClassVar[bool] = False
    """Whether the labels of rows are read as numbers."""
    baselines: ClassVar[tuple[str, ...]] = ()
    """Models that stand in every comparison, and first: they answer in seconds."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Settings of data and training, nested, that suit the task whatever the model."""

    task: str
    metric: str
    """By which models are chosen on dev."""

    def read(self, source: str, **asked: Unpack[Asked]) -> RowSet:
        """The rows of a source that may be learnt from.

        Raises:
            InputError: nothing in it can be used; the message has the place and what to do.
        """
        return read_rows(source, **asked)

    def read_files(self, source: str, target: str, **asked: Unpack[Asked]) -> RowSet:
        """The same of two files, of which the second holds what the lines of the first shall become.

        Raises:
            InputError: the task has no use for a second file, or as `read`.
        """
        raise InputError(f"{target}: a file of targets is for translation; leave --target out, or name --task")

    def asked(self, rows: Sequence[Row]) -> list[Text]:
        """What a model is asked about rows, when its speed is measured."""
        return [text_of(row) for row in rows]

    def split(self, rows: Sequence[Row], shares: Sequence[float], *, seed: int, by: SplitBy) -> list[list[Row]]:
        """Rows in parts of these shares, the training part first, as `wenmo.data.splits.split_rows` says."""
        return [[rows[i] for i in part] for part in split_rows(rows, shares, seed=seed, by=by)]

    @abstractmethod
    def settled(self, rows: Sequence[Row], model: ModelConfig, before: Self | None, source: str) -> Self:
        """The settings with what the training rows tell, behind what the model knew that the run goes on from.

        Raises:
            InputError: nothing can be learnt from these rows, or not by this model.
        """

    @abstractmethod
    def texts(self, rows: Iterable[Row]) -> Iterable[str]:
        """Every text that a model of this task reads or writes."""

    @abstractmethod
    def make_tokenizer(self, rows: Sequence[Row], config: TokenizerConfig) -> AnyTokenizer:
        """The tokenizer of these rows."""

    @abstractmethod
    def columns(self, rows: Sequence[Row], tokenizer: AnyTokenizer, reading: LongTexts) -> Columns:
        """Rows as columns of a store, with the answers that are to be learnt.

        Raises:
            InputError: a row cannot be learnt from or judged; the message names it.
        """

    def count_cut(self, store: TokenStore, reading: LongTexts) -> int:
        """Texts of a store that fill the limit; those were cut, or just fit."""
        if not reading.max_length:
            return 0
        lengths = [store[name].lengths for name in (FIRST, SECOND) if name in store.columns]
        return int((np.max(lengths, axis=0) >= reading.max_length).sum())

    def vocab_size(self, tokenizer: AnyTokenizer) -> int:
        """Ids that a model of this task knows."""
        return tokenizer.vocab_size

    @property
    def num_labels(self) -> int:
        """Different answers to one question; 0 where they are not counted."""
        return 0

    @property
    def num_characters(self) -> int:
        """Ids of characters that a model reads which looks into words; 0 where they are not told."""
        return 0

    @property
    def compares(self) -> bool:
        """Whether the model sees two texts and compares them."""
        return False

    @abstractmethod
    def build(self, extractor: nn.Module, model: ModelConfig, windows: Windows | None) -> "Task":
        """The task over an extractor, its weights not yet initialised.

        Args:
            extractor: the model.
            model: its settings.
            windows: how a text is read that is longer than the extractor reads at once; None: as it is.
        """

    @classmethod
    def from_folder(cls, settings: Mapping[str, Any], described: Mapping[str, Any]) -> Self:
        """The settings that a model folder keeps in its recipe and its ``config.json``.

        Raises:
            KeyError, TypeError, ValueError: they do not describe this task.
        """
        return cls.from_dict(settings)

    def described(self) -> dict[str, Any]:
        """What ``config.json`` says of the task, beside the extractor's own fields."""
        return {}

    def noun(self) -> str:
        """What the data has many of."""
        return "text"

    @abstractmethod
    def card(self, model_type: str) -> "CardText":
        """What the model card says of the task."""


@dataclass(frozen=True)
class CardText:
    """The parts of a model card that only the task can tell."""

    title: str
    sections: tuple[str, ...]
    """Paragraphs between the title and the data."""
    limits: tuple[str, ...]


class Learner(nn.Module, ABC):
    """What the training loop knows of what it trains: an extractor with losses, each a mean over its own labels."""

    extractor: nn.Module

    @property
    def losses(self) -> tuple[str, ...]:
        """The names of the losses, where there are several."""
        return ("",)

    @abstractmethod
    def forward(self, example: Any) -> tuple[Tensor, Tensor]:
        """Each loss, summed over its labels, and the number of labels it counts; a single one as a plain number."""

    @abstractmethod
    def counts(self, example: Any) -> Tensor:
        """The same numbers, told from the labels alone: what an update is divided by is known before its losses."""

    def constrain(self) -> None:
        """Called after each update of the weights: bring them back to where they must be."""


class Task(Learner):
    """Head, loss, metric and decoding over an extractor."""

    config: TaskConfig
    extractor_config: ModelConfig
    metric: str
    """By which models are chosen."""
    lower_is_better: ClassVar[bool] = False
    """Of `metric`."""
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """Between which `metric` lies."""

    @property
    def shared_heads(self) -> Mapping[str, str]:
        """Modules of the task that other tools have too: their names here, and in `wenmo.interchange.checkpoint`."""
        return {}

    @abstractmethod
    def initialize(self, generator: torch.Generator) -> None:
        """First weights."""

    @abstractmethod
    def forward(self, example: Example) -> tuple[Tensor, Tensor]:
        """The summed loss and the number of labels it counts."""

    def counts(self, example: Example) -> Tensor:
        """The number of labels that are counted."""
        return (example.labels != IGNORED_LABEL).sum()

    @abstractmethod
    def example(self, store: TokenStore, rows: NDArray[Any]) -> Example:
        """Some rows of a store as tensors."""

    @abstractmethod
    def gold(self, store: TokenStore) -> Any:
        """The right answers of a store, as `score` takes them."""

    @abstractmethod
    def answer_store(self, store: TokenStore, device: torch.device, precision: str = "float32") -> Any:
        """The model's answers to every row of a store, in its order, as `score` takes them.

        The module is in evaluation mode behind it.
        """

    @abstractmethod
    def score(self, gold: Any, answers: Any) -> float:
        """The value of ``metric``."""

    @abstractmethod
    def measure(self, gold: Any, answers: Any) -> dict[str, Interval]:
        """Every metric with its 95 % interval."""

    def look(self, store: TokenStore, device: torch.device, precision: str) -> float:
        """The value of ``metric`` on a store while training goes on; a task that answers slowly may hurry here."""
        return self.score(self.gold(store), self.answer_store(store, device, precision))

    def decide(self, answers: Any) -> Any:
        """What is said in the end, one item a row; the answers themselves unless a decision stands between."""
        return answers

    @abstractmethod
    def differs_by_chance(self, gold: Any, said: Any, others: Any) -> float:
        """The p-value of a paired test of ``metric`` between what two models said to the same rows."""

    def take_tokenizer(self, tokenizer: AnyTokenizer) -> None:
        """Called when the task is made: what its ids stand for, where it writes texts."""

    def prepare(self, train: TokenStore) -> None:
        """Called before training: learn from the training rows what the loss needs, such as how rare labels are."""

    @torch.no_grad()
    def take_over(self, before: "Task") -> None:
        """The weights of an earlier model of the same task.

        Raises:
            InputError: the two do not fit.
        """
        take_over_weights(self, before)


def take_over_weights(new: nn.Module, old: nn.Module) -> None:
    """Copy every weight.

    Raises:
        InputError: names or shapes differ.
    """
    try:
        new.load_state_dict(old.state_dict())
    except RuntimeError as error:
        raise InputError("with --from, the sizes of the model are those of its folder; leave model.* out") from error


def in_markdown(text: str) -> str:
    """Text that may stand in a line of Markdown: no line breaks, no ticks, no tags."""
    return " ".join(text.split()).replace("`", "'").replace("<", "&lt;")
