"""How well numbers that a model gives to rows agree with those that people gave: correlations, and one threshold.

Pearson's coefficient asks for a straight line, Spearman's for the same order: it is Pearson's of the ranks, equal
numbers sharing the mean of theirs. Where one side is constant there is nothing to agree with, and both are 0.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wenmo.tasks.metrics import Interval, percentile_interval, wilson_interval

Numbers = NDArray[np.float64]
_CELLS = 2_000_000
"""Resampled ranks held at a time: 16 MB."""


def pearson(gold: ArrayLike, said: ArrayLike) -> float:
    """From -1 to 1."""
    x, y = _pair(gold, said)
    return float(_weighted(x, y, np.ones((1, len(x))))[0])


def spearman(gold: ArrayLike, said: ArrayLike) -> float:
    """From -1 to 1."""
    x, y = _pair(gold, said)
    return pearson(ranks(x), ranks(y))


def ranks(values: ArrayLike) -> Numbers:
    """From 1; equal values share the mean of theirs."""
    numbers = np.asarray(values, np.float64)
    return np.asarray(_resampled_ranks(numbers, np.ones((1, len(numbers))))[0], np.float64)


def correlation_metrics(
    gold: ArrayLike, said: ArrayLike, *, seed: int = 0, resamples: int = 1000
) -> dict[str, Interval]:
    """``pearson`` and ``spearman``, each with the percentile bootstrap over rows (Efron and Tibshirani 1993, 13.3).

    Every sample has ranks of its own. Fisher's transformation would ask for numbers that are normally distributed,
    which grades from 0 to 5, or yes and no, are not.

    Raises:
        ValueError: the two differ in length, or there are none.
    """
    x, y = _pair(gold, said)
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS // len(x))
    found: dict[str, list[Numbers]] = {"pearson": [], "spearman": []}
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        times = rng.multinomial(len(x), np.full(len(x), 1 / len(x)), size=size).astype(np.float64)
        found["pearson"].append(_weighted(x, y, times))
        found["spearman"].append(_weighted(_resampled_ranks(x, times), _resampled_ranks(y, times), times))
    values = {"pearson": pearson(x, y), "spearman": spearman(x, y)}
    return {name: percentile_interval(values[name], np.concatenate(each)) for name, each in found.items()}


def swapped_by_chance(
    gold: ArrayLike, said: ArrayLike, others: ArrayLike, *, ranked: bool, seed: int = 0, rounds: int = 999
) -> float:
    """The p-value of a difference between two models' correlations with the same gold.

    How often is it as large when the models' answers are swapped at random (Noreen 1989)? Two models may answer on
    scales of their own, so what is swapped are ranks, or with ``ranked=False`` numbers of mean 0 and variance 1.
    """
    x, a = _pair(gold, said)
    _, b = _pair(gold, others)
    x, a, b = (_standard(ranks(each) if ranked else each) for each in (x, a, b))
    observed = abs(float(x @ (a - b)))
    rng = np.random.default_rng(seed)
    as_large = 1
    for _ in range(rounds):
        signs = np.where(rng.random(len(x)) < 0.5, 1.0, -1.0)
        as_large += abs(float((x * signs) @ (a - b))) >= observed - 1e-12
    return as_large / (rounds + 1)


def best_threshold(gold: ArrayLike, said: ArrayLike) -> float:
    """From which number on a yes is right most often; ``gold`` is 0 or 1. Between two neighbours it is their mean."""
    x, y = _pair(gold, said)
    order = np.argsort(y, kind="stable")
    x, y = x[order], y[order]
    # With the threshold in front of row i, the zeros before it and the ones from it on are right.
    right = np.concatenate([[0], np.cumsum(x < 0.5)]) + (x.sum() - np.concatenate([[0], np.cumsum(x > 0.5)]))
    right[1:-1][y[1:] == y[:-1]] = -1  # equal numbers have one answer
    best = int(right.argmax())
    if best in (0, len(y)):
        return float(y[0] if best == 0 else np.nextafter(y[-1], np.inf))
    return float((y[best - 1] + y[best]) / 2)


def accuracy_at(gold: ArrayLike, said: ArrayLike, threshold: float) -> Interval:
    """The share of rows where the number reaches the threshold and ``gold`` is 1, or neither; Wilson's interval."""
    x, y = _pair(gold, said)
    return wilson_interval(int(((y >= threshold) == (x > 0.5)).sum()), len(x))


def _pair(gold: ArrayLike, said: ArrayLike) -> tuple[Numbers, Numbers]:
    x, y = np.asarray(gold, np.float64), np.asarray(said, np.float64)
    if x.shape != y.shape or x.ndim != 1 or not len(x):
        raise ValueError(f"two sides of (rows,), at least one row; got {x.shape} and {y.shape}")
    return x, y


def _resampled_ranks(values: Numbers, times: Numbers) -> Numbers:
    """``(samples, rows)``: the ranks of rows that stand in each sample so many ``times``."""
    _, starts, places = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(values, kind="stable")
    first = np.searchsorted(values[order], values[starts])
    groups = np.add.reduceat(times[:, order], first, axis=1)  # (samples, distinct values)
    shared = np.cumsum(groups, axis=1) - (groups - 1) / 2
    return np.asarray(shared[:, places], np.float64)


def _weighted(x: Numbers, y: Numbers, times: Numbers) -> Numbers:
    """``(samples,)``: Pearson's coefficient where each row counts so many times."""
    total = times.sum(axis=1, keepdims=True)
    x, y = (each - (times * each).sum(axis=1, keepdims=True) / total for each in np.broadcast_arrays(x, y, times)[:2])
    products = (times * x * y).sum(axis=1)
    spread = np.sqrt((times * x * x).sum(axis=1) * (times * y * y).sum(axis=1))
    return np.asarray(np.divide(products, spread, out=np.zeros_like(products), where=spread > 1e-12), np.float64)


def _standard(values: Numbers) -> Numbers:
    spread = values.std()
    centred = values - values.mean()
    return np.asarray(centred / spread if spread > 0 else centred, np.float64)
