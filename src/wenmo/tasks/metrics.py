"""How good the answers are, how sure that is, and whether two models differ.

Labels are given in one of three ways: a whole number a row, a sequence of label ids a row (several labels, or none), or
a 0/1 matrix ``(rows, labels)``. Wherever an interval is given it is a 95 % interval.

The resampling here never touches single rows. An F1 depends only on how often each combination of gold and predicted
labels occurs, so a bootstrap sample of the rows is one multinomial draw of those counts: the same distribution, and a
thousand samples of any number of rows cost milliseconds.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

MetricName = Literal["accuracy", "macro_f1", "micro_f1"]
Labels = Sequence[int] | Sequence[Sequence[int]] | NDArray[Any]
Matrix = NDArray[np.bool_]
"""``(rows, labels)``, true where the row has the label."""
Counts = NDArray[np.int64]

_CHUNK_CELLS = 2_000_000
"""Resampled counts held at a time: 16 MB."""


class Interval(TypedDict):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class ClassScores(TypedDict):
    """The scores of one label; ``support`` is its number of gold rows."""

    precision: float
    recall: float
    f1: float
    support: int


def decide(probabilities: ArrayLike, multi_label: bool) -> Matrix:
    """The labels predicted: the likeliest one (the first of equals), or with several labels all of at least 0.5.

    Returns:
        ``(rows, labels)``.

    Raises:
        ValueError: ``probabilities`` is not ``(rows, labels)``, is empty, or holds a NaN or an infinity.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"probabilities must be (rows, labels), at least one of each; got {values.shape}")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise ValueError(f"probabilities of row {row} hold NaN or infinity; the model has exploded, train it anew")
    return values >= 0.5 if multi_label else _one_hot(values.argmax(axis=1), values.shape[1])


