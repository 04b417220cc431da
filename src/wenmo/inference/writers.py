"""Answers to a file or to standard output: one row a text, in their order, in flat memory.

What a row holds, in every format, is what ``Prediction.to_dict`` gives: ``label``, ``probability``, ``probabilities``.

- ``.jsonl``: ``{"label": "good", "probability": 0.9, "probabilities": {"bad": 0.1, "good": 0.9}}``.
- ``.tsv``: the columns ``label``, ``probability`` and, for each label, ``probabilities.LABEL``. Several labels are a
  JSON list, as the readers take it; a tab inside a label is written as a space, because tsv has no quoting.
- ``.parquet``: ``label`` (a string, or a list of them), ``probability``, and ``probabilities`` as a struct.

Where labels are in a tree, ``levels`` tells the nodes from the top down to the label: in ``.jsonl`` and ``.parquet`` a
list of ``{"label", "probability"}``, in ``.tsv`` the columns ``level_1``, ``level_1.probability`` and so on.

A text that got no answer has its row all the same, with nothing in it; where the model abstains, only ``label`` is
empty (null in ``.jsonl`` and ``.parquet``). ``.tsv`` and ``.jsonl`` may end in ``.gz``.
"""

import gzip
import json
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol

from wenmo.data.readers import stream_rows
from wenmo.data.rows import Row
from wenmo.errors import InputError, JobError
from wenmo.inference.loading import loaded_classifier
from wenmo.inference.predictor import Predictor, TextCounts
from wenmo.inference.texts import checked_texts
from wenmo.tasks.abstention import Promise
from wenmo.tasks.pairs import single_texts

STANDARD_OUTPUT = "-"
FORMATS = ("tsv", "jsonl", "parquet")

_ROW_GROUP = 16384
"""Rows of a Parquet file that are in memory before they are written."""

Answer = dict[str, Any]
_NO_ANSWER: Answer = {"label": None, "probability": None, "probabilities": None}


class AnswerWriter(Protocol):
    """Takes the answers one after the other."""

    def write(self, answer: Answer) -> None:
        """Write the next row."""
        ...


def predict_file(
    model: Predictor | str | Path,
    source: str | Path,
    out: str | Path,
    *,
    text_column: str | None = None,
    text_b_column: str | None = None,
    encoding: str | None = None,
    file_format: str = "",
    promise: Promise | None = None,
) -> dict[str, Any]:
    """Answer every text of a source; the n-th row of the result belongs to the n-th row of the source.

    Args:
        model: a loaded model, or its folder.
        source: what `wenmo.data.readers.stream_rows` reads; ``"-"`` is standard input.
        out: the file to write, or ``"-"`` for standard output.
        text_column: where the texts stand, if the reader does not find them.
        text_b_column: the same for the second texts of pairs.
        encoding: of a text file, if the reader does not find it.
        file_format: ``tsv``, ``jsonl`` or ``parquet``; empty: as the ending of ``out`` says, tsv to standard output.
        promise: what `Predictor.promise` gave; answers that it does not cover have no label.

    Returns:
        ``rows``, ``file``, and how many of the rows were ``without_text``, ``abstained``, ``cut`` to the length that
        the model reads, and ``unknown``: without any token that it knows, those without text among them; ``promise``:
        what is promised of those with a label, or None.

    Raises:
        InputError: the source cannot be read, or the call is wrong.
        JobError: the result could not be written; there is no half-written file.
    """
    refuse_to_overwrite(source, out)
    file_format = file_format or _format_of(out)
    predictor = loaded_classifier(model)
    counts = TextCounts()
    without_text = abstained = 0
    has_text: deque[bool] = deque()
    rows = stream_rows(source, text_column=text_column, text_b_column=text_b_column, encoding=encoding)
    texts = checked_texts(_noted(rows, has_text), predictor.pair)
    texts = chain([next(texts)], texts)  # a first row of the wrong kind is an error before anything is written
    with open_answers(out, predictor, file_format) as writer:
        for prediction in predictor.stream(texts, counts=counts, promise=promise):
            if not has_text.popleft():
                without_text += 1
                writer.write(_NO_ANSWER)
                continue
            abstained += prediction.label is None
            writer.write(prediction.to_dict())
    counts.log(predictor.max_length)
    return {
        "rows": counts.texts,
        "file": str(out),
        "without_text": without_text,
        "abstained": abstained,
        "cut": counts.cut,
        "unknown": counts.unknown,
        "promise": promise.to_dict() if promise else None,
    }


