"""Translation, or any text to text: a model that reads one text is taught to write another.

While it is taught, the decoder reads the right answer and not its own (teacher forcing), and each token of the answer,
its end among them, costs cross entropy with smoothed labels: of Szegedy et al. 2016, as in torch, (1 - ε) for the right
token and ε / K for each of all K tokens. Its answers are found by beam search (`wenmo.tasks.beam_search`).

Models are chosen on dev by BLEU of greedy answers, not by the loss: with a small training set the loss on dev rises
while translations still get better. Greedy answers take a fraction of the time of a beam and rank models the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar, Literal, Self, Unpack, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wenmo.data.batching import TARGET, store_batch, token_batch
from wenmo.data.long_texts import LongTexts
from wenmo.data.parallel import read_parallel
from wenmo.data.readers import Asked
from wenmo.data.rows import Row, RowSet
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL, TokenBatch
from wenmo.models.config import ModelConfig
from wenmo.models.cross_entropy import summed_cross_entropy
from wenmo.models.windows import Windows
from wenmo.models.writing import Writer
from wenmo.tasks import translation_metrics
from wenmo.tasks.answering import autocast, batches_of_store
from wenmo.tasks.beam_search import Hypothesis, beam_search
from wenmo.tasks.metrics import Interval
from wenmo.tasks.task import CardText, Columns, Example, Task, TaskConfig
from wenmo.text.loading import AnyTokenizer, WritingTokenizer, train_tokenizer, writes
from wenmo.text.ngrams import Ids
from wenmo.text.tokenizer_config import CODE_POINTS, SUBWORDS, TokenizerConfig


@dataclass(frozen=True, kw_only=True)
class TranslationConfig(TaskConfig):
    """How writing is learnt, and how answers are searched for."""

    defaults: ClassVar[dict[str, Any]] = {
        "data": {"tokenizer": {"segmenter": "bpe", "vocab_size": 8000, "lowercase": False, "fold_width": False}}
    }

    task: Literal["translate"] = "translate"
    metric: Literal["bleu", "chrf"] = "bleu"
    """By which models are chosen on dev."""
    label_smoothing: float = 0.1
    """This share of a token's label is spread evenly over all tokens (Vaswani et al. 2017, section 5.4)."""
    num_beams: int = 4
    """Hypotheses kept while searching for an answer; 1: greedy."""
    length_penalty: float = 0.6
    """The exponent of Wu et al. 2016, equation 14; 0: none, so that short answers are favoured."""
    max_extra_tokens: int = 50
    """How many tokens an answer may have more than its text (Vaswani et al. 2017, section 6.1)."""

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1; got {self.label_smoothing}")
        if self.num_beams < 1 or self.max_extra_tokens < 0 or self.length_penalty < 0:
            raise ValueError(
                f"num_beams is at least 1 (got {self.num_beams}), max_extra_tokens at least 0 (got "
                f"{self.max_extra_tokens}) and length_penalty at least 0 (got {self.length_penalty})"
            )

    def read(self, source: str, **asked: Unpack[Asked]) -> RowSet:
        """Texts with their targets from one table; see `wenmo.data.parallel`."""
        return read_parallel(source, **asked)

    def read_files(self, source: str, target: str, **asked: Unpack[Asked]) -> RowSet:
        """Texts with their targets from two files."""
        return read_parallel(source, target, **asked)

    def settled(self, rows: Sequence[Row], model: ModelConfig, before: Self | None, source: str) -> Self:
        """The settings as they are: the data tells nothing more."""
        return self

    def texts(self, rows: Iterable[Row]) -> Iterator[str]:
        """Texts and targets: both sides have one vocabulary."""
        return chain.from_iterable((row.text, row.target or "") for row in rows)

    def make_tokenizer(self, rows: Sequence[Row], config: TokenizerConfig) -> WritingTokenizer:
        """Of both sides, with [BOS] and [EOS]."""
        able = (*SUBWORDS, CODE_POINTS)
        if config.segmenter not in able:
            raise InputError(
                f"data.tokenizer={config.segmenter}: a translation is put together of its tokens again, which "
                f"{', '.join(able)} can do"
            )
        tokenizer = train_tokenizer(self.texts(rows), replace(config, boundaries=True))
        assert writes(tokenizer), "these segmenters give texts to ids"
        return tokenizer

    def columns(self, rows: Sequence[Row], tokenizer: AnyTokenizer, reading: LongTexts) -> Columns:
        """``input_ids`` and ``target_ids``, each with its end; a long text is cut, a long target is refused."""
        sources = tokenizer.encode_batch(row.text for row in rows)
        targets = tokenizer.encode_batch(_target(row) for row in rows)
        for row, ids in zip(rows, targets, strict=True):
            if reading.max_length and len(ids) >= reading.max_length:
                raise InputError(
                    f"{row.source}: its target has {len(ids):,} tokens and an end, and data.max_length is "
                    f"{reading.max_length:,}; half an answer would teach to stop too early: shorten it, leave the row "
                    f"out, or raise the limit"
                )
        room = LongTexts(max(1, reading.max_length - 1), reading.how) if reading.max_length else reading
        return {
            "input_ids": [with_end(room.cut(ids), tokenizer) for ids in sources],
            TARGET: [with_end(ids, tokenizer) for ids in targets],
        }

    def build(self, extractor: nn.Module, model: ModelConfig, windows: Windows | None) -> "Translation":
        """The model is all there is; what it says is found by search."""
        if windows is not None:
            raise InputError("data.long_texts=windows: a translation is made of one text; leave it out")
        return Translation(extractor, model, self)

    def card(self, model_type: str) -> CardText:
        """How answers are found."""
        found = "greedily" if self.num_beams == 1 else f"with a beam of {self.num_beams}"
        return CardText(
            f"{model_type} that turns one text into another",
            (f"Answers are found {found}; the length penalty is {self.length_penalty:g}.",),
            (
                "It writes something to every text, also to one of another kind or language than it was trained on, "
                "and it may say fluently what is not in the text.",
            ),
        )


