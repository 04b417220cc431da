"""The labels of rows: which there are, and as numbers."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wenmo.data.rows import Row
from wenmo.errors import InputError


def find_labels(rows: Iterable[Row]) -> tuple[tuple[str, ...], bool]:
    """The labels that stand in the rows, sorted, and whether texts have several."""
    found: set[str] = set()
    several = False
    for row in rows:
        if isinstance(row.label, tuple):
            several = True
            found.update(row.label)
        elif row.label is not None:
            found.add(row.label)
    return tuple(sorted(found)), several


def label_ids(rows: Sequence[Row], known: Sequence[str], *, several: bool) -> list[list[int]]:
    """The ids of each row's labels, for the column ``labels`` of a store.

    Args:
        rows: with their labels.
        known: the labels of the task in the order of their ids.
        several: a row may have any number of labels; else it has one.

    Raises:
        InputError: a row has a label that is not among those of the task, or several where one is wanted.
    """
    id_of = {label: i for i, label in enumerate(known)}
    ids = []
    for row in rows:
        labels = row.label if isinstance(row.label, tuple) else (row.label,) if row.label is not None else ()
        if not several and len(labels) != 1:
            raise InputError(f"{row.source}: {len(labels)} labels where one is wanted; set task.multi_label=true")
        for label in labels:
            if label not in id_of:
                raise InputError(
                    f"{row.source}: the label {label!r} was not seen in training; known are "
                    f"{', '.join(known[:20])}; correct the row, or train with this label"
                )
        ids.append([id_of[label] for label in labels])
    return ids


def multi_hot(labels: Sequence[NDArray[Any]], num_labels: int) -> NDArray[np.float32]:
    """``(rows, num_labels)``: 1 where a row has a label, of the ids of each row's labels."""
    hot = np.zeros((len(labels), num_labels), np.float32)
    for row, ids in enumerate(labels):
        hot[row, ids] = 1
    return hot
