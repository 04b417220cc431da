"""Vectors of texts to a file, in flat memory."""

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wenmo.data.readers import stream_rows
from wenmo.data.rows import Row
from wenmo.errors import InputError
from wenmo.inference.counts import TextCounts
from wenmo.inference.elmo_embedder import ElmoEmbedder
from wenmo.inference.embedder import Embedder
from wenmo.inference.loading import loaded_embedder
from wenmo.inference.predictor import Predictor
from wenmo.inference.texts import checked_texts
from wenmo.inference.writers import refuse_to_overwrite, written_aside
from wenmo.tasks.pairs import text_of

_NPY_HEADER_BYTES = 128


def embed_file(
    model: Predictor | Embedder | ElmoEmbedder | str | Path,
    source: str | Path,
    out: str | Path,
    *,
    pooling: str | None = None,
    normalize: bool | None = None,
    text_column: str | None = None,
    text_b_column: str | None = None,
    encoding: str | None = None,
) -> dict[str, Any]:
    """Write the vector of every text of a source; the n-th row belongs to the n-th text.

    Args:
        model: a loaded model, or its folder.
        source: what `wenmo.data.readers.stream_rows` reads; ``"-"`` is standard input.
        out: ``.npy``, float32 ``(rows, hidden_size)``; or ``.parquet`` with the columns ``row`` (from 0), ``source``
            (``file:line``) and ``embedding`` (a list of float32).
        pooling: as in `Embedder.embed`.
        normalize: the same.
        text_column: where the texts stand, if the reader does not find them.
        text_b_column: the same for the second texts of pairs.
        encoding: of a text file, if the reader does not find it.

    Returns:
        ``rows``, ``hidden_size`` (the width of the vectors) and ``file``.

    Raises:
        InputError: the source cannot be read, or the call is wrong.
        JobError: the result could not be written; there is no half-written file.
    """
    path = Path(out)
    if path.suffix.lower() not in _WRITERS:
        raise InputError(f"{out}: vectors are written as {' or '.join(_WRITERS)}; name --out so")
    refuse_to_overwrite(source, out)
    embedder = loaded_embedder(model)
    counts = TextCounts()
    sources: deque[str] = deque()
    rows = stream_rows(source, text_column=text_column, text_b_column=text_b_column, encoding=encoding)
    first = next(rows)  # there is one, or the reader says what is wrong
    size = embedder.embedding_size(pooling, text_of(first))
    texts = checked_texts(_noted(chain([first], rows), sources), embedder.pair_to_embed(text_of(first)))
    with written_aside(path) as aside, _WRITERS[path.suffix.lower()](aside, size) as writer:
        for vectors in embedder.embed_windows(texts, pooling=pooling, normalize=normalize, counts=counts):
            writer.write(vectors, [sources.popleft() for _ in range(len(vectors))])
    counts.log(embedder.max_length)
    return {"rows": counts.texts, "hidden_size": size, "file": str(out)}


def _noted(rows: Iterable[Row], sources: deque[str]) -> Iterator[Row]:
    for row in rows:
        sources.append(row.source)
        yield row


class _NpyWriter:
    """NumPy's file format, version 1.0; its header has room for any number of rows and is filled in at the end."""

    def __init__(self, path: Path, size: int) -> None:
        self._file = path.open("wb")
        self._size = size
        self._num_rows = 0
        self._file.write(_npy_header(0, size))

    def write(self, vectors: NDArray[np.float32], sources: list[str]) -> None:
        del sources  # an array has no place for them
        self._file.write(vectors.astype("<f4", copy=False).tobytes())
        self._num_rows += len(vectors)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._file.seek(0)
            self._file.write(_npy_header(self._num_rows, self._size))


class _ParquetWriter:
    def __init__(self, path: Path, size: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        del size  # every list says its length
        self._schema = pa.schema({"row": pa.int64(), "source": pa.string(), "embedding": pa.list_(pa.float32())})
        self._writer = pq.ParquetWriter(path, self._schema)
        self._num_rows = 0

    def write(self, vectors: NDArray[np.float32], sources: list[str]) -> None:
        import pyarrow as pa

        num_rows, size = vectors.shape
        columns = [
            pa.array(np.arange(self._num_rows, self._num_rows + num_rows)),
            pa.array(sources, pa.string()),
            pa.ListArray.from_arrays(np.arange(num_rows + 1, dtype=np.int32) * size, vectors.ravel()),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._num_rows += num_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


_WRITERS: dict[str, type[_NpyWriter] | type[_ParquetWriter]] = {".npy": _NpyWriter, ".parquet": _ParquetWriter}


def _npy_header(num_rows: int, size: int) -> bytes:
    described = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({num_rows}, {size}), }}"
    length = _NPY_HEADER_BYTES - 10  # behind the magic, the version and the length itself
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length) + described.ljust(length - 1).encode() + b"\n"