@contextmanager
def open_answers(out: str | Path, predictor: Predictor, file_format: str) -> Iterator[AnswerWriter]:
    """A writer for the answers of a model; the file appears when all are written, or not at all.

    Raises:
        InputError: there is no such format, or it does not go to standard output.
        JobError: the file could not be written.
    """
    labels, multi_label = predictor.labels, predictor.task.config.multi_label
    depth = predictor.task.hierarchy.depth if predictor.task.hierarchy else 0
    if file_format not in FORMATS:
        raise InputError(f"there is no format {file_format!r}; the formats are {', '.join(FORMATS)}")
    if file_format != "parquet":
        with open_output(out) as file:
            yield _text_writer(file, file_format, labels, depth)
        return
    if str(out) == STANDARD_OUTPUT:
        raise InputError("parquet does not go to standard output; name a file with --out")
    with (
        written_aside(Path(out)) as aside,
        _ParquetWriter(aside, labels, multi_label, has_levels=depth > 0) as parquet,
    ):
        yield parquet


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A path to write to; what was written there is renamed to ``path`` at the end, or removed after an error.

    Raises:
        JobError: writing failed, for example because the disk is full.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        os.replace(aside, path)
    except OSError as error:
        raise JobError(f"{path}: could not be written ({error}); free some space or choose another --out") from error
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def open_output(out: str | Path) -> Iterator[IO[str]]:
    """Standard output, or a text file, packed where it ends in .gz, that appears when all is written or not at all.

    Raises:
        JobError: writing failed, for example because the disk is full.
    """
    if str(out) == STANDARD_OUTPUT:
        yield sys.stdout
        return
    opened = gzip.open if str(out).endswith(".gz") else open
    with written_aside(Path(out)) as aside, opened(aside, "wt", encoding="utf-8", newline="\n") as file:
        yield file


def format_of(out: str | Path, formats: Sequence[str], default: str, what: str) -> str:
    """The format that the ending of ``out`` names, or ``default`` for standard output.

    Raises:
        InputError: it names none of ``formats``.
    """
    if str(out) == STANDARD_OUTPUT:
        return default
    ending = Path(str(out).removesuffix(".gz")).suffix.lower().removeprefix(".")
    if ending not in formats:
        listed = ", ".join(f".{each}" for each in formats)
        raise InputError(f"{out}: {what} go to {listed}, all also with .gz; name --out so")
    return ending


def refuse_to_overwrite(source: str | Path, out: str | Path) -> None:
    """The result must not take the place of the texts.

    Raises:
        InputError: it would.
    """
    if Path(out).exists() and Path(source).exists() and Path(out).samefile(source):
        raise InputError(f"{out}: the result would take the place of the texts; choose another --out")


def _format_of(out: str | Path) -> str:
    if str(out) == STANDARD_OUTPUT:
        return "tsv"
    ending = Path(str(out).removesuffix(".gz")).suffix.lower().removeprefix(".")
    if ending not in FORMATS or (ending == "parquet" and str(out).endswith(".gz")):
        raise InputError(f"{out}: the result is .tsv, .jsonl (both also with .gz) or .parquet; name --out so")
    return ending


def _noted(rows: Iterable[Row], has_text: deque[bool]) -> Iterator[Row]:
    for row in rows:
        has_text.append(all(text.strip() for text in single_texts([row])))
        yield row


class _JsonLines:
    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, answer: Answer) -> None:
        probabilities = answer["probabilities"]
        if probabilities is not None:
            rounded = {label: _rounded(p) for label, p in probabilities.items()}
            answer = answer | {"probability": _rounded(answer["probability"]), "probabilities": rounded}
            if "levels" in answer:
                levels = [each | {"probability": _rounded(each["probability"])} for each in answer["levels"]]
                answer["levels"] = levels
        self._file.write(json.dumps(answer, ensure_ascii=False) + "\n")


class _TabSeparated:
    def __init__(self, file: IO[str], labels: Sequence[str], depth: int) -> None:
        self._file, self._depth = file, depth
        levels = [f"level_{i}{part}" for i in range(1, depth + 1) for part in ("", ".probability")]
        names = ["label", "probability", *levels, *(f"probabilities.{label}" for label in labels)]
        self._nothing = "\t" * (len(names) - 1) + "\n"
        file.write("\t".join(map(_cell, names)) + "\n")

    def write(self, answer: Answer) -> None:
        if answer["probabilities"] is None:
            self._file.write(self._nothing)
            return
        cells = [_cell(answer["label"]), _digits(answer["probability"])]
        for level in answer.get("levels", []):
            cells += [_cell(level["label"]), _digits(level["probability"])]
        cells += [""] * (2 + 2 * self._depth - len(cells))  # of a label that ends above the deepest level
        self._file.write("\t".join([*cells, *map(_digits, answer["probabilities"].values())]) + "\n")


class _ParquetWriter:
    def __init__(self, path: Path, labels: Sequence[str], multi_label: bool, *, has_levels: bool) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = pa.float32()
        columns = {
            "label": pa.list_(pa.string()) if multi_label else pa.string(),
            "probability": number,
            "probabilities": pa.struct([(label, number) for label in labels]),
        }
        if has_levels:
            columns["levels"] = pa.list_(pa.struct([("label", pa.string()), ("probability", number)]))
        self._schema = pa.schema(columns)
        self._writer = pq.ParquetWriter(path, self._schema)
        self._waiting: list[Answer] = []

    def write(self, answer: Answer) -> None:
        self._waiting.append(answer)
        if len(self._waiting) >= _ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
        self._waiting = []

    def __enter__(self) -> "_ParquetWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._writer.close()


def _text_writer(file: IO[str], file_format: str, labels: Sequence[str], depth: int) -> AnswerWriter:
    return _JsonLines(file) if file_format == "jsonl" else _TabSeparated(file, labels, depth)


def _digits(number: float) -> str:
    return f"{number:.6g}"


def _rounded(number: float) -> float:
    """Six digits: more is noise in float32."""
    return float(f"{number:.6g}")


def _cell(value: str | list[str] | None) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value or ""
    return text.replace("\t", " ").replace("\n", " ").replace("\r", " ")
