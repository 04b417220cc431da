"""The text formats: each becomes a ``Table``, records of cells that are read as they are asked for.

Cells stay as they are written; nothing is taken for a number, a date or a missing value.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wenmo.data.columns import SAMPLE_RECORDS, has_known_name
from wenmo.data.encoding import Tell, read_lines
from wenmo.errors import InputError

if TYPE_CHECKING:
    import _csv

_SAMPLE_LINES = 20


class Record(NamedTuple):
    """A row as its file has it."""

    source: str
    """``file:line``."""
    cells: Sequence[object]
    """Strings, None, or tuples of strings for lists; anything else is refused where it would be used."""


@dataclass
class Table:
    """A source laid out in columns."""

    name: str
    columns: list[str] | None
    """None: the first record is their names, or is data already."""
    records: Iterator[Record]
    mending: str = "give every row the same columns"
    """What to do about a row with too many or too few columns."""


def csv_table(lines: Iterable[str], name: str, tell: Tell) -> Table:
    """Comma-separated values as RFC 4180 and spreadsheets have them; quoted cells may hold line breaks."""
    lines = _refuse_wrong_delimiter(lines, name, ",")
    return Table(
        name,
        None,
        skip_blank_records(_csv_records(lines, name), tell),
        mending='put a text that holds commas between double quotes ("), or use jsonl',
    )


def _csv_records(lines: Iterable[str], name: str) -> Iterator[Record]:
    # strict: else a quote that is never closed would swallow the rest of the file without a word.
    reader = _csv_reader((line + "\n" for line in lines), strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise InputError(
                f"{name}:{number}: the row that begins here is not csv ({error}); a cell that begins with a quote ends "
                'with one, and quotes inside it are doubled: "She said ""no"""'
            ) from error
        if cells is None:
            return
        yield Record(f"{name}:{number}", cells)


def _csv_reader(lines: Iterable[str], *, delimiter: str = ",", strict: bool = False) -> "_csv.Reader":
    # The limit of 128 KiB a cell is the module's own and cannot be set for one reader; a cell here is as long as it is.
    csv.field_size_limit(2**31 - 1)
    return csv.reader(lines, delimiter=delimiter, strict=strict)


def tsv_table(lines: Iterable[str], name: str, tell: Tell) -> Table:
    """Tab-separated values without quoting: a quotation mark is a character like any other."""
    lines = _refuse_wrong_delimiter(lines, name, "\t")
    records = (
        Record(f"{name}:{number}", line.split("\t") if line else [])
        for number, line in enumerate((line.removesuffix("\r") for line in lines), start=1)
    )
    return Table(
        name, None, skip_blank_records(records, tell), mending="replace the tab inside the text, or use csv or jsonl"
    )


def text_table(lines: Iterable[str], name: str) -> Table:
    """Plain text, one text a line; an empty line is an empty text."""
    records = (Record(f"{name}:{number}", [line.removesuffix("\r")]) for number, line in enumerate(lines, start=1))
    return Table(name, ["text"], records)


def skip_blank_records(records: Iterable[Record], tell: Tell) -> Iterator[Record]:
    """Leave out records without a cell, and tell of those that stand before the last record.

    A record with one empty cell is not blank: ``{"text": ""}``, or ``""`` in csv, has its answer like any other.
    """
    first, between, behind = "", 0, 0
    for record in records:
        if not record.cells:
            first = first or record.source
            behind += 1
            continue
        between, behind = between + behind, 0
        yield record
    if between:
        tell(f"{first}: a blank line was skipped" if between == 1 else f"{first}: the first of {between:,} blank lines")


_SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons"}
_MENDING_SEPARATOR = {
    "\t": "name the file .tsv",
    ",": "name the file .csv",
    ";": "save it again with commas between the columns, or as .tsv",
}


def _refuse_wrong_delimiter(lines: Iterable[str], name: str, delimiter: str) -> Iterator[str]:
    """Look at the first lines: other columns than the name of the file promises are an error that says which."""
    lines = iter(lines)
    sample = list(islice(lines, _SAMPLE_LINES))
    if len(sample) == 1 and "\r" in sample[0].rstrip("\r"):
        raise InputError(f"{name}: the lines end as on an old Macintosh; convert them: tr '\\r' '\\n' < old > new")
    if sample and not _column_count(sample, delimiter):
        for other in _SEPARATORS:
            if other != delimiter and _column_count(sample, other):
                raise InputError(
                    f"{name}:1: {_SEPARATORS[delimiter]} were expected between the columns, but there are "
                    f"{_SEPARATORS[other]}; {_MENDING_SEPARATOR[other]}"
                )
    return chain(sample, lines)


def _column_count(sample: Sequence[str], delimiter: str, asked: Sequence[str] = ()) -> int:
    """The number of columns, 2 or more, that all these lines agree on; 0 where they do not.

    One line alone agrees with itself, so there a known column name is wanted as well.
    """
    rows = _split_sample(sample, delimiter)
    counts = {len(row) for row in rows}
    if len(counts) != 1 or counts == {1}:
        return 0
    return counts.pop() if len(rows) > 1 or has_known_name(rows[0], asked) else 0