class Translation(Task):
    """An encoder and a decoder that learn to write the targets of texts."""

    config: TranslationConfig
    bounds: ClassVar[tuple[float, float]] = (0.0, 100.0)

    def __init__(self, extractor: nn.Module, extractor_config: ModelConfig, config: TranslationConfig) -> None:
        super().__init__()
        self.extractor = extractor
        self.extractor_config = extractor_config
        self.config = config
        self.metric = config.metric
        self._tokenizer: WritingTokenizer | None = None

    @property
    def writer(self) -> Writer:
        """The model as it is taught and asked."""
        return cast(Writer, self.extractor)

    @property
    def tokenizer(self) -> WritingTokenizer:
        """What the ids stand for."""
        assert self._tokenizer is not None, "a task that writes texts is given its tokenizer when it is made"
        return self._tokenizer

    def take_tokenizer(self, tokenizer: AnyTokenizer) -> None:
        """See `Task`."""
        if not writes(tokenizer) or tokenizer.eos_token_id is None:
            raise InputError("a translation needs a tokenizer that writes, with [BOS] and [EOS]; train the model anew")
        self._tokenizer = tokenizer

    def initialize(self, generator: torch.Generator) -> None:
        """The model's own."""
        self.extractor.initialize(generator)  # type: ignore[operator]

    def forward(self, example: Example) -> tuple[Tensor, Tensor]:
        """The loss, summed over the counted tokens, and their number; logits are made of those alone."""
        assert example.decoder_input_ids is not None, "a translation is taught with its target"
        read = example.decoder_input_ids
        hidden_states = self.writer.teach(example.batch, read, (read != self.tokenizer.pad_token_id).long())
        counted = example.labels != IGNORED_LABEL
        logits = self.writer.logits(hidden_states[counted])  # (counted tokens, vocab_size)
        return summed_cross_entropy(logits, example.labels[counted], self.config.label_smoothing), counted.sum()

    def example(self, store: TokenStore, rows: NDArray[Any]) -> Example:
        """Texts, targets behind [BOS], and the targets themselves as labels."""
        targets = store[TARGET].take(rows)
        begin = np.array([self.tokenizer.bos_token_id], np.int32)
        read = token_batch([np.concatenate([begin, ids[:-1]]) for ids in targets])
        written = token_batch(targets)
        assert read.input_ids is not None and written.input_ids is not None
        labels = written.input_ids.long().masked_fill(written.attention_mask == 0, IGNORED_LABEL)
        return Example(batch=store_batch(store, rows), labels=labels, decoder_input_ids=read.input_ids)

    def answer(self, batch: TokenBatch, num_beams: int, length_penalty: float | None = None) -> list[list[Hypothesis]]:
        """The best answers to each text, as ids."""
        tokenizer = self.tokenizer
        assert tokenizer.bos_token_id is not None and tokenizer.eos_token_id is not None
        return beam_search(
            self.writer,
            batch,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            limits=self.limits(batch.num_tokens.tolist()),
            num_beams=num_beams,
            length_penalty=self.config.length_penalty if length_penalty is None else length_penalty,
            never=(tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id),
        )

    def limits(self, lengths: Sequence[int]) -> list[int]:
        """Most tokens of the answers to texts of these lengths."""
        longest = getattr(self.extractor_config, "max_position_embeddings", None)
        limits = (length + self.config.max_extra_tokens for length in lengths)
        return [max(1, min(limit, longest or limit)) for limit in limits]

    def answer_store(self, store: TokenStore, device: torch.device, precision: str = "float32") -> list[str]:
        """The best translation of each row."""
        return self._answer_store(store, device, precision, self.config.num_beams)

    def look(self, store: TokenStore, device: torch.device, precision: str) -> float:
        """The metric of greedy answers."""
        return self.score(self.gold(store), self._answer_store(store, device, precision, 1))

    def _answer_store(self, store: TokenStore, device: torch.device, precision: str, num_beams: int) -> list[str]:
        self.to(device).eval()
        ids: list[list[int]] = [[] for _ in range(len(store))]
        for rows in batches_of_store(store):
            with autocast(device, precision):
                answers = self.answer(store_batch(store, rows).to(device), num_beams)
            for row, hypotheses in zip(rows, answers, strict=True):
                ids[row] = hypotheses[0].ids
        return self.tokenizer.decode_batch(ids)

    def gold(self, store: TokenStore) -> list[str]:
        """The targets as texts."""
        return self.tokenizer.decode_batch(store[TARGET].take(range(len(store))))

    def score(self, gold: Sequence[str], answers: Sequence[str]) -> float:
        """The value of the metric by which models are chosen."""
        return (translation_metrics.bleu if self.metric == "bleu" else translation_metrics.chrf)(gold, answers)

    def measure(self, gold: Sequence[str], answers: Sequence[str]) -> dict[str, Interval]:
        """BLEU, BLEU without regard to capitals, and chrF."""
        return translation_metrics.translation_metrics(gold, answers)

    def differs_by_chance(self, gold: Sequence[str], said: Sequence[str], others: Sequence[str]) -> float:
        """By approximate randomisation."""
        return translation_metrics.differs_by_chance(self.metric, gold, said, others)


def with_end(ids: Ids, tokenizer: AnyTokenizer) -> Ids:
    """The ids with [EOS] behind them."""
    return np.append(ids, np.int32(cast(int, tokenizer.eos_token_id))).astype(np.int32)


def _target(row: Row) -> str:
    if row.target is None:
        raise InputError(f"{row.source}: it has no target; a translation is learnt from texts with their translations")
    return row.target
