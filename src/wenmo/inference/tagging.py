"""Raw texts and given words to tags and spans: in their order, in flat memory, the same alone and in company."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from wenmo.data.batching import FIRST
from wenmo.data.conll import separator_of
from wenmo.data.store import TokenStore
from wenmo.data.tag_schemes import SCHEMES, Span, spans_of
from wenmo.folder import ModelFolder
from wenmo.inference.engines import known_precision, packed_wanted
from wenmo.inference.tagging_engine import PackedElmoTagger, PackedTagger, packed_tagger, why_not_tagged_packed
from wenmo.inference.texts import windows
from wenmo.tasks.tagging import Tagging, TagIds
from wenmo.tasks.words import Ids, WordTokenizer, word_columns
from wenmo.text.segmentation import load_segmenter
from wenmo.text.tokenizers import Tokenizer
from wenmo.training.distribution import choose_device

Offsets = tuple[int, int]

_SENTENCES_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class TextSpan:
    """An entity, or with plain tags a word, in a text."""

    start: int
    """The characters ``[start, end)`` of the text as it was given."""
    end: int
    type: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return {"start": self.start, "end": self.end, "type": self.type, "text": self.text}


@dataclass(frozen=True, slots=True)
class TaggedText:
    """The answer to one text."""

    tokens: list[str]
    """The words as they stand in the text."""
    tags: list[str]
    """A tag for each of them, in the scheme of the training data."""
    spans: list[TextSpan]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return {"tokens": self.tokens, "tags": self.tags, "spans": [span.to_dict() for span in self.spans]}


class Tagger:
    """A tagger in use. Safe to use from several threads."""

    def __init__(
        self, folder: ModelFolder, *, device: str = "", precision: str = "float32", runtime: str = "auto"
    ) -> None:
        assert isinstance(folder.task, Tagging) and isinstance(folder.tokenizer, WordTokenizer)
        self.folder = folder
        self.task: Tagging = folder.task.eval()
        self.tokenizer: WordTokenizer = folder.tokenizer
        self.extractor: nn.Module = folder.task.extractor
        self.tags: tuple[str, ...] = folder.task.config.labels
        """Those that the model chooses from, in the scheme in which it answers."""
        self._precision = known_precision(precision)
        self._device = choose_device(device)
        self.task.to(self._device)
        self._engine = _choose_engine(self.task, runtime, self._device, self._precision)

    @property
    def runtime(self) -> str:
        """What runs the model, ``torch`` or ``packed``."""
        return self._engine.name if self._engine else "torch"

    def predict(self, texts: str | Iterable[str]) -> list[TaggedText]:
        """The words, tags and spans of each raw text, in their order; a single one gives a list of one.

        Raises:
            InputError: an item is not a string.
        """
        return list(self.stream(texts))

    def stream(self, texts: str | Iterable[str]) -> Iterator[TaggedText]:
        """As `predict`, for any number of texts: some thousands of them are in memory at a time."""
        for window in windows([texts] if isinstance(texts, str) else texts, "none"):
            raw = [str(text) for text in window]
            columns, located = self._located(raw)
            sentences = [[text[a:b] for a, b in places] for text, places in zip(raw, located, strict=True)]
            columns = columns or word_columns(sentences, self.tokenizer)
            for answer in zip(raw, located, sentences, self._tags(columns, sentences), strict=True):
                yield self._tagged(*answer)

    def predict_words(self, sentences: Iterable[Sequence[str]]) -> list[TaggedText]:
        """The same for sentences that are words already, which no segmenter cuts.

        Offsets are those in the words put together, with spaces between them, or without in Chinese.
        """
        return list(self.stream_words(sentences))

    def stream_words(self, sentences: Iterable[Sequence[str]]) -> Iterator[TaggedText]:
        """As `predict_words`, for any number of sentences."""
        remaining = iter(sentences)
        while window := [list(words) for words in islice(remaining, _SENTENCES_AT_ONCE)]:
            between = separator_of(window)
            tags = self._tags(word_columns(window, self.tokenizer), window)
            for words, ids in zip(window, tags, strict=True):
                starts = accumulate((len(word) + len(between) for word in words), initial=0)
                places = [(start, start + len(word)) for start, word in zip(starts, words, strict=False)]
                yield self._tagged(between.join(words), places, words, ids)

    def predict_file(self, source: str | Path, out: str | Path, **asked: Any) -> dict[str, Any]:
        """See `wenmo.inference.tagging_files.predict_file`."""
        from wenmo.inference.tagging_files import predict_file

        return predict_file(self, source, out, **asked)

    def evaluate(self, source: str | Path, **asked: Any) -> dict[str, Any]:
        """See `wenmo.inference.tagging_files.evaluate`."""
        from wenmo.inference.tagging_files import evaluate

        return evaluate(self, source, **asked)

    def tag_ids(self, sentences: Sequence[Sequence[str]]) -> list[TagIds]:
        """The ids of the tags of given words, in the order of ``tags``."""
        return self._tags(word_columns(sentences, self.tokenizer), sentences)

    def _located(self, raw: Sequence[str]) -> tuple[dict[str, Sequence[Ids]], list[list[Offsets]]]:
        """Where the words of raw texts stand, and their columns where the tokenizer knows them by their places."""
        if isinstance(self.tokenizer, Tokenizer):
            rows, located = self.tokenizer.locate_words(raw)
            return {FIRST: rows}, located
        segmenter = load_segmenter(self.task.config.word_segmenter)
        return {}, [segmenter.spans(text) for text in raw]

    def _tags(self, columns: Mapping[str, Sequence[Ids]], sentences: Sequence[Sequence[str]]) -> list[TagIds]:
        """The model itself reads what is longer than the engine takes at once."""
        rows = columns[FIRST]
        most = self.task.piece_size or max(map(len, rows), default=0)
        by_engine = [i for i, row in enumerate(rows) if self._engine and 0 < len(row) <= most]
        by_model = [i for i, row in enumerate(rows) if len(row) > (most if self._engine else 0) and sentences[i]]
        answers: list[TagIds] = [np.empty(0, np.int64)] * len(rows)
        for chosen, answer in ((by_engine, self._by_engine), (by_model, self._by_model)):
            if chosen:
                part = {name: [column[i] for i in chosen] for name, column in columns.items()}
                for i, tags in zip(chosen, answer(part, [sentences[i] for i in chosen]), strict=True):
                    answers[i] = tags
        return answers

    def _by_engine(self, columns: Mapping[str, Sequence[Ids]], sentences: Sequence[Sequence[str]]) -> list[TagIds]:
        assert self._engine is not None
        return self._engine.answer(columns[FIRST], sentences)

    def _by_model(self, columns: Mapping[str, Sequence[Ids]], sentences: Sequence[Sequence[str]]) -> list[TagIds]:
        store = TokenStore.from_rows(**self.task.config.character_columns(sentences, self.tokenizer), **columns)
        return self.task.answer_store(store, self._device, self._precision)

    def _tagged(self, text: str, places: Sequence[Offsets], words: list[str], ids: TagIds) -> TaggedText:
        scheme, trained = self.task.config.schemes
        tags = [self.tags[i] for i in ids.tolist()]
        found = spans_of(tags, trained)
        if scheme != trained:
            tags = SCHEMES[scheme].write(found, len(tags))
        return TaggedText(words, tags, [_text_span(text, places, span) for span in found])


def _text_span(text: str, places: Sequence[Offsets], span: Span) -> TextSpan:
    start, end = places[span.start][0], places[span.end - 1][1]
    return TextSpan(start, end, span.type, text[start:end])


def _choose_engine(
    task: Tagging, runtime: str, device: torch.device, precision: str
) -> PackedTagger | PackedElmoTagger | None:
    """The engine of that name, None for the model itself; for ``auto`` the fastest that covers it.

    Raises:
        InputError: there is no such runtime, or it does not cover the model or the device.
    """
    if not packed_wanted(runtime, why_not_tagged_packed(task, device)):
        return None
    return packed_tagger(task, torch.bfloat16 if precision == "bfloat16" else None)