def classification_metrics(
    gold: Labels,
    probabilities: ArrayLike,
    multi_label: bool,
    *,
    predicted: Matrix | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> dict[str, Interval]:
    """Accuracy, macro F1 and micro F1, each with its interval.

    Accuracy is the share of rows whose labels are all right (exact match, where a row can have several). It is a
    proportion, so its interval is Wilson's score interval, which stays within 0 and 1 and keeps its coverage near the
    ends (Wilson 1927; Brown, Cai and DasGupta 2001). An F1 is no proportion: its interval is the percentile bootstrap
    over rows (Efron and Tibshirani 1993, section 13.3). With one label a row, micro F1 *is* the accuracy and has its
    interval. Macro F1 is the mean over the labels that occur in gold or predictions, as in scikit-learn: a label
    nobody mentions has no F1.

    Args:
        gold: the right labels of each row.
        probabilities: ``(rows, labels)``.
        multi_label: whether a row can have several labels; then those of at least 0.5 are predicted.
        predicted: the labels said, where something else decided about them.
        seed: of the bootstrap; the same seed gives the same interval.
        resamples: number of bootstrap samples.

    Raises:
        ValueError: the shapes do not fit, a gold id is outside of the labels, or a probability is not finite.
    """
    plain = decide(probabilities, multi_label)
    predicted = plain if predicted is None else predicted
    truth = _as_matrix(gold, predicted.shape[1])
    _same_rows(truth, predicted)
    if not multi_label and not (truth.sum(axis=1) == 1).all():
        row = int(np.flatnonzero(truth.sum(axis=1) != 1)[0])
        raise ValueError(f"row {row} has {int(truth[row].sum())} labels, wanted 1; pass multi_label=True")
    accuracy = wilson_interval(int((truth == predicted).all(axis=1).sum()), len(truth))
    macro_samples, micro_samples = _bootstrap_f1(truth, predicted, seed, resamples)
    totals = _tallies(truth, predicted).sum(axis=0)
    return {
        "accuracy": accuracy,
        "macro_f1": percentile_interval(float(_macro_f1(totals)), macro_samples),
        "micro_f1": percentile_interval(float(_micro_f1(totals)), micro_samples) if multi_label else accuracy.copy(),
    }


def per_class(gold: Labels, predicted: Labels, labels: Sequence[str]) -> dict[str, ClassScores]:
    """Precision, recall, F1 and number of gold rows of each label; 0 where a ratio is 0/0.

    Raises:
        ValueError: the rows differ in number, or an id is outside of ``labels``.
    """
    truth, answers = _as_matrix(gold, len(labels)), _as_matrix(predicted, len(labels))
    _same_rows(truth, answers)
    hits, num_gold, num_predicted = _parts(_tallies(truth, answers).sum(axis=0))
    precision, recall = _ratio(hits, num_predicted), _ratio(hits, num_gold)
    f1 = _ratio(2 * hits, num_gold + num_predicted)
    return {
        label: ClassScores(
            precision=float(precision[i]), recall=float(recall[i]), f1=float(f1[i]), support=int(num_gold[i])
        )
        for i, label in enumerate(labels)
    }


def confusion_matrix(gold: ArrayLike, predicted: ArrayLike, num_labels: int) -> Counts:
    """How often each gold label (row) was answered with each label (column): ``(num_labels, num_labels)``.

    Args:
        gold: ``(rows,)``, one label id each; rows with several labels have no confusion matrix.
        predicted: ``(rows,)``.

    Raises:
        ValueError: the rows differ in number, or an id is outside of the labels.
    """
    gold_ids, predicted_ids = _as_ids(gold, num_labels), _as_ids(predicted, num_labels)
    _same_rows(gold_ids, predicted_ids)
    cells = np.bincount(gold_ids * num_labels + predicted_ids, minlength=num_labels**2)
    return cells.reshape(num_labels, num_labels).astype(np.int64)


def wilson_interval(successes: int, total: int) -> Interval:
    """The score interval of a proportion (Wilson 1927, Journal of the American Statistical Association 22).

    Raises:
        ValueError: ``total`` is 0, or ``successes`` is not between 0 and ``total``.
    """
    if total < 1 or not 0 <= successes <= total:
        raise ValueError(f"wanted 0 <= successes <= total and total >= 1; got {successes} of {total}")
    z = NormalDist().inv_cdf(0.975)
    share = successes / total
    centre = share + z * z / (2 * total)
    half_width = z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    shrink = 1 + z * z / total
    # At 0 and 1 the formula gives the share itself but for rounding.
    low = min(max((centre - half_width) / shrink, 0.0), share)
    high = max(min((centre + half_width) / shrink, 1.0), share)
    return Interval(value=share, low=low, high=high)


def mean_and_interval(values: Sequence[float]) -> Interval:
    """The mean over seeds or folds with its t interval.

    It says how far the mean over *other seeds on the same rows* would lie, and nothing about other rows.

    Raises:
        ValueError: there are fewer than two values, from which no spread can be told.
    """
    from scipy.special import stdtrit

    if len(values) < 2:
        raise ValueError(f"an interval over seeds or folds needs 2 values or more; got {len(values)}")
    mean = float(np.mean(values))
    standard_error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half_width = float(stdtrit(len(values) - 1, 0.975)) * standard_error
    return Interval(value=mean, low=mean - half_width, high=mean + half_width)


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """The p-value of McNemar's exact test: do two models differ in the share of rows they get right?

    Only the rows count that one model gets right and the other wrong; were the models equally good, each of these
    would be the toss of a coin (McNemar 1947; two-sided, exact binomial). 1.0 when there is no such row.

    Args:
        correct_a: ``(rows,)``, whether model A is right.
        correct_b: ``(rows,)``, the same rows for model B.

    Raises:
        ValueError: the rows differ in number.
    """
    from scipy.special import bdtr

    a, b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    _same_rows(a, b)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return min(1.0, 2.0 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def approximate_randomisation(
    gold: Labels,
    predicted_a: Labels,
    predicted_b: Labels,
    metric: MetricName,
    *,
    seed: int = 0,
    rounds: int = 4999,
) -> float:
    """The p-value of a difference in a metric: how often is it as large when answers are swapped at random?

    Each round swaps the two models' answers on every row with probability 1/2 (Noreen 1989; Yeh 2000,
    https://aclanthology.org/C00-2137). The observed difference counts as one round, so p is never 0.

    Raises:
        ValueError: the rows differ in number, a label id is negative, or ``metric`` is unknown.
    """
    scores = {"accuracy": _share_right, "macro_f1": _macro_f1, "micro_f1": _micro_f1}
    if metric not in scores:
        raise ValueError(f"metric must be one of {', '.join(scores)}; got {metric!r}")
    score = scores[metric]
    num_labels = max(_num_labels(each) for each in (gold, predicted_a, predicted_b))
    truth, a, b = (_as_matrix(each, num_labels) for each in (gold, predicted_a, predicted_b))
    _same_rows(truth, a)
    _same_rows(truth, b)
    tallies_a, tallies_b = _tallies(truth, a), _tallies(truth, b)
    totals_a, totals_b = tallies_a.sum(axis=0), tallies_b.sum(axis=0)
    observed = abs(float(score(totals_a)) - float(score(totals_b)))

    differing = (a != b).any(axis=1)  # swapping equal answers changes nothing
    changes, sizes = _patterns(tallies_b[differing] - tallies_a[differing])
    rng = np.random.default_rng(seed)
    as_large = 1
    for size in _chunks(rounds, len(sizes)):
        swapped = rng.binomial(sizes, 0.5, size=(size, len(sizes))) @ changes  # (size, 3 * labels + 1)
        differences = np.abs(score(totals_a + swapped) - score(totals_b - swapped))
        as_large += int((differences >= observed - 1e-12).sum())
    return as_large / (rounds + 1)


def pareto_front(points: ArrayLike, directions: Sequence[Literal["max", "min"]]) -> list[bool]:
    """Which points no other point beats: as good in everything and better in something.

    Args:
        points: ``(points, criteria)``; a point with a NaN is never on the front and beats nobody.
        directions: for each criterion whether more or less is better.

    Raises:
        ValueError: the directions do not fit the points.
    """
    values = np.asarray(points, dtype=np.float64).reshape(-1, len(directions))
    if len(values) != len(np.asarray(points)) or not set(directions) <= {"max", "min"}:
        raise ValueError(f"wanted a 'max' or 'min' for each criterion; got {directions} for {np.shape(points)}")
    costs = values * [1.0 if direction == "min" else -1.0 for direction in directions]  # less is better
    as_good = (costs[:, None] <= costs[None]).all(axis=2)  # (points, points): row as good as column
    better = (costs[:, None] < costs[None]).any(axis=2)
    beaten = np.asarray((as_good & better).any(axis=0))
    incomplete = np.asarray(np.isnan(costs).any(axis=1))
    return [bool(out) for out in ~(beaten | incomplete)]


def _bootstrap_f1(
    truth: Matrix, predicted: Matrix, seed: int, resamples: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Macro and micro F1 of each bootstrap sample: two of ``(resamples,)``."""
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1; got {resamples}")
    patterns, sizes = _patterns(_tallies(truth, predicted))
    rng = np.random.default_rng(seed)
    macro, micro = [], []
    for size in _chunks(resamples, len(sizes)):
        totals = rng.multinomial(len(truth), sizes / len(truth), size=size) @ patterns
        macro.append(_macro_f1(totals))
        micro.append(_micro_f1(totals))
    return np.concatenate(macro), np.concatenate(micro)


def _tallies(truth: Matrix, predicted: Matrix) -> NDArray[np.int8]:
    """What each row adds to the sums a metric is made of: ``(rows, 3 * labels + 1)``.

    The columns: hits of each label, gold of each label, predictions of each label, all labels of the row right.
    """
    right = (truth == predicted).all(axis=1, keepdims=True)
    return np.concatenate([truth & predicted, truth, predicted, right], axis=1).astype(np.int8)


def _parts(totals: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Hits, gold and predictions of each label, each ``(..., labels)``."""
    hits, num_gold, num_predicted = np.split(totals[..., :-1].astype(np.float64), 3, axis=-1)
    return hits, num_gold, num_predicted


def _macro_f1(totals: NDArray[Any]) -> NDArray[np.float64]:
    hits, num_gold, num_predicted = _parts(totals)
    mentions = num_gold + num_predicted
    return _ratio(_ratio(2 * hits, mentions).sum(axis=-1), (mentions > 0).sum(axis=-1))


def _micro_f1(totals: NDArray[Any]) -> NDArray[np.float64]:
    hits, num_gold, num_predicted = _parts(totals)
    return _ratio(2 * hits.sum(axis=-1), (num_gold + num_predicted).sum(axis=-1))


def _share_right(totals: NDArray[Any]) -> NDArray[np.float64]:
    """The number of rows with all labels right: as good as the share, for the rows are always the same ones."""
    return totals[..., -1].astype(np.float64)


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[np.float64]:
    """The quotient, 0 where it is 0/0."""
    return np.asarray(numerator / np.maximum(denominator, 1), dtype=np.float64)


def percentile_interval(value: float, samples: NDArray[np.float64]) -> Interval:
    """The middle 95 % of the samples, widened to the value itself, which few rows of many labels can leave outside."""
    low, high = np.quantile(samples, [0.025, 0.975])
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


def _patterns(rows: NDArray[np.int8]) -> tuple[NDArray[np.float64], Counts]:
    """The distinct rows, and how often each occurs. As floats, because NumPy multiplies integer matrices slowly."""
    # Comparing bytes is many times faster than np.unique(axis=0), which sorts by every column in turn.
    keys = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1]))).ravel()
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    return rows[first].astype(np.float64), counts.astype(np.int64)


