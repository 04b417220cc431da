"""Which rows an epoch holds where classes are to be drawn equally often.

An epoch has as many rows as there are, the same number of each class: every row of a rare class several times, of a
frequent class some, others in each epoch. Within an epoch, two rows of a class are drawn equally often or
one of them once more.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def rows_of_classes(gold: NDArray[Any]) -> list[NDArray[np.int64]]:
    """The rows of each class that occurs.

    Where a row may have several labels, it stands among the rows of each of them, and the rows without a label are a
    class of their own: drawing is then first of a label and then of a row that has it, so a label that goes with others
    still comes more often than one that stands alone.

    Args:
        gold: ``(rows,)`` label ids, or ``(rows, num_labels)`` zeros and ones.
    """
    if gold.ndim == 1:
        found = [np.flatnonzero(gold == label) for label in np.unique(gold)]
    else:
        found = [np.flatnonzero(column > 0) for column in gold.T]
        found.append(np.flatnonzero(~(gold > 0).any(axis=1)))
    return [rows.astype(np.int64) for rows in found if len(rows)]


def draw_equally(classes: Sequence[NDArray[np.int64]], num_rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``(num_rows,)``: rows in no particular order, every class as often as the others or once more."""
    share, rest = divmod(num_rows, len(classes))
    wanted = np.full(len(classes), share)
    wanted[rng.permutation(len(classes))[:rest]] += 1
    return np.concatenate([_cycle(rows, number, rng) for rows, number in zip(classes, wanted.tolist(), strict=True)])


def _cycle(rows: NDArray[np.int64], number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many of some rows: all of them as often as that goes, and some once more."""
    rounds, rest = divmod(number, len(rows))
    return np.concatenate([np.tile(rows, rounds), rng.permutation(rows)[:rest]])
