"""Tagging: one tag for every token, over any extractor, by a softmax at each token or a field over the sentence.

Where the tags write entities, the scheme is seen from the training data and kept; the model may answer in another one
(``trained_scheme``), because some are learnt better than others: its tags are converted in both directions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, Unpack, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.data.batching import FIRST, store_batch
from wenmo.data.conll import place_of, read_conll
from wenmo.data.long_texts import LongTexts
from wenmo.data.peoples_daily import is_peoples_daily, read_peoples_daily
from wenmo.data.readers import Asked
from wenmo.data.rows import Row, RowSet
from wenmo.data.store import TokenStore
from wenmo.data.tag_schemes import SchemeName, constraints_of, convert, infer_scheme, repaired, violations
from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL, TokenBatch
from wenmo.models.config import ModelConfig
from wenmo.models.crf import Allowed, LinearChainCrf, penalties, unpacked_tags, viterbi
from wenmo.models.dropout import Dropout
from wenmo.models.majority import Majority
from wenmo.models.packing import Packing
from wenmo.models.pieces import states_in_pieces
from wenmo.models.windows import Windows
from wenmo.tasks.answering import autocast, batches_of_store
from wenmo.tasks.losses import penalized
from wenmo.tasks.metrics import Interval
from wenmo.tasks.tag_sets import choose_word_segmenter, labels_of, tag_column, words_of
from wenmo.tasks.tagging_metrics import difference_by_chance, entity_f1, tagging_metrics, token_accuracy
from wenmo.tasks.task import CardText, Columns, Example, Task, TaskConfig, in_markdown, take_over_weights
from wenmo.tasks.words import (
    WordTokenizer,
    at_words,
    byte_columns,
    character_columns,
    known_characters,
    word_columns,
    word_starts,
)
from wenmo.text.loading import AnyTokenizer
from wenmo.text.tokenizer_config import CODE_POINTS, WORD_PIECES, TokenizerConfig
from wenmo.text.tokenizers import Tokenizer

TagIds = NDArray[np.int64]

LABELS = "labels"
"""Column of a store: the tags of a sentence."""


@dataclass(frozen=True, kw_only=True)
class TaggingConfig(TaskConfig):
    """Which tags there are, and how the head finds them."""

    baselines: ClassVar[tuple[str, ...]] = ("majority",)
    # Every token wants an answer, so nothing of a long sentence is left out, and nothing is read twice.
    defaults: ClassVar[Mapping[str, Any]] = {"data": {"long_texts": "windows", "window_overlap": 0.0}}
    in_folder: ClassVar[tuple[str, ...]] = ("id2label", "label2id")

    task: Literal["tag"] = "tag"
    labels: tuple[str, ...] = ()
    """The tags in the order of the classifier's outputs. Empty: taken from the training data."""
    scheme: SchemeName | Literal["auto"] = "auto"
    """In which the tags of the data write entities; none: they are plain, such as parts of speech."""
    trained_scheme: SchemeName | Literal["auto"] = "auto"
    """In which the model answers; auto: that of the data."""
    decoder: Literal["crf", "softmax"] = "crf"
    """How tags are learnt: by a field over the whole sentence, or each token by itself, which is faster where there are
    many tags. Both answer with the likeliest sequence that keeps to the scheme."""
    characters: str = ""
    """What a model knows that looks into words. Empty: taken from the training data."""
    dropout_prob: float = 0.5
    """Dropout on what the extractor says of each token."""
    metric: Literal["auto", "f1", "accuracy"] = "auto"
    """By which models are chosen on dev: F1 of entities or share of right tokens; auto: F1 where there are entities."""
    repair: bool = False
    """Tag sequences that break their scheme are written as it wants them; else they are refused."""
    word_segmenter: str = ""
    """What cuts raw texts into words that a checkpoint's tokenizer cuts into pieces. Empty: taken from the data."""

    def __post_init__(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("task.labels names a tag twice")
        if not 0 <= self.dropout_prob < 1:
            raise ValueError(f"dropout_prob must be at least 0 and below 1; got {self.dropout_prob}")
        if self.scheme == "none" and (self.metric == "f1" or self.trained_scheme not in ("auto", "none")):
            raise ValueError(
                "task.scheme=none is for plain tags, which hold no entities; leave trained_scheme and metric=f1 out"
            )

    def read(self, source: str, **asked: Unpack[Asked]) -> RowSet:
        """The sentences of a CoNLL file, whose label column is a number, counted from 1; or of the People's Daily.

        Raises:
            InputError: it cannot be read as one, or something was asked that such a file does not have.
        """
        column = tag_column(asked)
        if is_peoples_daily(source):
            notes: list[str] = []
            return RowSet(read_peoples_daily(source, notes.append), notes=notes)
        return read_conll(source, tag_column=column, encoding=asked.get("encoding"))

    def settled(self, rows: Sequence[Row], model: ModelConfig, before: Self | None, source: str) -> Self:
        """The settings with the tags, their scheme and, for models that look into words, their characters.

        Raises:
            InputError: there are no tags to learn, or the scheme cannot be what was asked for.
        """
        sentences = [row.tags for row in rows if row.tags is not None]
        if len(sentences) < len(rows):
            raise InputError(f"{source}: a sentence without tags; a tagger learns from a tag for each token")
        known = before or self
        scheme = infer_scheme(sentences) if known.scheme == "auto" else known.scheme
        trained = scheme if known.trained_scheme == "auto" else known.trained_scheme
        if (scheme == "none") != (trained == "none"):
            raise InputError(
                f"task.trained_scheme={trained}: tags of the scheme {scheme} stand in {source}; leave it out"
            )
        found = known.labels if known.labels and before is None else labels_of(sentences, trained)
        labels = tuple(dict.fromkeys([*known.labels, *found]))
        if len(labels) < 2:
            raise InputError(f"{source}: every tag is {labels[0]!r}; a tagger needs two")
        characters = known.characters
        if getattr(model, "character_features", "none") != "none" and not characters:
            characters = known_characters([words_of(row) for row in rows])
        metric: Literal["f1", "accuracy"] = "accuracy" if scheme == "none" else "f1"
        return replace(
            self,
            labels=labels,
            scheme=scheme,
            trained_scheme=trained,
            characters=characters,
            metric=metric if self.metric == "auto" else self.metric,
        )

    def texts(self, rows: Iterable[Row]) -> Iterable[str]:
        """The sentences."""
        return [row.text for row in rows]

    def make_tokenizer(self, rows: Sequence[Row], config: TokenizerConfig) -> Tokenizer:
        """An id for each word of the data; raw texts will be cut as the data has its words."""
        sentences = [words_of(row) for row in rows]
        if config.has_subwords or config.segmenter in (CODE_POINTS, WORD_PIECES):
            raise InputError(
                f"data.tokenizer={config.segmenter}: a tagger has an answer for each word, and this cuts words into "
                "parts; leave it out"
            )
        if config.segmenter == "auto":
            config = replace(config, segmenter=choose_word_segmenter(rows))
        return Tokenizer.train_on_words(sentences, config)

    def columns(self, rows: Sequence[Row], tokenizer: AnyTokenizer, reading: LongTexts) -> Columns:
        """Sentences as ids of words, of characters where the model looks at them, and of tags.

        Raises:
            InputError: tags break their scheme, or are none of those seen in training; or sentences would be cut.
        """
        if reading.max_length and reading.how != "windows":
            raise InputError(
                f"data.long_texts={reading.how}: a tagger has an answer for every token, so nothing is cut off; "
                "leave it out"
            )
        assert isinstance(tokenizer, WordTokenizer), "others were refused by make_tokenizer"
        sentences = [words_of(row) for row in rows]
        tags = self.tag_columns(rows, repair=self.repair)
        columns = word_columns(sentences, tokenizer)
        return {**columns, **self.character_columns(sentences, tokenizer), LABELS: tags}

    def character_columns(self, sentences: Sequence[Sequence[str]], tokenizer: WordTokenizer) -> Columns:
        """What the model reads of the words beside their ids; none where it does not look into them."""
        by_bytes = tokenizer.config.word_bytes
        return byte_columns(sentences) if by_bytes else character_columns(sentences, self.characters)

    def tag_columns(self, rows: Sequence[Row], *, repair: bool) -> list[TagIds]:
        """The ids of the tags of each row, as the model answers them.

        Raises:
            InputError: tags break their scheme and are not to be repaired, or are none of those seen in training.
        """
        known = {label: i for i, label in enumerate(self.labels)}
        return [
            np.array([known[tag] for tag in self._trained_tags(row, known)], np.int64)
            for row in self._correct(rows, repair)
        ]

    @property
    def num_labels(self) -> int:
        """Tags to choose from."""
        return len(self.labels)

    @property
    def num_characters(self) -> int:
        """Ids of characters, with padding and unknown ones; 0 where they are not looked at."""
        return len(self.characters) + 2 if self.characters else 0

    @property
    def schemes(self) -> tuple[SchemeName, SchemeName]:
        """That of the data and that of the model, once both are settled."""
        assert self.scheme != "auto" and self.trained_scheme != "auto"
        return self.scheme, self.trained_scheme

    def build(self, extractor: nn.Module, model: ModelConfig, windows: Windows | None) -> "Tagging":
        """A linear layer and a field over the extractor.

        Raises:
            InputError: windows overlap, and a token can have one answer only.
        """
        if windows is not None and windows.overlap:
            raise InputError("data.window_overlap: a tagger reads every token once; leave it out, or set it to 0")
        if windows is None:
            return Tagging(extractor, model, self)
        return Tagging(extractor, model, self, windows.size, before=windows.before, behind=windows.behind)

    @classmethod
    def from_folder(cls, settings: Mapping[str, Any], described: Mapping[str, Any]) -> Self:
        """The tags are those of ``config.json``, where other tools look for them."""
        labels = tuple(described["id2label"][str(i)] for i in range(len(described["id2label"])))
        return cls.from_dict({**settings, "labels": labels})

    def described(self) -> dict[str, Any]:
        """The tags as the Hugging Face ecosystem writes them."""
        return {
            "id2label": {str(i): label for i, label in enumerate(self.labels)},
            "label2id": {label: i for i, label in enumerate(self.labels)},
        }

    def noun(self) -> str:
        """Sentences."""
        return "sentence"

    def card(self, model_type: str) -> CardText:
        """The tags, and how they write entities."""
        head = "a field over the sentence" if self.decoder == "crf" else "a softmax at each token"
        tags = ", ".join(f"`{in_markdown(label)}`" for label in self.labels)
        written = "plain tags" if self.scheme == "none" else f"entities in the scheme {self.scheme}"
        return CardText(
            f"{model_type} for {len(self.labels)} tags",
            (f"It gives every token a tag, by {head}: {written}.", "## Tags", tags),
            ("Raw texts are cut into words as the training data has them; where the cut differs, so do the answers.",),
        )

    def _correct(self, rows: Sequence[Row], repair: bool) -> list[Row]:
        """The rows with tags that keep to their scheme."""
        scheme, _ = self.schemes
        broken = [(row, found[0]) for row in rows if (found := violations(row.tags or (), scheme))]
        if not broken:
            return list(rows)
        if not repair:
            row, first = broken[0]
            raise InputError(
                f"{place_of(row, first.place)}: {first.message}; {len(broken):,} of {len(rows):,} sentences break the "
                f"scheme {scheme}. Correct them, or let them be repaired: --repair (task.repair=true)"
            )
        return [replace(row, tags=tuple(repaired(row.tags or (), scheme))) for row in rows]

    def _trained_tags(self, row: Row, known: Mapping[str, int]) -> Sequence[str]:
        """The tags of a row as the model answers them."""
        before, after = self.schemes
        tags = row.tags or ()
        trained = tags if before == after else convert(tags, before, after)
        for place, tag in enumerate(trained):
            if tag not in known:
                raise InputError(
                    f"{place_of(row, place)}: the tag {tags[place]!r} was not seen in training; correct it, or train "
                    "with it"
                )
        return trained


class Tagging(Task):
    """Scores every tag at every token; the likeliest sequence that keeps to the scheme is the answer."""

    config: TaggingConfig
    _transitions: Tensor | None

    def __init__(
        self,
        extractor: nn.Module,
        extractor_config: ModelConfig,
        config: TaggingConfig,
        piece_size: int = 0,
        *,
        before: int = 0,
        behind: int = 0,
    ) -> None:
        """``piece_size``: longer sentences reach the extractor in pieces of so many tokens, with so many special ones
        ``before`` and ``behind`` them; 0: as they are."""
        super().__init__()
        self.extractor = extractor
        self.extractor_config = extractor_config
        self.config = config
        self.metric: str = config.metric
        self.piece_size = piece_size
        self._before, self._behind = before, behind
        self.dropout = Dropout(config.dropout_prob)
        self.classifier = nn.Linear(extractor_config.hidden_size, len(config.labels))
        learns = extractor_config.fitting == "gradient"
        allowed = _allowed(config) if learns else None
        self.crf = LinearChainCrf(len(config.labels), allowed) if learns and config.decoder == "crf" else None
        for name, penalty in zip(Allowed._fields, penalties(allowed) if allowed else [None] * 3, strict=True):
            self.register_buffer(f"_{name}", penalty, persistent=False)

    @property
    def shared_heads(self) -> Mapping[str, str]:
        """The scores of the tags at each token; a field over them is ours alone."""
        return {"classifier": "tagger"}

    def initialize(self, generator: torch.Generator) -> None:
        """The extractor's own; the classifier uniform as of Glorot and Bengio, AISTATS 2010, its biases 0."""
        self.extractor.initialize(generator)  # type: ignore[operator]
        nn.init.xavier_uniform_(self.classifier.weight, generator=generator)
        nn.init.zeros_(self.classifier.bias)
        if self.crf is not None:
            self.crf.initialize(generator)

    def logits(self, batch: TokenBatch, word_starts: Tensor | None = None) -> Tensor:
        """``(batch, words, num_labels)``; what stands on the padding means nothing.

        ``word_starts`` ``(batch, words)`` is where each word begins; None: every token is a word.
        """
        states = states_in_pieces(
            batch,
            self.piece_size,
            lambda pieces: self.extractor(pieces).last_hidden_state,
            before=self._before,
            behind=self._behind,
        )
        logits: Tensor = self.classifier(self.dropout(at_words(states, word_starts)))
        return logits

    def forward(self, example: Example) -> tuple[Tensor, Tensor]:
        """The negative log-probability of the right tags, summed, and the number of tokens.

        With a field it is that of the whole sentences, whose tokens then count all or, labelled -100, none. A penalty
        of the extractor on its weights stands beside the mean over tokens.
        """
        counted = example.labels != IGNORED_LABEL
        logits = self.logits(example.batch, example.word_starts).float()
        count = counted.sum()
        if self.crf is not None:
            loss = -self.crf(logits, example.labels, counted).sum()
        else:
            loss = F.cross_entropy(
                logits.flatten(0, 1), example.labels.flatten(), ignore_index=IGNORED_LABEL, reduction="sum"
            )
        return penalized(loss, count, self.extractor), count

    def decode(self, logits: Tensor, packing: Packing) -> Tensor:
        """``(tokens, num_labels)`` to ``(tokens,)``: the likeliest tags that keep to the scheme, without padding."""
        if self.crf is not None:
            return viterbi(logits, packing, *self.crf.scores())
        if self._transitions is None:
            return logits.argmax(dim=1)
        return viterbi(logits, packing, self._transitions, cast(Tensor, self._start), cast(Tensor, self._end))

    def example(self, store: TokenStore, rows: NDArray[Any]) -> Example:
        """Some sentences of a store as tensors."""
        batch, starts = store_batch(store, rows), word_starts(store, rows)
        mask = (starts or batch).attention_mask
        tags = store[LABELS].take(rows)
        labels = torch.full(mask.shape, IGNORED_LABEL)
        labels[mask.bool()] = torch.from_numpy(np.concatenate(tags).astype(np.int64))
        return Example(batch=batch, labels=labels, word_starts=starts.input_ids if starts else None)

    def prepare(self, train: TokenStore) -> None:
        """Let a model count that needs nothing else."""
        if isinstance(self.extractor, Majority):
            every = range(len(train))
            ids, tags = (np.concatenate(train[name].take(every)) for name in (FIRST, LABELS))
            self.extractor.count(torch.from_numpy(ids), torch.from_numpy(tags))
            with torch.no_grad():
                self.classifier.weight.copy_(torch.eye(len(self.config.labels)))
                self.classifier.bias.zero_()

    def gold(self, store: TokenStore) -> list[TagIds]:
        """The ids of the right tags of each sentence."""
        return [np.asarray(tags, np.int64) for tags in store[LABELS].take(range(len(store)))]

    @torch.no_grad()
    def answer_store(self, store: TokenStore, device: torch.device, precision: str = "float32") -> list[TagIds]:
        """The ids of the tags said to each sentence."""
        self.to(device).eval()
        answers: list[TagIds] = [np.empty(0, np.int64)] * len(store)
        for rows in batches_of_store(store):
            batch, starts = store_batch(store, rows).to(device), word_starts(store, rows)
            words = starts.to(device) if starts else batch
            with autocast(device, precision):
                logits = self.logits(batch, words.input_ids if starts else None)
            packing = Packing.of(words.attention_mask)
            tags = unpacked_tags(self.decode(packing.pack(logits.float()), packing), packing).cpu().numpy()
            for row, length, each in zip(rows.tolist(), words.num_tokens.tolist(), tags, strict=True):
                answers[row] = each[:length]
        return answers

    def tags_of(self, sentences: Iterable[TagIds]) -> list[list[str]]:
        """Ids as the tags that the model answers."""
        labels = self.config.labels
        return [[labels[i] for i in tags.tolist()] for tags in sentences]

    def score(self, gold: Sequence[TagIds], answers: Sequence[TagIds]) -> float:
        """The value of the metric by which models are chosen."""
        right, said = self.tags_of(gold), self.tags_of(answers)
        if self.metric == "accuracy":
            return token_accuracy(right, said)
        return entity_f1(right, said, self.config.schemes[1])

    def measure(self, gold: Sequence[TagIds], answers: Sequence[TagIds]) -> dict[str, Interval]:
        """Every metric with its 95 % interval."""
        return self.measure_tags(self.tags_of(gold), self.tags_of(answers))

    def measure_tags(self, gold: Sequence[Sequence[str]], said: Sequence[Sequence[str]]) -> dict[str, Interval]:
        """The same of tags in the scheme in which the model answers."""
        return tagging_metrics(gold, said, self.config.schemes[1])

    def differs_by_chance(self, gold: Sequence[TagIds], said: Sequence[TagIds], others: Sequence[TagIds]) -> float:
        """The p-value of a paired test of the metric between what two models said to the same sentences."""
        scheme = "none" if self.metric == "accuracy" else self.config.schemes[1]
        return difference_by_chance(self.tags_of(gold), self.tags_of(said), self.tags_of(others), scheme)

    @torch.no_grad()
    def take_over(self, before: Task) -> None:
        """The weights of an earlier model; of its head, those of the tags it knew."""
        assert isinstance(before, Tagging)
        take_over_weights(self.extractor, before.extractor)
        places = [self.config.labels.index(name) for name in before.config.labels]
        self.classifier.weight[places] = before.classifier.weight
        self.classifier.bias[places] = before.classifier.bias
        if self.crf is not None and before.crf is not None:
            self.crf.take_over(before.crf, places)


def _allowed(config: TaggingConfig) -> Allowed | None:
    scheme = config.schemes[1]
    if scheme == "none":
        return None
    # On the CPU even where modules are made without their weights: constraints are in no file.
    return Allowed(*(torch.tensor(each, device="cpu") for each in constraints_of(config.labels, scheme)))
