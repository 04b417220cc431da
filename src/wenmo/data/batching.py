"""From a store to batches: which rows go together, in which order, and as which tensors.

The order is a function of (seed, epoch) alone, so that a run can go on in the middle of an epoch and every rank knows
the batches of all the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wenmo.data.sampling import draw_equally
from wenmo.data.store import FIRST as FIRST
from wenmo.data.store import RaggedColumn, TokenStore
from wenmo.features import TokenBatch

Rows = NDArray[np.int64]
Batch = TypeVar("Batch")

SECOND, TYPES, TARGET = "input_ids_b", "token_type_ids", "target_ids"
"""Columns of a store: the ids of a text, those of the second text of a pair, which text of a pair a token is of, and
the ids of the text that is to be written."""

VECTORS = {FIRST: "vectors", SECOND: "vectors_b"}
"""Columns of a store: a vector for each id of another column, which a batch then has in the place of the ids. Numbers
of 16 bits without a sign are those of bfloat16, which numpy does not have."""

CHARACTERS = {FIRST: "character_ids", SECOND: "character_ids_b"}
WORD_SIZES = {FIRST: "word_sizes", SECOND: "word_sizes_b"}
"""Columns of a store beside the ids of another column, for models that look into words: the characters of all words of
a row one after the other, and how many each word has."""


@dataclass(frozen=True, kw_only=True)
class BatchOrder:
    """How rows become batches.

    Exactly one of ``batch_size`` and ``batch_tokens`` is set.
    """

    batch_size: int | None = None
    """Rows of a batch."""
    batch_tokens: int | None = None
    """Places of a batch, padding included: rows times the longest of them. A longer row is a batch of its own."""
    bucket: int = 0
    """Batches among which rows are sorted by length before they are cut into batches; 0: not sorted at all."""
    shuffle: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.batch_size is None) == (self.batch_tokens is None):
            raise ValueError("set one of batch_size (rows) and batch_tokens (tokens), not both")
        if (self.batch_size or self.batch_tokens or 0) < 1 or self.bucket < 0:
            raise ValueError("batch_size and batch_tokens must be at least 1, bucket at least 0")

    def epoch(self, lengths: NDArray[np.int64], number: int, *, classes: Sequence[Rows] | None = None) -> list[Rows]:
        """The batches of one epoch, each the rows that it holds.

        Args:
            lengths: of all rows.
            number: which epoch.
            classes: rows to draw equally often; without them every row comes once.
        """
        rng = np.random.default_rng((self.seed, number))
        order = draw_equally(classes, len(lengths), rng) if classes else np.arange(len(lengths), dtype=np.int64)
        if self.shuffle:
            rng.shuffle(order)
        if not self.bucket:
            return self._cut(order, lengths)
        window = self._rows_of_a_batch(lengths) * self.bucket
        batches = []
        for start in range(0, len(order), window):
            rows = order[start : start + window]
            batches += self._cut(rows[np.argsort(lengths[rows], kind="stable")], lengths)
        if self.shuffle:
            return [batches[i] for i in rng.permutation(len(batches))]
        return batches

    def _rows_of_a_batch(self, lengths: NDArray[np.int64]) -> int:
        if self.batch_size is not None:
            return self.batch_size
        assert self.batch_tokens is not None
        return max(1, int(self.batch_tokens / max(1.0, float(lengths.mean())))) if len(lengths) else 1

    def _cut(self, rows: Rows, lengths: NDArray[np.int64]) -> list[Rows]:
        if self.batch_size is not None:
            return [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        assert self.batch_tokens is not None
        batches, start, longest = [], 0, 0
        for i, row in enumerate(rows):
            longest_with = max(longest, int(lengths[row]))
            if i > start and longest_with * (i + 1 - start) > self.batch_tokens:
                batches.append(rows[start:i])
                start, longest = i, int(lengths[row])
            else:
                longest = longest_with
        if start < len(rows):
            batches.append(rows[start:])
        return batches


def shared_out(batches: Sequence[Batch], rank: int, world_size: int) -> list[tuple[Batch, bool]]:
    """The batches of one process of several and whether they count; all processes get the same number.

    Where the batches do not divide, the processes left over repeat the first batch without counting it.
    """
    missing = -len(batches) % world_size
    padded = [(batch, True) for batch in batches] + [(batches[0], False)] * missing
    return padded[rank::world_size]


def token_batch(
    rows: Sequence[NDArray[np.int32]], padding_id: int = 0, types: Sequence[NDArray[np.int32]] | None = None
) -> TokenBatch:
    """Put rows of ids beside each other, padded on the right; at least one place long.

    Args:
        types: the ``token_type_ids`` of each row, as long as its ids; 0 on the padding.
    """
    lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
    mask = np.arange(max(1, lengths.max(initial=0))) < lengths[:, None]
    ids = np.full(mask.shape, padding_id, np.int64)
    ids[mask] = np.concatenate(rows) if len(rows) else 0
    type_ids = None
    if types is not None:
        type_ids = np.zeros(mask.shape, np.int64)
        type_ids[mask] = np.concatenate(types) if len(types) else 0
    return TokenBatch(
        input_ids=torch.from_numpy(ids),
        attention_mask=torch.from_numpy(mask.astype(np.int64)),
        token_type_ids=None if type_ids is None else torch.from_numpy(type_ids),
    )


def character_tensor(ids: Sequence[NDArray[np.int32]], sizes: Sequence[NDArray[np.int32]], length: int) -> Tensor:
    """The characters of words and how many each has, as ``(batch, length, num_characters)``, padded with 0.

    Both are one array a row: all its characters one after the other, and a number for each of its words.
    """
    sizes_in_place = np.zeros((len(ids), length), np.int64)
    for row, each in enumerate(sizes):
        sizes_in_place[row, : len(each)] = each
    inside = np.arange(max(1, sizes_in_place.max(initial=0))) < sizes_in_place[:, :, None]
    tensor = np.zeros(inside.shape, np.int64)
    tensor[inside] = np.concatenate(ids) if len(ids) else 0
    return torch.from_numpy(tensor)


def store_batch(store: TokenStore, rows: Rows) -> TokenBatch:
    """Some rows of a store as tensors, without their second texts; with their characters where the store has them."""
    types = store[TYPES].take(rows) if TYPES in store.columns else None
    return _text_batch(store, rows, FIRST, types)


def second_batch(store: TokenStore, rows: Rows) -> TokenBatch | None:
    """The second texts of some rows, in the same way; None where the store has none."""
    return _text_batch(store, rows, SECOND) if SECOND in store.columns else None


def _text_batch(
    store: TokenStore, rows: Rows, name: str, types: Sequence[NDArray[np.int32]] | None = None
) -> TokenBatch:
    """What stands in the column ``name``, or the vectors that stand for it."""
    if VECTORS[name] in store.columns:
        return _vector_batch(store[VECTORS[name]].take(rows))
    batch = token_batch(store[name].take(rows), types=types)
    if CHARACTERS[name] not in store.columns:
        return batch
    characters, sizes = (store[column].take(rows) for column in (CHARACTERS[name], WORD_SIZES[name]))
    return replace(batch, character_ids=character_tensor(characters, sizes, batch.attention_mask.size(1)))


def _vector_batch(rows: Sequence[NDArray[Any]]) -> TokenBatch:
    """Put rows of vectors ``(length, size)`` beside each other, zeros on the padding; at least one place long."""
    lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
    mask = np.arange(max(1, lengths.max(initial=0))) < lengths[:, None]
    vectors = np.zeros((*mask.shape, rows[0].shape[1]), np.float32)
    for place, row in zip(vectors, rows, strict=True):
        if row.dtype == np.uint16:  # the upper half of a float32
            place[: len(row)] = (row.astype(np.uint32) << 16).view(np.float32)
        else:
            place[: len(row)] = row
    return TokenBatch(inputs_embeds=torch.from_numpy(vectors), attention_mask=torch.from_numpy(mask.astype(np.int64)))


def row_places(columns: Mapping[str, RaggedColumn]) -> NDArray[np.int64]:
    """``(rows,)``: the places that each row takes in a batch if it is the longest there.

    Both texts of a pair stand in one batch, so that a pair takes twice the length of its longer text. A text and the
    one that is written stand in two batches, of which the larger counts.
    """
    first = columns[FIRST].lengths
    if TARGET in columns:
        return np.asarray(np.maximum(first, columns[TARGET].lengths))
    return 2 * np.maximum(first, columns[SECOND].lengths) if SECOND in columns else first
