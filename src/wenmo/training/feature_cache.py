"""What a model that does not learn says of the texts of a run: computed once, kept on disk, read from there.

A file holds the states of all tokens of one column of a store, row behind row, and is mapped into memory, so that it
may be larger than that. It appears whole or not at all. Its name is a digest of all that the states follow from: the
weights, the layers, the precision and the ids themselves, in which the tokenizer and the reading of long texts have
shown; so a folder of such files serves every run to which they belong, and no other.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wenmo.data.batching import CHARACTERS, FIRST, SECOND, TYPES, VECTORS, WORD_SIZES, second_batch, store_batch
from wenmo.data.store import RaggedColumn, TokenStore
from wenmo.errors import InputError, JobError
from wenmo.features import TokenBatch
from wenmo.folder import weight_as_bytes
from wenmo.models.stacked import Stacked
from wenmo.tasks.answering import batches_of_store

Precision = Literal["float32", "float16", "bfloat16"]
_DTYPES: dict[str, type[np.generic]] = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
_READ_WITH = {
    FIRST: (FIRST, TYPES, CHARACTERS[FIRST], WORD_SIZES[FIRST]),
    SECOND: (SECOND, CHARACTERS[SECOND], WORD_SIZES[SECOND]),
}
"""Columns from which the states of the tokens of a column are computed."""
_LOG = logging.getLogger(__name__)


def with_vectors(
    store: TokenStore, model: Stacked, folder: Path, precision: Precision, device: torch.device
) -> TokenStore:
    """The store with the states of its texts, which batches then hold in the place of ids.

    Args:
        store: of ids.
        model: its lower model is what is computed.
        folder: where the files stand, or will.
        precision: of the numbers that are kept; what is computed is float32.
        device: that computes.

    Raises:
        InputError: there is not enough room for them.
        JobError: a file cannot be written.
    """
    model.to(device).eval()
    digest, columns = _digest(model), dict(store.columns)
    for name in (FIRST, SECOND):
        if name in store.columns:
            path = folder / f"{_name(store, name, digest, precision)}.npy"
            if not path.exists():
                _compute(store, name, model, path, precision, device)
            columns[VECTORS[name]] = _mapped(path, store[name].lengths)
    return TokenStore(columns)


def fits(store: TokenStore, most_tokens: int) -> bool:
    """Whether every text is read at once: of one that is read in windows, a token has several states or others."""
    names = [name for name in (FIRST, SECOND) if name in store.columns]
    return not most_tokens or max(int(store[name].lengths.max(initial=0)) for name in names) <= most_tokens


def _compute(
    store: TokenStore, name: str, model: Stacked, path: Path, precision: Precision, device: torch.device
) -> None:
    starts = _starts(store[name].lengths)
    # An empty file cannot be mapped.
    shape = (max(1, int(starts[-1])), model.config.num_layers_read * model.config.frozen.hidden_size)
    dtype = np.dtype(_DTYPES[precision])
    _check_room(path, shape, dtype)
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        kept = np.lib.format.open_memmap(aside, mode="w+", dtype=dtype, shape=shape)
        for rows, states in _states(store, name, model, device):
            for row, state in zip(rows, states, strict=True):
                length = int(starts[row + 1] - starts[row])
                kept[starts[row] : starts[row] + length] = _as_kept(state[:length], precision)
        kept.flush()
        del kept
        os.replace(aside, path)
    except OSError as error:
        raise JobError(f"{path}: the features cannot be written ({error}); free some space") from error
    finally:
        aside.unlink(missing_ok=True)


def _states(
    store: TokenStore, name: str, model: Stacked, device: torch.device
) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    """Rows, and the states of their tokens ``(rows, length, size)``."""
    for rows in batches_of_store(store):
        batch: TokenBatch | None = store_batch(store, rows) if name == FIRST else second_batch(store, rows)
        assert batch is not None
        states: Tensor = model.states(batch.to(device))
        yield rows.tolist(), states.float().cpu().numpy()


def _as_kept(states: NDArray[np.float32], precision: Precision) -> NDArray[Any]:
    if precision != "bfloat16":
        return states.astype(_DTYPES[precision], copy=False)
    rounded = torch.from_numpy(states).bfloat16().view(torch.int16).numpy()
    return rounded.view(np.uint16)


def _mapped(path: Path, lengths: NDArray[np.int64]) -> RaggedColumn:
    return RaggedColumn(((np.load(path, mmap_mode="r"), _starts(lengths)),))


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _check_room(path: Path, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted, free = shape[0] * shape[1] * dtype.itemsize, shutil.disk_usage(path.parent).free
    if wanted > free:
        raise InputError(
            f"{path.parent}: the features take {wanted / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; keep less by "
            "features.layers=last or features.precision=float16, keep them elsewhere by features.folder=DIR, or "
            "compute them each time by features.cached=false"
        )
    _LOG.info("features: %d tokens, %.2f GB in %s", shape[0], wanted / 1e9, path.parent)


def _digest(model: Stacked) -> bytes:
    """Of the weights, settings and layers."""
    digest = hashlib.sha256(repr((model.config.frozen.to_dict(), model.config.layers)).encode())
    for name, weight in sorted(model.frozen.state_dict().items()):
        digest.update(weight_as_bytes(name, weight))
    return digest.digest()


def _name(store: TokenStore, name: str, model: bytes, precision: Precision) -> str:
    digest = hashlib.sha256(model + precision.encode())
    for column in _READ_WITH[name]:
        if column in store.columns:
            digest.update(column.encode() + store[column].lengths.tobytes())
            for values, offsets in store[column].pieces:
                digest.update(np.ascontiguousarray(values[offsets[0] : offsets[-1]]).tobytes())
    return digest.hexdigest()[:32]
