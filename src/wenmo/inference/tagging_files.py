"""Tags to a file or to standard output, and how right they are: one row a text, in their order, in flat memory.

- ``.jsonl``: ``{"tokens": ["Bonn", "."], "tags": ["B-LOC", "O"], "spans": [{"start": 0, "end": 4, "type": "LOC",
  "text": "Bonn"}]}``. The offsets of spans count the characters of the text as it was given.
- ``.tsv``: a line for each span, ``row``, ``start``, ``end``, ``type`` and ``text``; rows are counted from 1, and one
  without spans has no line.
- ``.conll``: a token and its tag on each line, a blank line behind each sentence.

All may end in ``.gz``. A source in CoNLL format is tagged word by word as it is cut there, any other as raw texts.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from wenmo.data.conll import is_conll, print_conll, read_conll
from wenmo.data.readers import Asked, stream_rows
from wenmo.errors import InputError
from wenmo.inference.tagging import TaggedText, Tagger
from wenmo.inference.writers import format_of, open_output, refuse_to_overwrite
from wenmo.tasks.tag_sets import tag_column, words_of
from wenmo.tasks.tagging_metrics import per_type

FORMATS = ("conll", "jsonl", "tsv")


def predict_file(
    model: Tagger,
    source: str | Path,
    out: str | Path,
    *,
    file_format: str = "",
    text_column: str | None = None,
    encoding: str | None = None,
) -> dict[str, Any]:
    """Tag every text of a source.

    Args:
        model: the tagger.
        source: a CoNLL file, or what `wenmo.data.readers.stream_rows` reads; ``"-"`` is standard input.
        out: the file to write, or ``"-"`` for standard output.
        file_format: ``conll``, ``jsonl`` or ``tsv``; empty: as the ending of ``out`` says, conll to standard output.
        text_column: where the texts stand, if the reader does not find them.
        encoding: of a text file, if the reader does not find it.

    Returns:
        ``rows``, ``spans`` and ``file``.

    Raises:
        InputError: the source cannot be read, or the call is wrong.
        JobError: the result could not be written; there is no half-written file.
    """
    refuse_to_overwrite(source, out)
    file_format = file_format or format_of(out, FORMATS, "conll", "tags")
    if file_format not in FORMATS:
        raise InputError(f"there is no format {file_format!r} for tags; the formats are {', '.join(FORMATS)}")
    rows = spans = 0
    answers = _answers(model, source, text_column, encoding)
    with open_output(out) as file:
        if file_format == "tsv":
            file.write("row\tstart\tend\ttype\ttext\n")
        for answer in answers:
            rows += 1
            spans += len(answer.spans)
            _write(file, file_format, answer, rows)
    return {"rows": rows, "spans": spans, "file": str(out)}


def evaluate(
    model: Tagger,
    source: str | Path,
    *,
    label_column: str | None = None,
    text_column: str | None = None,
    encoding: str | None = None,
    repair: bool = False,
) -> dict[str, Any]:
    """Tag the words of a CoNLL file and compare with its tags.

    Returns:
        ``task``, ``rows``, ``metrics`` (each with ``value``, ``low`` and ``high``, the 95 % interval), ``per_type``,
        ``scheme`` and ``notes``.

    Raises:
        InputError: the file cannot be read, its tags break their scheme and ``repair`` is False, or the model does not
            know them.
    """
    asked: Asked = {"label_column": label_column, "text_column": text_column, "encoding": encoding}
    read = read_conll(source, tag_column=tag_column(asked), encoding=encoding)
    config, task = model.task.config, model.task
    sentences = [words_of(row) for row in read.rows]
    gold = task.tags_of(config.tag_columns(read.rows, repair=repair or config.repair))
    said = task.tags_of(model.tag_ids(sentences))
    return {
        "task": config.task,
        "rows": len(sentences),
        "metrics": task.measure_tags(gold, said),
        "per_type": per_type(gold, said, config.schemes[1]),
        "scheme": config.scheme,
        "notes": read.notes,
    }


def _answers(model: Tagger, source: str | Path, text_column: str | None, encoding: str | None) -> Iterator[TaggedText]:
    if not is_conll(source):
        rows = stream_rows(source, text_column=text_column, encoding=encoding)
        return model.stream(row.text for row in rows)
    if text_column is not None:
        raise InputError(f"--text-column {text_column}: a CoNLL file has its tokens in the first column; leave it out")
    read = read_conll(source, require_tags=False, encoding=encoding)
    return model.stream_words(words_of(row) for row in read.rows)


def _write(file: IO[str], file_format: str, answer: TaggedText, row: int) -> None:
    if file_format == "conll":
        print_conll(file, [(answer.tokens, answer.tags)])
    elif file_format == "jsonl":
        file.write(json.dumps(answer.to_dict(), ensure_ascii=False) + "\n")
    else:
        for span in answer.spans:
            text = " ".join(span.text.split())
            file.write(f"{row}\t{span.start}\t{span.end}\t{span.type}\t{text}\n")
