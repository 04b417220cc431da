"""TokenStore: named ragged columns, one layout for a thousand or ten billion tokens.

A column is flat values and offsets; row r is ``values[offsets[r]:offsets[r + 1]]``. On disk it is an Arrow IPC file of
large lists, memory-mapped when opened, so that a store may be larger than memory. Columns in use: ``input_ids``,
``input_ids_b`` (the second texts of pairs), ``token_type_ids``, ``labels``, ``target_ids``, ``spans``.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from wenmo.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

FIRST = "input_ids"
"""The column of the texts, or of the first texts of pairs."""

_FLUSH_VALUES = 1 << 22
"""Values a writer keeps in memory before it writes them: 16 MiB of int32."""


@dataclass(frozen=True, eq=False)
class RaggedColumn:
    """Rows of different lengths, kept as pieces of flat values and offsets (one piece when it was made in memory)."""

    pieces: tuple[tuple[NDArray[Any], NDArray[np.int64]], ...]

    @classmethod
    def from_rows(cls, rows: Sequence[Any], dtype: DTypeLike = np.int32) -> Self:
        """Copy rows into one flat array."""
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        values = np.concatenate([np.asarray(row, dtype) for row in rows]) if len(rows) else np.empty(0, dtype)
        return cls(((values, offsets),))

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """The first row of each piece, and the number of rows behind them."""
        starts = np.zeros(len(self.pieces) + 1, np.int64)
        np.cumsum([len(offsets) - 1 for _, offsets in self.pieces], out=starts[1:])
        return starts

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``(rows,)``."""
        parts = [np.diff(offsets) for _, offsets in self.pieces]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def __getitem__(self, row: int) -> NDArray[Any]:
        """A view of one row.

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        piece = int(np.searchsorted(self._starts, row, side="right")) - 1
        values, offsets = self.pieces[piece]
        local = row - int(self._starts[piece])
        return values[offsets[local] : offsets[local + 1]]

    def take(self, rows: Iterable[int]) -> list[NDArray[Any]]:
        """Views of some rows."""
        return [self[int(row)] for row in rows]


@dataclass(frozen=True, eq=False)
class TokenStore:
    """Ragged columns with the same number of rows."""

    columns: Mapping[str, RaggedColumn]

    def __post_init__(self) -> None:
        sizes = {name: len(column) for name, column in self.columns.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"the columns of a store have the same number of rows; got {sizes}")

    @classmethod
    def from_rows(cls, **columns: Sequence[Any]) -> Self:
        """Copy rows of int32 values into a store in memory."""
        return cls({name: RaggedColumn.from_rows(rows) for name, rows in columns.items()})

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, name: str) -> RaggedColumn:
        if name not in self.columns:
            raise KeyError(f"the store has no column {name!r}; it has {', '.join(self.columns)}")
        return self.columns[name]

    def save(self, path: Path) -> None:
        """Write the store aside, then rename it into place."""
        dtypes = {name: column.pieces[0][0].dtype for name, column in self.columns.items()}
        with TokenStoreWriter(path, dtypes) as writer:
            for row in range(len(self)):
                writer.append({name: column[row] for name, column in self.columns.items()})

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map a saved store into memory; its values are read when they are used.

        Raises:
            InputError: the file is not a store, or ends too early.
        """
        import pyarrow as pa

        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path}: not a token store, or cut short ({error}); make it again") from error
        columns: dict[str, RaggedColumn] = {}
        for index, name in enumerate(reader.schema.names):
            columns[name] = RaggedColumn(tuple(_as_numpy(batch.column(index)) for batch in batches))
        return cls(columns)


class TokenStoreWriter:
    """Writes a store row by row in flat memory; the file appears whole or not at all."""

    def __init__(self, path: Path, columns: Mapping[str, DTypeLike]) -> None:
        import pyarrow as pa

        self._path = path
        self._aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        self._dtypes = {name: np.dtype(dtype) for name, dtype in columns.items()}
        fields = [(name, pa.large_list(pa.from_numpy_dtype(dtype))) for name, dtype in self._dtypes.items()]
        self._schema = pa.schema(fields)
        self._writer = pa.ipc.new_file(str(self._aside), self._schema)
        self._rows: dict[str, list[NDArray[Any]]] = {name: [] for name in self._dtypes}
        self._waiting = 0

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row: a sequence of values for each column."""
        for name, dtype in self._dtypes.items():
            values = np.asarray(row[name], dtype)
            self._rows[name].append(values)
            self._waiting += len(values)
        if self._waiting >= _FLUSH_VALUES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        arrays = []
        for name, dtype in self._dtypes.items():
            values, offsets = RaggedColumn.from_rows(self._rows[name], dtype).pieces[0]
            arrays.append(pa.LargeListArray.from_arrays(offsets, pa.array(values)))
            self._rows[name] = []
        self._waiting = 0
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
            self._writer.close()
            if error is None:
                os.replace(self._aside, self._path)
        finally:
            self._aside.unlink(missing_ok=True)


def _as_numpy(array: "pa.LargeListArray") -> tuple[NDArray[Any], NDArray[np.int64]]:
    return (
        array.values.to_numpy(zero_copy_only=True),
        array.offsets.to_numpy(zero_copy_only=True),
    )
