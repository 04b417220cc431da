"""The formats whose cells have types: Parquet, Excel workbooks, data sets of the Hugging Face hub.

Each becomes a ``Table`` of texts: a number becomes the text that a person sees there.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile

from wenmo.data.columns import LABEL_NAMES
from wenmo.data.encoding import Tell
from wenmo.data.formats import Record, Table, skip_blank_records
from wenmo.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

_RECORDS_AT_A_TIME = 1000


def parquet_table(path: Path) -> Table:
    """A Parquet file, read in batches."""
    import pyarrow as pa
    from pyarrow import parquet

    name = str(path)
    try:
        file = parquet.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{name} is not a Parquet file, or is damaged ({error})") from error
    columns = list(file.schema_arrow.names)
    batches = (batch.columns for batch in file.iter_batches(batch_size=_RECORDS_AT_A_TIME))
    return Table(name, columns, _arrow_records(batches, name, [_arrow_cells] * len(columns)))


def _arrow_records(
    batches: Iterable[Sequence[Any]], name: str, converters: Sequence[Callable[[Any], Sequence[object]]]
) -> Iterator[Record]:
    number = 0
    for arrays in batches:
        columns = [convert(array) for convert, array in zip(converters, arrays, strict=True)]
        for cells in zip(*columns, strict=True):
            number += 1
            yield Record(f"{name}:{number}", cells)


def _arrow_cells(array: "pa.Array | pa.ChunkedArray") -> Sequence[object]:
    """Numbers as Arrow prints them (1.0 is ``1``); NaN is an empty cell, which is what pandas means by it."""
    import pyarrow as pa

    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return array.to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_nested(array.type):
        values = array.to_pylist()
        return [
            tuple(str(item) for item in value if item is not None) if isinstance(value, list) else value
            for value in values
        ]
    try:
        cells: list[str | None] = array.cast(pa.string()).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # binary that is no text, rare types
        return array.to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_floating(array.type):
        return [None if cell == "nan" else cell for cell in cells]
    return cells


def xlsx_table(path: Path, tell: Tell) -> Table:
    """The first sheet of an Excel workbook that is not empty; formulas give the values Excel saved with them."""
    try:
        import openpyxl
    except ImportError as error:
        raise InputError(f'{path}: pip install "wenmo[xlsx]" to read Excel workbooks, or save it as csv') from error

    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, KeyError, ValueError, OSError) as error:
        raise InputError(f"{path} is not an .xlsx workbook, or is damaged ({error}); save it again") from error
    for sheet in workbook.worksheets:
        sheet.reset_dimensions()  # some programs write wrong ones, and rows beyond them would be lost
        first = next((row for row in sheet.iter_rows(values_only=True) if any(cell is not None for cell in row)), None)
        if first is not None:
            break
    else:
        raise InputError(f"{path} is empty; the first sheet needs a row of column names and rows of text")
    if len(workbook.worksheets) > 1:
        tell(f"{path}: the sheet {sheet.title!r} is read, the others are not")
    while first[-1] is None:
        first = first[:-1]
    records = skip_blank_records(_xlsx_records(sheet, str(path), len(first)), tell)
    return Table(str(path), None, records)


def _xlsx_records(sheet: Any, name: str, width: int) -> Iterator[Record]:
    for number, row in enumerate(sheet.iter_rows(), start=1):
        cells = [_xlsx_cell(cell) for cell in row]
        while cells and cells[-1] is None:
            cells.pop()
        yield Record(f"{name}:{number}", cells + [None] * (width - len(cells)) if cells else [])
    sheet.parent.close()


def _xlsx_cell(cell: Any) -> object:
    """What a person sees in the cell, as far as that is plain: ``1``, ``01`` with the format 00, ``TRUE``."""
    value = cell.value
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    if isinstance(value, date):
        return value.isoformat()
    zeros = re.fullmatch(r"(0+)(?:\.(0+))?", cell.number_format)
    if zeros and isinstance(value, int | float):
        whole, fraction = zeros[1], zeros[2] or ""
        return f"{value:0{len(whole) + len(fraction) + bool(fraction)}.{len(fraction)}f}"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


class HubName(NamedTuple):
    """A data set on the Hugging Face hub, or a local folder that ``datasets`` understands."""

    path: str
    config: str | None
    split: str | None


_SPLIT_NAME = re.compile(r"(train|validation|valid|val|dev|test|unsupervised)(\[[^\]]*\])?")


def parse_hub_name(source: str) -> HubName:
    """Read ``hf://name[:config][/split]``, where the name may be ``owner/name`` or a local folder.

    Raises:
        InputError: there is no name.
    """
    name, colon, config_and_split = source.removeprefix("hf://").partition(":")
    if colon and "[" in name:  # the colon belongs to a slice: hf://name/train[:100]
        name, colon, config_and_split = source.removeprefix("hf://"), "", ""
    config, split = None, None
    if colon:
        config, _, split = config_and_split.partition("/")
    elif not Path(name).is_dir():
        parent, _, last = name.rpartition("/")
        if parent and (_SPLIT_NAME.fullmatch(last) or parent.count("/") == 1 or Path(parent).is_dir()):
            name, split = parent, last
    if not name or (colon and not config):
        raise InputError(f"{source!r} names no data set; such as hf://ag_news, hf://owner/name:config/test")
    return HubName(name, config or None, split or None)


def hub_table(source: str, tell: Tell, *, streaming: bool = False) -> Table:
    """A data set read by ``datasets``, which is imported here and nowhere else. Class labels become their names.

    With ``streaming`` it is read as it comes and never kept on disk, unless a slice of it is asked for.
    """
    asked = parse_hub_name(source)
    try:
        import datasets
    except ImportError as error:
        raise InputError(f'{source}: pip install "wenmo[hf]" to read data sets by their name on the hub') from error
    try:
        streaming = streaming and "[" not in (asked.split or "")
        data = datasets.load_dataset(asked.path, name=asked.config, split=asked.split, streaming=streaming)
    except Exception as error:  # whatever the data set's own loading raises: network, names, formats
        raise InputError(f"{source} cannot be loaded: {error}") from error
    if asked.split is None:
        split = "train" if "train" in data else next(iter(data))
        if len(data) > 1:
            tell(f"{source}: the part {split!r} is read; there are {', '.join(data)}: {source}/{split}")
        data = data[split]
    if streaming and data.features is None:  # not known before the first rows are there
        data = data._resolve_features()
    columns = list(data.column_names)
    converters: list[Callable[[Any], Sequence[object]]] = []
    for column in columns:
        feature = data.features[column]
        names = getattr(getattr(feature, "feature", feature), "names", None)  # of a class label, or of a list of them
        converters.append(_class_names(names) if names else _arrow_cells)
        if column.casefold() in LABEL_NAMES and not names and getattr(feature, "dtype", "string").startswith("int"):
            tell(f"{source}: {column} is a number in `datasets`; what a file has as 01 is 1 there")
    batches = (table.columns for table in data.with_format("arrow").iter(batch_size=_RECORDS_AT_A_TIME))
    return Table(source, columns, _arrow_records(batches, source, converters))


def _class_names(names: Sequence[str]) -> Callable[[Any], Sequence[object]]:
    """Numbers become names, alone or in lists. The hub writes -1 where a label is not known."""

    def name_of(value: object) -> object:
        if isinstance(value, list):
            return tuple(names[item] for item in value if item is not None and item >= 0)
        return names[value] if isinstance(value, int) and value >= 0 else None

    return lambda array: [name_of(value) for value in array.to_pylist()]
