"""Language models: what comes next, at every token; and texts that are written that way.

A **stream** is one long text, such as a book, cut into windows of ``data.max_length`` tokens; each token but the first
is foretold once, from those before it in its window. **Texts** are foretold each from its beginning to its end, behind
a token that says *begin*, or behind one that says of which label the text is.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self, Unpack, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.data.batching import token_batch
from wenmo.data.encoding import read_lines
from wenmo.data.long_texts import LongTexts
from wenmo.data.readers import PACKED, Asked, read_rows
from wenmo.data.rows import Row, RowSet, Text
from wenmo.data.splits import SplitBy
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL
from wenmo.models.config import ModelConfig
from wenmo.models.cross_entropy import summed_cross_entropy
from wenmo.models.dropout import Dropout
from wenmo.models.windows import Windows
from wenmo.tasks.answering import autocast, batches_of_store
from wenmo.tasks.metrics import Interval
from wenmo.tasks.ratios import paired_permutation, ratio_interval
from wenmo.tasks.sampling import Sampling
from wenmo.tasks.task import CardText, Columns, Example, Task, TaskConfig, in_markdown, take_over_weights
from wenmo.text.loading import AnyTokenizer, WritingTokenizer, train_tokenizer, writes
from wenmo.text.tokenizer_config import CODE_POINTS, TokenizerConfig
from wenmo.text.vocabulary import SPECIAL_TOKENS

Unit = Literal["auto", "stream", "text"]


@dataclass(frozen=True, kw_only=True)
class GenerationConfig(TaskConfig):
    """What is foretold, and behind what."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "data": {
            "tokenizer": {"segmenter": CODE_POINTS, "lowercase": False, "fold_width": False},
            "max_length": 128,
            "bucket": 0,
        }
    }

    task: Literal["generate"] = "generate"
    metric: Literal["cross_entropy"] = "cross_entropy"
    """In nats a token; by which models are chosen on dev."""
    unit: Unit = "auto"
    """``stream``: one long text; ``text``: each row has a beginning and an end. ``auto``: a .txt file is a stream."""
    labels: tuple[str, ...] = ()
    """A text may be asked for by its label. Empty: taken from the training data, where it has labels."""
    dropout_prob: float = 0.0
    """Dropout on the states that the next token is foretold from."""

    def __post_init__(self) -> None:
        if not 0 <= self.dropout_prob < 1:
            raise ValueError(f"dropout_prob must be at least 0 and below 1; got {self.dropout_prob}")

    def read(self, source: str, **asked: Unpack[Asked]) -> RowSet:
        """One row for a stream, with its line ends; else a row a text, with or without a label."""
        if self.unit == "stream" or (self.unit == "auto" and is_plain_text(source)):
            notes: list[str] = []
            lines = read_lines(source, encoding=asked.get("encoding"), tell=notes.append)
            text = "".join(f"{line.removesuffix(chr(13))}\n" for line in lines)
            if len(text) < 2 or text.isspace():
                raise InputError(f"{source}: there is no text to learn from")
            return RowSet([Row(text, source=f"{source}:1")], notes=notes)
        return read_rows(source, **asked, require_label=False)

    def asked(self, rows: Sequence[Row]) -> list[Text]:
        """To go on behind nothing, or with a stream behind its beginning: what is written takes the time."""
        return ["" if self.unit == "text" else row.text.lstrip()[:8] for row in rows[:20]]

    def split(self, rows: Sequence[Row], shares: Sequence[float], *, seed: int, by: SplitBy) -> list[list[Row]]:
        """A stream is cut where a share of its characters ends, the first part first."""
        if len(rows) > 1 or self.unit == "text":
            return super().split(rows, shares, seed=seed, by=by)
        text = rows[0].text
        cuts = [0, *(int(len(text) * share) for share in np.cumsum(shares[:-1]).round(9)), len(text)]
        parts = [text[begin:end] for begin, end in pairwise(cuts)]
        return [[replace(rows[0], text=part)] if len(part) > 1 else [] for part in parts]

    def settled(self, rows: Sequence[Row], model: ModelConfig, before: Self | None, source: str) -> Self:
        """The settings with the unit and the labels of the rows.

        Raises:
            InputError: the model reads both ways, or a text has several labels.
        """
        if getattr(model, "bidirectional", False):
            raise InputError(
                "a model that reads from both ends sees what it should foretell; set model.bidirectional=false, or "
                "take lstm, gru, rnn or gpt2"
            )
        unit: Unit = ("stream" if len(rows) == 1 else "text") if self.unit == "auto" else self.unit
        if any(isinstance(row.label, tuple) for row in rows):
            raise InputError(f"{source}: texts are written behind one label at most, and rows have several")
        known = before.labels if before else self.labels
        new = sorted({str(row.label) for row in rows if row.label is not None} - set(known))
        if before and (new or unit != before.unit):
            what = f"the label {new[0]!r}" if new else f"task.unit={unit}"
            raise InputError(f"{source}: with --from, texts are written as before, and {what} is new; train anew")
        return replace(self, unit=unit, labels=(*known, *new) if unit == "text" else ())

    def texts(self, rows: Iterable[Row]) -> Iterable[str]:
        """The texts."""
        return (row.text for row in rows)

    def make_tokenizer(self, rows: Sequence[Row], config: TokenizerConfig) -> AnyTokenizer:
        """Characters or subwords; texts have a beginning and an end."""
        if config.segmenter in ("auto", "characters"):
            config = replace(config, segmenter=CODE_POINTS)
        if config.segmenter != CODE_POINTS and not config.has_subwords:
            raise InputError(
                f"data.tokenizer.segmenter={config.segmenter}: of its tokens no text can be put together again; use "
                f"{CODE_POINTS}, bpe or unigram"
            )
        return train_tokenizer(self.texts(rows), replace(config, boundaries=self.unit == "text"))

    def vocab_size(self, tokenizer: AnyTokenizer) -> int:
        """A label is a token behind all others."""
        return tokenizer.vocab_size + len(self.labels)

    def columns(self, rows: Sequence[Row], tokenizer: AnyTokenizer, reading: LongTexts) -> Columns:
        """``input_ids``, at each the next one in ``labels``, and how many ``characters`` a row foretells."""
        assert writes(tokenizer)
        encoded = tokenizer.encode_batch(self.texts(rows))
        if self.unit == "stream":
            length = reading.max_length or max(map(len, encoded))
            pieces = [ids[i : i + length + 1] for ids in encoded for i in range(0, len(ids) - 1, length)]
        else:
            end = [self._last_token(tokenizer)]
            most = reading.max_length or max((len(ids) for ids in encoded), default=0) + 1
            pieces = [
                np.array([self.first_token(row.label, tokenizer), *ids[:most], *end[: most - len(ids)]], np.int32)
                for row, ids in zip(rows, encoded, strict=True)
            ]
        characters = [[max(1, len(text))] for text in tokenizer.decode_batch(piece[1:] for piece in pieces)]
        return {
            "input_ids": [piece[:-1] for piece in pieces],
            "labels": [piece[1:] for piece in pieces],
            "characters": characters,
        }

    def first_token(self, label: str | tuple[str, ...] | None, tokenizer: WritingTokenizer) -> int:
        """What a text begins behind.

        Raises:
            InputError: the label is not known.
        """
        if label is None:
            self._last_token(tokenizer)
            return cast(int, tokenizer.bos_token_id)
        if label not in self.labels:
            known = ", ".join(self.labels[:20]) or "none"
            raise InputError(f"the label {label!r} was not seen in training; known: {known}")
        return tokenizer.vocab_size + self.labels.index(str(label))

    def _last_token(self, tokenizer: WritingTokenizer) -> int:
        """What a text ends with.

        Raises:
            InputError: the tokenizer has nothing for the ends of texts.
        """
        if tokenizer.bos_token_id is None or tokenizer.eos_token_id is None:
            raise InputError(
                "the checkpoint's vocabulary has no tokens for the beginning and the end of a text; learn from one "
                "stream: a .txt file, or task.unit=stream"
            )
        return tokenizer.eos_token_id

    def count_cut(self, store: TokenStore, reading: LongTexts) -> int:
        """Nothing of a stream is left out."""
        return 0 if self.unit == "stream" else super().count_cut(store, reading)

    def build(self, extractor: nn.Module, model: ModelConfig, windows: Windows | None) -> "Generation":
        """A language model."""
        if windows is not None:
            raise InputError("data.long_texts=windows: what comes next has no windows; leave it out")
        return Generation(extractor, model, self)

    def card(self, model_type: str) -> CardText:
        """What it writes, and behind what."""
        what = "one stream of text" if self.unit == "stream" else "texts from their beginning to their end"
        labels = ", ".join(f"`{in_markdown(label)}`" for label in self.labels)
        return CardText(
            f"{model_type} that writes on",
            (f"A language model of {what}.", *([f"A text can be asked for by its label: {labels}."] if labels else [])),
            (
                "What it writes sounds like its training data; nothing makes it true.",
                "It can repeat passages of its training data word for word.",
            ),
        )