def _chunks(total: int, width: int) -> Iterator[int]:
    """Sizes that add up to ``total``, each small enough to hold that many rows of ``width`` counts."""
    largest = max(1, _CHUNK_CELLS // max(width, 1))
    for start in range(0, total, largest):
        yield min(largest, total - start)


def _as_matrix(labels: Labels, num_labels: int) -> Matrix:
    if isinstance(labels, np.ndarray) and labels.ndim == 2:
        if labels.shape[1] != num_labels or not np.isin(labels, (0, 1)).all():
            raise ValueError(f"a matrix of labels must be 0/1 and (rows, {num_labels}); got {labels.shape}")
        return labels.astype(bool)
    rows = [each for each in labels if isinstance(each, Sequence)]
    if not rows:
        return _one_hot(_as_ids(labels, num_labels), num_labels)
    matrix = np.zeros((len(rows), num_labels), dtype=bool)
    row_numbers = [number for number, ids in enumerate(rows) for _ in ids]
    matrix[row_numbers, _as_ids([each for ids in rows for each in ids], num_labels)] = True
    return matrix


def _as_ids(labels: ArrayLike, num_labels: int) -> Counts:
    ids = np.asarray(labels)
    if ids.ndim != 1 or (ids.size and not np.issubdtype(ids.dtype, np.integer)):
        raise ValueError(f"label ids must be whole numbers (rows,); got {ids.dtype} {ids.shape}")
    wrong = ids[(ids < 0) | (ids >= num_labels)]
    if wrong.size:
        raise ValueError(f"label id {wrong[0]} is outside of the {num_labels} labels (0 to {num_labels - 1})")
    return ids.astype(np.int64)


def _num_labels(labels: Labels) -> int:
    """The fewest labels that these ids or this matrix can belong to."""
    if isinstance(labels, np.ndarray):
        return labels.shape[1] if labels.ndim == 2 else int(labels.max(initial=0)) + 1
    return max((int(np.max(each, initial=0)) for each in labels), default=0) + 1


def _one_hot(ids: NDArray[Any], num_labels: int) -> Matrix:
    return np.asarray(ids[:, None] == np.arange(num_labels))


def _same_rows(a: NDArray[Any], b: NDArray[Any]) -> None:
    if len(a) != len(b):
        raise ValueError(f"one side has {len(a)} rows, the other {len(b)}; both must be the same rows in one order")