def _split_sample(sample: Sequence[str], delimiter: str) -> list[list[str]]:
    lines = [line.removesuffix("\r") for line in sample if line.strip()]
    if delimiter == "\t":
        return [line.split(delimiter) for line in lines]
    try:
        return list(_csv_reader((line + "\n" for line in lines), delimiter=delimiter))
    except csv.Error:
        return []


def sniffed_table(lines: Iterable[str], name: str, asked: Sequence[str], tell: Tell) -> Table:
    """Text that has no file name to go by: the first lines say whether it is jsonl, tsv, csv or plain text.

    Tabs count when every line has the same number of them; commas, which any text may have, only with a first line of
    column names, known or ``asked``.
    """
    lines = iter(lines)
    sample = list(islice(lines, _SAMPLE_LINES))
    lines = chain(sample, lines)
    if next((line for line in sample if line.strip()), "").lstrip()[:1] == "{":
        tell(f"{name} is read as jsonl")
        return jsonl_table(lines, name, tell)
    if _column_count(sample, "\t", asked) or (sample and has_known_name([sample[0]], asked)):
        tell(f"{name} is read as tsv")
        return tsv_table(lines, name, tell)
    rows = _split_sample(sample, ",")
    if rows and len(rows[0]) > 1 and has_known_name(rows[0], asked):
        tell(f"{name} is read as csv")
        return csv_table(lines, name, tell)
    return text_table(lines, name)


def jsonl_table(lines: Iterable[str], name: str, tell: Tell) -> Table:
    """One JSON object a line; numbers keep their digits as written. The keys of the first rows are the columns."""
    objects = _json_objects(lines, name, tell)
    sample = list(islice(objects, SAMPLE_RECORDS))
    columns = list(dict.fromkeys(key for _, values in sample for key in values))
    records = (
        Record(source, [_json_cell(values.get(column)) for column in columns] if values else [])
        for source, values in chain(sample, objects)
    )
    return Table(name, columns, skip_blank_records(records, tell))


def _json_objects(lines: Iterable[str], name: str, tell: Tell) -> Iterator[tuple[str, dict[str, object]]]:
    half_characters = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            yield f"{name}:{number}", {}
            continue
        try:
            values = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
        except (json.JSONDecodeError, RecursionError) as error:
            values = error
        if not isinstance(values, dict):
            problem = f"{values}" if isinstance(values, Exception) else f"a {type(values).__name__}"
            raise InputError(
                f'{name}:{number}: one JSON object a line is wanted, like {{"text": "...", "label": "..."}}; got '
                f"{line.strip()[:40]!r} ({problem}); jq -c . joins the lines of an object, jq -c '.[]' opens an array"
            )
        if "\\ud" in line or "\\uD" in line:
            whole = {key: _mend_surrogates(value) for key, value in values.items()}
            half_characters += whole != values
            values = whole
        yield f"{name}:{number}", values
    if half_characters:
        tell(f"{name}: {half_characters:,} rows hold half a character (a lone surrogate), read as U+FFFD")


def _mend_surrogates(value: object) -> object:
    """Half a surrogate pair cannot be written to any file; it becomes U+FFFD."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _json_cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        items = [_json_cell(item) for item in value if item is not None]
        return tuple(items) if all(isinstance(item, str) for item in items) else value
    return value


_TABLE_ENDINGS = {".csv", ".tsv", ".jsonl", ".parquet", ".xlsx"}
_PART_NAMES = {"train", "dev", "valid", "val", "validation", "test"}


def folder_table(folder: Path, encoding: str | None, tell: Tell) -> Table:
    """A folder per label: the name of a sub-folder is the label, each file in it one text. Names order the rows.

    A folder that holds files alone gives texts without labels.
    """
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    folders = [entry for entry in entries if entry.is_dir()]
    files = [entry for entry in entries if entry.is_file()]
    if not entries:
        raise InputError(f"{folder} is empty; it needs a sub-folder for each label, with a file for each text")
    if folders and {entry.name.casefold() for entry in folders} <= _PART_NAMES:
        raise InputError(f"{folder} holds parts of a data set, not labels; give them one by one, like {folders[0]}")
    tables = [file for file in files if _TABLE_ENDINGS.intersection(file.suffixes)]
    if tables and not folders:
        raise InputError(f"{folder} holds data files, not a text in each file; give one of them, such as {tables[0]}")
    if not folders:
        return Table(str(folder), ["text"], _folder_records(((None, file) for file in files), encoding, tell))
    if files:
        tell(f"{folder}: {len(files):,} files outside the sub-folders are not read, such as {files[0].name}")
    labelled = (
        (label.name, file)
        for label in folders
        for file in sorted(label.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    )
    return Table(str(folder), ["label", "text"], _folder_records(labelled, encoding, tell))


def _folder_records(labelled: Iterable[tuple[str | None, Path]], encoding: str | None, tell: Tell) -> Iterator[Record]:
    """Read each file; what is said of many of them is said once."""
    notes: list[str] = []
    for label, file in labelled:
        lines = read_lines(file, encoding=encoding, tell=notes.append)
        text = "\n".join(line.removesuffix("\r") for line in lines)
        yield Record(str(file), [text] if label is None else [label, text])
    if notes:
        tell(notes[0] + (f" ({len(notes) - 1:,} more such notes on other files)" if len(notes) > 1 else ""))
