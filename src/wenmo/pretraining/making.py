"""Documents to a shard: cut into sentences, tokenised, annotated, written."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from wenmo.data.store import FIRST, TokenStoreWriter
from wenmo.errors import JobError
from wenmo.pretraining.documents import Document, DocumentKind
from wenmo.pretraining.settings import CorpusSettings
from wenmo.pretraining.shards import CAPITALS, CONNECTIVE, DOCUMENT, KIND, SPANS
from wenmo.text.connectives import leading_connective
from wenmo.text.loading import AnyTokenizer
from wenmo.text.normalization import Normalizer
from wenmo.text.sentences import split_sentences
from wenmo.text.spans import Annotator, Unit, apart, units_in_tokens
from wenmo.text.tokenizers import Tokenizer

CHARACTER_IDS, WORD_SIZES = "character_ids", "word_sizes"
"""Columns of shards for models that read the bytes of words."""

_SENTENCES_AT_ONCE = 1024

_Offsets = Sequence[tuple[int, int]]
_Columns = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    """What a finished shard holds."""

    name: str
    kind: DocumentKind = "text"
    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    connected_documents: int = 0
    """Documents of two sentences or more."""
    empty_documents: int = 0
    """Those of which no token was left; they are not in the shard."""
    columns: tuple[str, ...] = ()
    content: str = ""
    """A hash of the documents that it was made of."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "columns": list(self.columns)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """What `to_dict` gave, also by way of JSON."""
        return cls(**{**values, "columns": tuple(values["columns"])})


class _Sentence(NamedTuple):
    text: str
    document: int
    role: int | None
    units: tuple[Unit, ...] | None


@dataclass(frozen=True)
class ShardMaker:
    """Makes shards; the same documents give the same bytes in any process."""

    tokenizer: AnyTokenizer
    settings: CorpusSettings
    annotate: Annotator | None = None

    def make(self, path: Path, documents: Sequence[Document]) -> ShardInfo:
        """Write the shard of some documents of one kind; it appears whole or not at all.

        Raises:
            JobError: it could not be written.
        """
        kind = documents[0].kind
        names = self._columns_of(documents)
        numbers, tokens = array("q"), 0  # of the document of each sentence
        try:
            with TokenStoreWriter(path, dict.fromkeys(names, np.int32)) as writer:
                for number, row in _without_empty(self._rows(documents, names)):
                    writer.append(row)
                    numbers.append(number)
                    tokens += len(row[FIRST])
        except OSError as error:
            raise JobError(
                f"{path}: could not be written ({error}); free some space and run the same again: finished shards are "
                "kept"
            ) from error
        sentences = np.bincount(numbers, minlength=1)
        kept = int((sentences > 0).sum())
        return ShardInfo(
            name=path.name,
            kind=kind,
            documents=kept,
            sentences=len(numbers),
            tokens=tokens,
            connected_documents=int((sentences > 1).sum()),
            empty_documents=len(documents) - kept,
            columns=tuple(names),
        )

    def _columns_of(self, documents: Sequence[Document]) -> list[str]:
        settings = self.settings
        annotated = self.annotate is not None or any(document.units for document in documents)
        wanted = {
            FIRST: True,
            DOCUMENT: True,
            CHARACTER_IDS: settings.word_bytes,
            WORD_SIZES: settings.word_bytes,
            SPANS: annotated,
            CAPITALS: settings.capitals,
            CONNECTIVE: settings.connectives,
            KIND: documents[0].kind != "text",
        }
        return [name for name, is_wanted in wanted.items() if is_wanted]

    def _rows(self, documents: Sequence[Document], names: Sequence[str]) -> Iterator[_Columns]:
        sentences = self._sentences(documents)
        located = bool({CHARACTER_IDS, SPANS, CAPITALS, CONNECTIVE}.intersection(names))
        while chunk := list(islice(sentences, _SENTENCES_AT_ONCE)):
            texts = [sentence.text for sentence in chunk]
            if not located:
                for sentence, ids in zip(chunk, self.tokenizer.encode_batch(texts), strict=True):
                    yield {FIRST: ids, DOCUMENT: [sentence.document], KIND: [sentence.role]}
                continue
            found = self.annotate.annotate(texts) if self.annotate is not None else [()] * len(chunk)
            for sentence, (ids, offsets), units in zip(chunk, self._located(texts), found, strict=True):
                known = apart([*sentence.units, *units]) if sentence.units else units
                yield {
                    FIRST: ids,
                    DOCUMENT: [sentence.document],
                    KIND: [sentence.role],
                    **self._more_columns(sentence.text, offsets, known, names),
                }

    def _more_columns(self, text: str, offsets: _Offsets, units: Iterable[Unit], names: Sequence[str]) -> _Columns:
        columns: _Columns = {}
        if CHARACTER_IDS in names:
            # Here, because it brings torch with it, which costs a worker seconds and a quarter of a gigabyte.
            from wenmo.text.word_bytes import ragged_word_byte_ids

            columns[CHARACTER_IDS], columns[WORD_SIZES] = ragged_word_byte_ids([text[a:b] for a, b in offsets])
        if SPANS in names:
            columns[SPANS] = [number for unit in units_in_tokens(units, offsets) for number in unit]
        if CAPITALS in names:
            columns[CAPITALS] = [int(text[a:b][:1].isupper()) for a, b in offsets]
        if CONNECTIVE in names:
            columns[CONNECTIVE] = _connective(text, offsets)
        return columns

    def _located(self, texts: Sequence[str]) -> Iterator[tuple[Any, _Offsets]]:
        if isinstance(self.tokenizer, Tokenizer):
            yield from zip(*self.tokenizer.locate_words(texts), strict=True)
            return
        for text in texts:
            found = self.tokenizer.encode(text)
            yield found.ids, found.offsets

    def _sentences(self, documents: Sequence[Document]) -> Iterator[_Sentence]:
        settings = self.settings
        normalizer = Normalizer(
            fold_width=settings.fold_width, lowercase=False, chinese_conversion=settings.chinese_conversion
        )
        # Turns, queries and labelled sentences are whole as they stand.
        for number, document in enumerate(documents):
            split = document.kind == "text" and settings.sentences == "split" and not document.units
            for place, line in enumerate(document.lines):
                text = normalizer.normalize(line)
                role = document.roles[place] if document.roles else None
                units = document.units[place] if document.units else None
                if units is not None and len(text) != len(line):
                    units = ()  # a conversion moved the characters
                for sentence in split_sentences(text) if split else [text]:
                    yield _Sentence(sentence, number, role, units)


def _connective(text: str, offsets: _Offsets) -> list[int]:
    """How many tokens the connective has that a sentence begins with, and its relation; nothing where it has none."""
    found = leading_connective(text)
    if found is None:
        return []
    inside = [token for token, (start, end) in enumerate(offsets) if start < found.end and end > start]
    ends_at_token = bool(inside) and offsets[inside[-1]][1] <= found.end
    return [inside[-1] + 1, found.relation] if ends_at_token and inside[-1] + 1 < len(offsets) else []


def _without_empty(rows: Iterable[_Columns]) -> Iterator[tuple[int, _Columns]]:
    """Rows with tokens, each with the number of its document as it came; documents are counted anew."""
    new, before = -1, -1
    for row in rows:
        if not len(row[FIRST]):
            continue
        (number,) = row[DOCUMENT]
        new, before = new + (number != before), number
        yield number, {**row, DOCUMENT: [new]}
