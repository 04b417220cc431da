"""Multiple choice: which of several answers goes with a context.

Each answer is read with its context as one text, a linear layer gives it a score, and a softmax over the answers of one
context says how likely each is (Radford et al. 2018, section 3.3; Devlin et al. 2019, section 4.4).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal, Self, Unpack, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.data.batching import FIRST, TYPES, token_batch
from wenmo.data.choices import read_choices
from wenmo.data.long_texts import LongTexts
from wenmo.data.readers import Asked
from wenmo.data.rows import Row, RowSet, Text
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL, Features, TokenBatch
from wenmo.models.config import ModelConfig
from wenmo.models.windows import Windows
from wenmo.tasks.answering import autocast, batches_of_store
from wenmo.tasks.language_loss import LM_WEIGHT, next_token_loss
from wenmo.tasks.metrics import Interval, mcnemar, wilson_interval
from wenmo.tasks.pairs import encode_texts
from wenmo.tasks.task import CardText, Columns, Example, Task, TaskConfig, take_over_weights
from wenmo.text.loading import AnyTokenizer, train_tokenizer
from wenmo.text.tokenizer_config import TokenizerConfig

LENGTHS = "choice_lengths"
"""Column of a store: how many ids each answer has with its context; the ids of all stand one after the other."""


@dataclass(frozen=True, kw_only=True)
class ChoosingConfig(TaskConfig):
    """How answers are read, and how the head is trained."""

    task: Literal["choose"] = "choose"
    metric: Literal["accuracy"] = "accuracy"
    """By which models are chosen on dev."""
    dropout_prob: float = 0.1
    """Dropout on the vector of an answer with its context."""
    markers: bool = False
    """As in `wenmo.tasks.classification`: ``[start] context [delimiter] answer [extract]``."""
    lm_weight: float | None = None
    """As in `wenmo.tasks.classification`; of a context, the mean over its answers."""

    def __post_init__(self) -> None:
        if not 0 <= self.dropout_prob < 1:
            raise ValueError(f"dropout_prob must be at least 0 and below 1; got {self.dropout_prob}")
        if self.lm_weight is not None and not 0 <= self.lm_weight < math.inf:
            raise ValueError(f"lm_weight must not be negative; got {self.lm_weight}")

    def read(self, source: str, **asked: Unpack[Asked]) -> RowSet:
        """Contexts with their choices; see `wenmo.data.choices`."""
        return read_choices(source, asked.get("encoding"))

    def asked(self, rows: Sequence[Row]) -> list[Text]:
        """Contexts, each with its choices."""
        return cast(list[Text], [(row.text, row.choices) for row in rows])

    def settled(self, rows: Sequence[Row], model: ModelConfig, before: Self | None, source: str) -> Self:
        """The settings with the weight of the language model's loss.

        Raises:
            InputError: it is not known which answers are right.
        """
        unknown = next((row for row in rows if row.right is None), None)
        if unknown is not None:
            raise InputError(f"{unknown.source}: it has no label; which choice is right has to be known to learn it")
        if before and self.markers != before.markers:
            raise InputError("task.markers: with --from, it is the model's own; leave it out")
        default = LM_WEIGHT if self.markers and model.foretells else 0.0
        return replace(self, lm_weight=default if self.lm_weight is None else self.lm_weight)

    def texts(self, rows: Iterable[Row]) -> Iterator[str]:
        """Contexts and answers."""
        return chain.from_iterable((row.text, *(row.choices or ())) for row in rows)

    def make_tokenizer(self, rows: Sequence[Row], config: TokenizerConfig) -> AnyTokenizer:
        """With a separator."""
        return train_tokenizer(self.texts(rows), replace(config, separator=True))

    def columns(self, rows: Sequence[Row], tokenizer: AnyTokenizer, reading: LongTexts) -> Columns:
        """The ids of all answers with their context, how many each has, and ``labels``."""
        texts: list[Text] = [(row.text, choice) for row in rows for choice in row.choices or ()]
        encoded = encode_texts(texts, tokenizer, "joined", reading).columns
        ends = np.cumsum([len(row.choices or ()) for row in rows])
        owned = [slice(end - len(row.choices or ()), end) for row, end in zip(rows, ends, strict=True)]
        joined = {name: [np.concatenate(ids[part]) for part in owned] for name, ids in encoded.items()}
        lengths = [np.array([len(ids) for ids in encoded[FIRST][part]], np.int32) for part in owned]
        return {**joined, LENGTHS: lengths, "labels": [[_label(row)] for row in rows]}

    def count_cut(self, store: TokenStore, reading: LongTexts) -> int:
        """Contexts with an answer that fills the limit."""
        lengths = store[LENGTHS].take(range(len(store)))
        return sum(0 < reading.max_length <= int(each.max()) for each in lengths)

    def build(self, extractor: nn.Module, model: ModelConfig, windows: Windows | None) -> "Choosing":
        """A score for each answer over the extractor."""
        if windows is not None:
            raise InputError("data.long_texts=windows: of texts that are joined the longer one is cut; leave it out")
        return Choosing(extractor, model, self)

    def noun(self) -> str:
        """What the data has many of."""
        return "context"

    def card(self, model_type: str) -> CardText:
        """How answers are read."""
        return CardText(
            f"{model_type} that chooses among answers",
            ("It reads each answer behind its context and compares how well they go together.",),
            ("It always finds one of the answers the likeliest, also where none is right.",),
        )


class Choosing(Task):
    """A linear layer that gives each answer, read with its context, a score."""

    config: ChoosingConfig

    def __init__(self, extractor: nn.Module, extractor_config: ModelConfig, config: ChoosingConfig) -> None:
        super().__init__()
        self.extractor = extractor
        self.extractor_config = extractor_config
        self.config = config
        self.metric = config.metric
        self.dropout = nn.Dropout(config.dropout_prob)
        self.score_layer = nn.Linear(extractor_config.pooler_size, 1)
        # A softmax does not see it, so it stays as it is; other tools have one, and their scores are to be the same.
        self.score_layer.bias.requires_grad_(False)

    def initialize(self, generator: torch.Generator) -> None:
        """The extractor's own; all answers start equally likely."""
        self.extractor.initialize(generator)  # type: ignore[operator]
        nn.init.zeros_(self.score_layer.weight)
        nn.init.zeros_(self.score_layer.bias)

    @property
    def shared_heads(self) -> Mapping[str, str]:
        """The scores."""
        return {"score_layer": "chooser"}

    def logits(self, vectors: Tensor, sizes: Tensor) -> Tensor:
        """The scores of answers, beside each other for each context.

        Args:
            vectors: ``(answers, size)``, those of one context one after the other.
            sizes: ``(batch,)``: how many answers each context has.

        Returns:
            ``(batch, most answers)``, minus infinity where a context has fewer.
        """
        scores = self.score_layer(self.dropout(vectors)).squeeze(1).float()
        inside = torch.arange(int(sizes.max()), device=sizes.device) < sizes.unsqueeze(1)
        return torch.full(inside.shape, -math.inf, device=scores.device).masked_scatter(inside, scores)

    def forward(self, example: Example) -> tuple[Tensor, Tensor]:
        """Cross entropy over the answers of each context, summed, with the language model's loss; and their number."""
        assert example.choice_sizes is not None, "a context comes with its choices"
        sizes = example.choice_sizes.to(example.labels.device)
        features: Features = self.extractor(example.batch)
        logits = self.logits(features.pooler_output, sizes)
        loss = F.cross_entropy(logits, example.labels, reduction="sum", ignore_index=IGNORED_LABEL)
        counted = example.labels != IGNORED_LABEL
        if self.config.lm_weight:
            table: Tensor = self.extractor.word_table()  # type: ignore[operator]
            nats = next_token_loss(features.last_hidden_state, example.batch, table)  # (answers,)
            owners = torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes)
            of_contexts = torch.zeros_like(counted, dtype=nats.dtype).index_add(0, owners, nats) / sizes
            loss = loss + self.config.lm_weight * (of_contexts * counted).sum()
        return loss, counted.sum()

    def example(self, store: TokenStore, rows: NDArray[Any]) -> Example:
        """Some rows of a store, each answer a row of the batch."""
        lengths = store[LENGTHS].take(rows)

        def answers(name: str) -> list[NDArray[Any]]:
            parts = zip(store[name].take(rows), lengths, strict=True)
            return [ids for row, each in parts for ids in np.split(row, np.cumsum(each)[:-1])]

        return Example(
            batch=token_batch(answers(FIRST), types=answers(TYPES)),
            labels=torch.from_numpy(np.concatenate(store["labels"].take(rows)).astype(np.int64)),
            choice_sizes=torch.tensor([len(each) for each in lengths]),
        )

    def answers(self, batch: TokenBatch, sizes: Tensor) -> Tensor:
        """Probabilities ``(batch, most answers)``, 0 where a context has fewer."""
        return self.logits(self.extractor(batch).pooler_output, sizes).softmax(dim=1)

    @torch.no_grad()
    def answer_store(
        self, store: TokenStore, device: torch.device, precision: str = "float32"
    ) -> list[NDArray[np.float32]]:
        """The probabilities of the answers of each row."""
        self.to(device).eval()
        found: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(store)
        for rows in batches_of_store(store):
            example = self.example(store, rows)
            assert example.choice_sizes is not None
            with autocast(device, precision):
                said = self.answers(example.batch.to(device), example.choice_sizes.to(device)).float().cpu().numpy()
            for row, values, size in zip(rows, said, example.choice_sizes.tolist(), strict=True):
                found[row] = values[:size]
        return found

    def gold(self, store: TokenStore) -> NDArray[np.int64]:
        """``(rows,)``: the place of each right answer."""
        return np.concatenate([np.empty(0, np.int64), *store["labels"].take(range(len(store)))]).astype(np.int64)

    def decide(self, answers: Sequence[NDArray[np.float32]]) -> NDArray[np.int64]:
        """``(rows,)``: the place of the likeliest answer."""
        return np.array([each.argmax() for each in answers], np.int64)

    def score(self, gold: NDArray[np.int64], answers: Sequence[NDArray[np.float32]]) -> float:
        """The share of contexts whose right answer is the likeliest."""
        return float((self.decide(answers) == gold).mean())

    def measure(self, gold: NDArray[np.int64], answers: Sequence[NDArray[np.float32]]) -> dict[str, Interval]:
        """The same with its 95 % interval."""
        return {"accuracy": wilson_interval(int((self.decide(answers) == gold).sum()), len(gold))}

    def differs_by_chance(self, gold: NDArray[np.int64], said: Any, others: Any) -> float:
        """By McNemar's test."""
        return mcnemar(said == gold, others == gold)

    @torch.no_grad()
    def take_over(self, before: Task) -> None:
        """All weights."""
        take_over_weights(self, before)


def _label(row: Row) -> int:
    return IGNORED_LABEL if row.right is None else row.right
