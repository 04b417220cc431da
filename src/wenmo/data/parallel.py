"""Texts with what they shall become: tables with two columns, or two files of which the n-th lines belong together."""

from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Unpack

from wenmo.data.encoding import STANDARD_INPUT, read_lines, source_name
from wenmo.data.readers import Asked, read_rows
from wenmo.data.rows import Dropped, Row, RowSet
from wenmo.errors import InputError

SOURCE_COLUMN, TARGET_COLUMN = "source", "target"


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
