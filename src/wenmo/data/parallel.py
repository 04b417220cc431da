"""Texts with what they shall become: tables with two columns, or two files of which the n-th lines belong together."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Unpack

from wenmo.data.encoding import STANDARD_INPUT, read_lines, source_name
from wenmo.data.readers import PACKED, Asked, column_names, read_rows, stream_rows
from wenmo.data.rows import Dropped, Row, RowSet
from wenmo.errors import InputError

logger = logging.getLogger(__name__)

SOURCE_COLUMN, TARGET_COLUMN = "source", "target"
_TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".xlsx", ".xlsm")


def is_parallel(source: str | Path) -> bool:
    """Whether a source is a table of texts with what they shall become."""
    return {SOURCE_COLUMN, TARGET_COLUMN} <= set(column_names(source))


def read_parallel(source: str | Path, target: str | Path | None = None, **asked: Unpack[Asked]) -> RowSet:
    """Read texts with their targets.

    Args:
        source: a table that `wenmo.data.readers.read_rows` reads, or, with ``target``, a file with a text in each line.
        target: the file whose n-th line is what the n-th line of ``source`` shall become.
        asked: ``text_column`` and ``text_b_column`` name the columns of a table if they are not ``source`` and
            ``target``; ``encoding`` is that of text files.

    Returns:
        Rows with ``text`` and ``target``; ``dropped`` has those of which either is empty.

    Raises:
        InputError: nothing usable, columns that are not there, files with different numbers of lines, bytes that are
            not text.
    """
    if target is not None:
        return _read_files(source, target, asked.get("encoding"))
    if Path(source).is_file() and not _is_table(Path(source)):
        raise InputError(
            f"{source}: where are its targets? A table (.tsv, .csv, .jsonl, .parquet, .xlsx) has the columns "
            f"{SOURCE_COLUMN} and {TARGET_COLUMN}; of two files name the second too, with --target (--dev-target, "
            f"--test-target)"
        )
    text_column = asked.get("text_column") or SOURCE_COLUMN
    target_column = asked.get("text_b_column") or TARGET_COLUMN
    found = read_rows(
        source,
        text_column=text_column,
        text_b_column=target_column,
        group_column=asked.get("group_column"),
        time_column=asked.get("time_column"),
        require_label=False,
        encoding=asked.get("encoding"),
    )
    rows = [replace(row, target=row.text_b, text_b=None, label=None) for row in found.rows]
    return RowSet(rows, {"text": text_column, "target": target_column}, found.notes, found.dropped)


def stream_texts(source: str | Path, *, text_column: str | None = None, encoding: str | None = None) -> Iterator[str]:
    """The texts that are to become something else, one after the other in flat memory.

    Args:
        source: a table, of which ``text_column`` is read, or else ``source``, or what the reader finds; any other file
            has a text in each line, whatever its ending; ``"-"`` is standard input.
        text_column: where the texts of a table stand.
        encoding: of a text file, if the reader does not find it.

    Raises:
        InputError: nothing usable, or bytes that are not text.
    """
    if Path(source).is_file() and not _is_table(Path(source)):
        if text_column is not None:
            raise InputError(f"{source} is no table, so it has no column {text_column!r}; leave it out")
        for line in read_lines(source, encoding=encoding, tell=logger.warning):
            yield line.removesuffix("\r")
        return
    if text_column is None and SOURCE_COLUMN in column_names(source):
        text_column = SOURCE_COLUMN
    for row in stream_rows(source, text_column=text_column, encoding=encoding):
        yield row.text


def _is_table(path: Path) -> bool:
    unpacked = path.with_suffix("") if path.suffix.lower() in PACKED else path
    return unpacked.suffix.lower() in _TABLES


def _read_files(source: str | Path, target: str | Path, encoding: str | None) -> RowSet:
    if str(source) == str(target) == STANDARD_INPUT:
        raise InputError("both files are standard input; name one of them")
    names, notes = (source_name(source), source_name(target)), list[str]()
    files = (read_lines(each, encoding=encoding, tell=notes.append) for each in (source, target))
    rows, dropped = list[Row](), list[Dropped]()
    for number, lines in enumerate(zip_longest(*files), start=1):
        if None in lines:
            longer, shorter = names if lines[1] is None else names[::-1]
            raise InputError(
                f"{longer}:{number}: {shorter} has only {number - 1:,} lines, so the files do not belong together line "
                f"by line; a line break too many or too few stands somewhere before"
            )
        text, wanted = (line.strip() for line in lines)
        place = f"{names[0]}:{number}"
        if text and wanted:
            rows.append(Row(text=text, target=wanted, source=place))
        else:
            dropped.append(Dropped(place, "the text is empty" if wanted else "the target is empty"))
    if not rows:
        raise InputError(f"{names[0]}: no line of it and of {names[1]} has a text on both sides")
    return RowSet(rows, {}, notes, dropped)