class Foretold(NamedTuple):
    """How likely some rows were to a model; the columns of what `Generation.answer_store` gives."""

    nats: NDArray[np.float64]
    """``(rows,)``: minus the log-probability of a row's tokens."""
    tokens: NDArray[np.float64]


class Generation(Task):
    """What comes next, foretold from the state at each token."""

    lower_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    config: GenerationConfig

    def __init__(self, extractor: nn.Module, extractor_config: ModelConfig, config: GenerationConfig) -> None:
        super().__init__()
        self.extractor = extractor
        self.extractor_config = extractor_config
        self.config = config
        self.metric = config.metric
        self.dropout = Dropout(config.dropout_prob)
        tied = getattr(extractor_config, "tie_word_embeddings", False)
        self.output = None if tied else nn.Linear(extractor_config.hidden_size, extractor_config.vocab_size)
        self._never = list(range(len(SPECIAL_TOKENS)))

    @property
    def shared_heads(self) -> Mapping[str, str]:
        """An output of its own; a tied one is the extractor's table."""
        return {} if self.output is None else {"output": "causal_lm"}

    def initialize(self, generator: torch.Generator) -> None:
        """The extractor's own; an output of its own starts at zero: every token is as likely as any other."""
        self.extractor.initialize(generator)  # type: ignore[operator]
        if self.output is not None:
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)

    def logits(self, states: Tensor) -> Tensor:
        """``(..., hidden_size)`` to ``(..., vocab_size)``."""
        if self.output is None:
            return F.linear(states, self.extractor.word_table())  # type: ignore[operator]
        logits: Tensor = self.output(states)
        return logits

    def forward(self, example: Example) -> tuple[Tensor, Tensor]:
        """Cross entropy, summed over all tokens that are foretold, and their number."""
        counted = example.labels != IGNORED_LABEL
        states = self.dropout(self.extractor(example.batch).last_hidden_state)
        return summed_cross_entropy(self.logits(states[counted]), example.labels[counted]), counted.sum()

    def nats(self, example: Example) -> Tensor:
        """``(batch, length)``: minus the log-probability of each label, 0 where there is none."""
        states = self.dropout(self.extractor(example.batch).last_hidden_state)
        logits = self.logits(states).float()
        return F.cross_entropy(
            logits.flatten(0, 1), example.labels.flatten(), ignore_index=IGNORED_LABEL, reduction="none"
        ).view_as(example.labels)

    def example(self, store: TokenStore, rows: NDArray[Any]) -> Example:
        """Some rows of a store with columns ``input_ids`` and ``labels``."""
        batch = token_batch(store["input_ids"].take(rows))
        labels = torch.full_like(batch.attention_mask, IGNORED_LABEL)
        labels[batch.attention_mask.bool()] = torch.from_numpy(np.concatenate(store["labels"].take(rows))).long()
        return Example(batch=batch, labels=labels)

    def gold(self, store: TokenStore) -> NDArray[np.float64]:
        """``(rows,)``: how many characters each row foretells."""
        return np.concatenate(store["characters"].take(range(len(store)))).astype(np.float64)

    @torch.no_grad()
    def answer_store(self, store: TokenStore, device: torch.device, precision: str = "float32") -> NDArray[np.float64]:
        """``(rows, 2)``: the nats of each row and the number of its tokens, see `Foretold`."""
        self.to(device).eval()
        answers = np.zeros((len(store), 2))
        for rows in batches_of_store(store):
            example = self.example(store, rows)
            on_device = replace(example, batch=example.batch.to(device), labels=example.labels.to(device))
            with autocast(device, precision):
                nats = self.nats(on_device)
            answers[rows, 0] = nats.double().sum(dim=1).cpu().numpy()
            answers[rows, 1] = (example.labels != IGNORED_LABEL).sum(dim=1).numpy()
        return answers

    def score(self, gold: NDArray[np.float64], answers: NDArray[np.float64]) -> float:
        """Nats a token."""
        nats, tokens = Foretold(*answers.T)
        return float(nats.sum() / tokens.sum())

    def measure(self, gold: NDArray[np.float64], answers: NDArray[np.float64]) -> dict[str, Interval]:
        """Cross entropy (nats a token), perplexity, and bits a character; rows are drawn anew for the intervals."""
        nats, tokens = Foretold(*answers.T)
        entropy = ratio_interval(nats, tokens)
        value, low, high = (math.exp(entropy[name]) for name in ("value", "low", "high"))
        return {
            "cross_entropy": entropy,
            "perplexity": Interval(value=value, low=low, high=high),
            "bits_per_character": ratio_interval(nats / math.log(2), gold),
        }

    def differs_by_chance(
        self, gold: NDArray[np.float64], said: NDArray[np.float64], others: NDArray[np.float64]
    ) -> float:
        """A permutation test over rows of the bits a character, which tokenizers that differ have in common."""
        return paired_permutation(said[:, 0], others[:, 0])

    def take_tokenizer(self, tokenizer: AnyTokenizer) -> None:
        """Ids that stand for no text are never written, but for those that begin and end one."""
        kept = (tokenizer.bos_token_id, tokenizer.eos_token_id)
        never = {*tokenizer.special_token_ids, tokenizer.unk_token_id, tokenizer.pad_token_id}
        self._never = sorted(i for i in never if i not in kept and 0 <= i < self.extractor_config.vocab_size)

    @torch.no_grad()
    def take_over(self, before: Task) -> None:
        """All weights."""
        take_over_weights(self, before)

    def choose(
        self, logits: Tensor, seen: Tensor, sampling: Sampling, generator: torch.Generator, num_tokens: int
    ) -> tuple[Tensor, Tensor]:
        """The next token of each row, and how likely it was to the model itself.

        Args:
            logits: ``(rows, vocab_size)``, float32.
            seen: ``(rows, length)``: the ids that stand there already.
            sampling: how to draw.
            generator: to draw from, on the CPU.
            num_tokens: ids that may be written are below it; those behind stand for labels.

        Returns:
            ``(rows,)`` ids, and their log-probabilities.
        """
        logits = logits.clone()
        logits[:, num_tokens:] = -math.inf
        logits[:, self._never] = -math.inf
        chosen = sampling.choose(logits, seen, generator)
        return chosen, logits.log_softmax(dim=-1).gather(1, chosen.unsqueeze(1)).squeeze(1)


def is_plain_text(source: str) -> bool:
    """Whether a file's ending says that it holds text and no table."""
    path = Path(source)
    return (path.with_suffix("") if path.suffix.lower() in PACKED else path).suffix.lower() == ".txt"
