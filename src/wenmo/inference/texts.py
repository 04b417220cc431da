"""Texts and pairs on their way through a model: as many at a time as shall be in memory, then ids, then vectors."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from wenmo.data.batching import CHARACTERS, FIRST, SECOND, TYPES, row_places, second_batch, store_batch
from wenmo.data.rows import Row, Text
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.inference.engines import PADDED_BATCHES, Engine, Precision, TokenIds, in_order
from wenmo.inference.poolings import TokenPooling
from wenmo.models.config import ModelConfig
from wenmo.models.windows import Windows
from wenmo.tasks.pairs import Pair, refuse_other_kind, text_of

Columns = Mapping[str, list[TokenIds]]


class VectorModel(Protocol):
    """What gives texts vectors: a classifier, or an extractor alone."""

    extractor: nn.Module
    extractor_config: ModelConfig
    windows: Windows | None

    @property
    def compares(self) -> bool:
        """Whether it makes a vector of two texts in a way of its own."""
        ...

    def vectors(self, batch: TokenBatch, batch_b: TokenBatch | None = None) -> Tensor:
        """``(batch, size)``: what a head sees of each text, or of each pair."""
        ...

    def together(self, first: Tensor, second: Tensor) -> Tensor:
        """The vector of a pair from those of its two rows of ids, each ``(batch, size)``."""
        ...


_WINDOW_TEXTS = 8192
_WINDOW_CHARACTERS = 8_000_000
"""Texts in hand at a time: among them those of one length are found, and no more of them are in memory."""


def listed(texts: Text | Iterable[Text], pair: Pair) -> Iterable[Text]:
    """One text as a list of one; where a model reads pairs, a tuple of two strings is one pair."""
    if isinstance(texts, str):
        return [texts]
    if pair != "none" and isinstance(texts, tuple) and len(texts) == 2:
        first, second = texts
        if isinstance(first, str) and isinstance(second, str):
            return [(first, second)]
    return texts


def windows(texts: Iterable[Text], pair: Pair, read_before: int = 0) -> Iterator[list[Text]]:
    """Some thousand texts at a time.

    Raises:
        InputError: an item is not what the model reads; its number, counted from ``read_before``, is in the message.
    """
    window: list[Text] = []
    num_characters = 0
    for number, text in enumerate(texts, read_before + 1):
        refuse_other_kind(text, pair, f"text {number:,}")
        window.append(text)
        num_characters += sum(map(len, (text,) if isinstance(text, str) else text))
        if len(window) >= _WINDOW_TEXTS or num_characters >= _WINDOW_CHARACTERS:
            yield window
            window, num_characters = [], 0
    if window:
        yield window


def checked_texts(rows: Iterable[Row], pair: Pair) -> Iterator[Text]:
    """The texts of rows; one of another kind than the model reads is an error that names its place."""
    for row in rows:
        refuse_other_kind(text_of(row), pair, row.source)
        yield text_of(row)


def vectors_of(
    columns: Columns,
    model: VectorModel,
    engine: Engine,
    device: torch.device,
    precision: Precision,
    how: TokenPooling | None = None,
) -> Tensor:
    """``(rows, size)``: the vector that the classifier sees, of each text or pair.

    Args:
        columns: the texts.
        model: what they are for.
        engine: runs its extractor.
        device: of the model.
        precision: in which it runs.
        how: vectors made of those of the tokens instead.

    Raises:
        InputError: such vectors are asked for, and the model has none of a pair.
    """
    compared = SECOND in columns and model.compares
    if compared and how is not None:
        raise InputError("this model makes one vector of both texts, and none of their tokens; leave the pooling out")
    if compared or CHARACTERS[FIRST] in columns:  # engines know ids alone
        return _by_the_model(columns, model, device, precision, how)
    vectors = engine.pooled([*columns[FIRST], *columns.get(SECOND, ())], columns.get(TYPES), how)
    return model.together(*vectors.chunk(2)) if SECOND in columns else vectors


def _by_the_model(
    columns: Columns, model: VectorModel, device: torch.device, precision: Precision, how: TokenPooling | None
) -> Tensor:
    """The same by padded batches of the model itself."""
    store = TokenStore.from_rows(**columns)
    order = PADDED_BATCHES.epoch(row_places(store.columns), 0)
    parts = []
    with torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext():
        for rows in order:
            found = second_batch(store, rows)
            first, second = store_batch(store, rows).to(device), found.to(device) if found else None
            if how is None:
                parts.append(model.vectors(first, second))
            elif second is None:
                parts.append(_pooled(model, first, how))
            else:
                parts.append(model.together(_pooled(model, first, how), _pooled(model, second, how)))
    return in_order(torch.cat(parts), np.concatenate(order))


def _pooled(model: VectorModel, batch: TokenBatch, how: TokenPooling) -> Tensor:
    """Of each text, or the mean over its windows."""

    def read(texts: TokenBatch) -> Tensor:
        return how(model.extractor, texts)

    return model.windows.vectors(batch, read) if model.windows else read(batch)
