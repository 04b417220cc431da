"""Metrics that are a sum over rows divided by another: cross entropy, bits a character, error counts."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wenmo.tasks.metrics import Interval

_CELLS = 4_000_000
"""Numbers drawn at a time: 32 MB."""


def ratio_interval(numerators: ArrayLike, denominators: ArrayLike, *, seed: int = 0, resamples: int = 1000) -> Interval:
    """The sum of some numerators over that of their denominators, with the bootstrap's percentile interval.

    Rows are drawn anew, both numbers of each together. One row has no scatter: its interval is its value.

    Args:
        numerators: ``(rows,)``.
        denominators: ``(rows,)``, their sum above 0.
        seed: of the drawing.
        resamples: how often all rows are drawn.
    """
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    value = float(above.sum() / below.sum())
    both = np.stack([above, below], axis=1)
    ratios = []
    for counts in _draws(len(above), resamples, seed):
        sums = counts @ both
        ratios.append(sums[:, 0] / np.maximum(sums[:, 1], np.finfo(np.float64).tiny))
    low, high = np.quantile(np.concatenate(ratios), [0.025, 0.975])
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


def paired_permutation(mine: ArrayLike, theirs: ArrayLike, *, seed: int = 0, rounds: int = 10_000) -> float:
    """The p-value of the difference of two sums over the same rows, where either number may stand on either side.

    Fisher's permutation test, approximated: how often random signs make a difference as large as the one found; the one
    found is among them, so that p is never 0.
    """
    differences = np.asarray(mine, np.float64) - np.asarray(theirs, np.float64)
    found = abs(differences.sum())
    rng = np.random.default_rng(seed)
    as_large, done = 1, 0
    while done < rounds:
        size = min(rounds - done, max(1, _CELLS // max(1, len(differences))))
        signs = rng.integers(0, 2, (size, len(differences)), np.int8) * 2 - 1
        as_large += int((np.abs(signs @ differences) >= found * (1 - 1e-12)).sum())
        done += size
    return as_large / (rounds + 1)


def _draws(num_rows: int, resamples: int, seed: int) -> list[NDArray[np.float64]]:
    """How often each row was drawn: pieces of ``(resamples, rows)``."""
    rng = np.random.default_rng(seed)
    size = max(1, _CELLS // max(1, num_rows))
    shares = np.full(num_rows, 1 / num_rows)
    return [
        rng.multinomial(num_rows, shares, size=min(size, resamples - begun)).astype(np.float64)
        for begun in range(0, resamples, size)
    ]
