"""Do the probabilities mean what they say? Bins of confidence, the calibration error, and what chance alone would show.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, https://arxiv.org/abs/1706.04599, section 2. With
one label a text the confidence is the probability of the likeliest label, and what happens is that it is right; where
a text may have several, every label of every text is a probability of its own, and what happens is that the text has
it.

A finite test part shows an error even where every probability is true: with 15 bins and 1,800 texts, about 2 %. So
each error is told beside the one that perfect probabilities would show on as many texts.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wenmo.tasks.metrics import Interval

NUM_BINS = 15
"""As in the paper."""
Binning = Literal["width", "mass"]
_RESAMPLES = 1000


class ReliabilityBin(TypedDict):
    """The texts whose confidence lies between ``low`` and ``high``."""

    low: float
    high: float
    rows: int
    confidence: float
    """Their mean."""
    accuracy: float
    """The share of them in which it happened."""


class CalibrationError(TypedDict):
    """An error, and what perfect probabilities would show on as many rows."""

    value: float
    low: float
    high: float
    by_chance: float
    """The mean error of perfect probabilities."""
    p: float
    """How often perfect probabilities show an error as large."""


def outcomes(
    gold: NDArray[Any], probabilities: ArrayLike, multi_label: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The probabilities that are put to the test, and whether what they speak of happened; both flat.

    Args:
        gold: ``(rows,)`` label ids, or ``(rows, labels)`` zeros and ones where a text may have several.
        probabilities: ``(rows, labels)``.
        multi_label: whether a text may have several labels.

    Raises:
        ValueError: the shapes do not fit, a label id is none of the labels, or a probability is not finite.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    truth = np.asarray(gold)
    if values.ndim != 2 or 0 in values.shape or len(truth) != len(values):
        raise ValueError(f"wanted probabilities (rows, labels) for {len(truth)} rows; got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("the probabilities hold NaN or infinity; the model has exploded, train it anew")
    if multi_label:
        return values.ravel(), truth.astype(bool).ravel()
    if truth.size and not 0 <= truth.min() <= truth.max() < values.shape[1]:
        raise ValueError(f"a label id lies outside of the {values.shape[1]} labels")
    return values.max(axis=1), values.argmax(axis=1) == truth


def reliability(
    confidence: ArrayLike, happened: ArrayLike, *, num_bins: int = NUM_BINS, binning: Binning = "width"
) -> list[ReliabilityBin]:
    """The bins that hold a row, by rising confidence.

    Args:
        confidence: ``(rows,)``, between 0 and 1.
        happened: ``(rows,)``.
        num_bins: 15 in the paper.
        binning: ``width``: bin ``m`` of ``M`` is ``((m-1)/M, m/M]``, as in the paper; ``mass``: as many rows in each,
            rows of equal confidence together (Nguyen and O'Connor, EMNLP 2015).

    Raises:
        ValueError: there is no row.
    """
    values, true = np.asarray(confidence, dtype=np.float64), np.asarray(happened, dtype=np.float64)
    if not len(values) or len(values) != len(true):
        raise ValueError(f"wanted as many outcomes as confidences, at least one; got {len(true)} and {len(values)}")
    bins = _bin_of(values, num_bins, binning)
    counts = np.bincount(bins, minlength=num_bins)
    sums, hits = (np.bincount(bins, weights=each, minlength=num_bins) for each in (values, true))
    found = []
    for each in np.flatnonzero(counts):
        inside = values[bins == each]
        ends = (each / num_bins, (each + 1) / num_bins) if binning == "width" else (inside.min(), inside.max())
        found.append(
            ReliabilityBin(
                low=float(ends[0]),
                high=float(ends[1]),
                rows=int(counts[each]),
                confidence=float(sums[each] / counts[each]),
                accuracy=float(hits[each] / counts[each]),
            )
        )
    return found


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """How far confidence and accuracy lie apart, averaged over the bins, weighted by their rows (equation 3)."""
    rows = sum(each["rows"] for each in bins)
    return float(sum(each["rows"] * abs(each["accuracy"] - each["confidence"]) for each in bins) / rows)


def calibration_error(bins: Sequence[ReliabilityBin], *, seed: int = 0) -> CalibrationError:
    """The error with its 95 % interval, and what chance alone would show.

    The interval is the percentile bootstrap over rows. Rows of one bin and one outcome are drawn as alike, with their
    mean confidence: what they differ in moves an error far less than whether they are right.
    """
    rows = np.array([each["rows"] for each in bins])
    hits = np.array([round(each["rows"] * each["accuracy"]) for each in bins])
    confidence = np.array([each["confidence"] for each in bins])
    rng = np.random.default_rng(seed)
    total = int(rows.sum())

    cells = rng.multinomial(total, np.concatenate([hits, rows - hits]) / total, size=_RESAMPLES)
    right, wrong = np.split(cells, 2, axis=1)
    samples = np.abs(right - (right + wrong) * confidence).sum(axis=1) / total
    perfect = np.abs(rng.binomial(rows, np.clip(confidence, 0, 1), size=(_RESAMPLES, len(rows))) - rows * confidence)
    by_chance = perfect.sum(axis=1) / total

    value = expected_calibration_error(bins)
    low, high = (float(each) for each in np.quantile(samples, [0.025, 0.975]))
    return CalibrationError(
        value=value,
        low=min(low, value),
        high=max(high, value),
        by_chance=float(by_chance.mean()),
        p=float((1 + (by_chance >= value - 1e-12).sum()) / (1 + _RESAMPLES)),
    )


def as_metric(error: CalibrationError) -> Interval:
    """The error as one of the metrics."""
    return Interval(value=error["value"], low=error["low"], high=error["high"])


def _bin_of(values: NDArray[np.float64], num_bins: int, binning: Binning) -> NDArray[np.int64]:
    if binning == "width":
        return np.searchsorted(np.arange(1, num_bins) / num_bins, values, side="left").astype(np.int64)
    edges = np.sort(values)[np.arange(1, num_bins) * len(values) // num_bins]
    return np.searchsorted(np.unique(edges), values, side="right").astype(np.int64)
