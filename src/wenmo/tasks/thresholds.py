"""From probabilities to labels: thresholds chosen on dev, and decisions by what mistakes cost.

Where a text may have several labels, a label is said where its probability reaches its threshold. Where it has one,
the label with the largest probability *relative to its threshold* is said; with two labels whose thresholds add up to
1, that is the ordinary threshold on one of them. With costs, no dev is needed: the label is said whose expected cost
under the probabilities is smallest (Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001), so the
probabilities should be calibrated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wenmo.errors import InputError
from wenmo.tasks.metrics import Matrix, decide

ThresholdFor = Literal["none", "f1", "macro_f1", "micro_f1", "precision"]
Probabilities = NDArray[np.float64]
_ROUNDS = 10
_LEAST, _MOST = 1e-6, 1 - 1e-6


@dataclass(frozen=True)
class ChosenThresholds:
    """One for each label, in the order of the labels, and what to know about them."""

    thresholds: tuple[float, ...]
    notes: tuple[str, ...] = ()


def decide_by(
    probabilities: ArrayLike,
    multi_label: bool,
    *,
    thresholds: Sequence[float] = (),
    costs: Sequence[Sequence[float]] = (),
) -> Matrix:
    """The labels said, ``(rows, labels)``; without thresholds and costs as `wenmo.tasks.metrics.decide`.

    Args:
        probabilities: ``(rows, labels)``.
        multi_label: whether a text may have several labels.
        thresholds: one for each label.
        costs: rows: what is right, columns: what is said. With several labels two rows and columns, no and yes.

    Raises:
        ValueError: ``probabilities`` is not ``(rows, labels)``, is empty, or holds a NaN or an infinity.
    """
    plain = decide(probabilities, multi_label)
    if not len(thresholds) and not len(costs):
        return plain
    values = np.asarray(probabilities, np.float64)
    if len(costs):
        table = np.asarray(costs, np.float64)
        if multi_label:
            no, yes = (values * table[1, said] + (1 - values) * table[0, said] for said in (0, 1))
            return np.asarray(yes < no)
        return _likeliest(-(values @ table))
    limits = np.asarray(thresholds, np.float64)
    return np.asarray(values >= limits) if multi_label else _likeliest(values / limits)


def check_decision(
    labels: Sequence[str],
    multi_label: bool,
    *,
    thresholds: Sequence[float],
    threshold_for: str,
    positive: str,
    least_precision: float,
    costs: Sequence[Sequence[float]],
) -> None:
    """Whether these settings can work for these labels.

    Raises:
        InputError: they cannot; the message names the setting.
    """
    if sum((bool(len(costs)), threshold_for != "none")) > 1:
        raise InputError("task.costs and task.threshold_for both say how to decide; set one of them")
    if len(costs) and len(thresholds):
        raise InputError("task.costs and task.thresholds both say how to decide; set one of them, the other to []")
    if len(costs):
        _check_costs(costs, 2 if multi_label else len(labels), multi_label)
    if positive and (multi_label or positive not in labels or len(labels) != 2):
        raise InputError(f"task.positive={positive!r} names one of two labels; the labels are {', '.join(labels[:20])}")
    if threshold_for in ("f1", "precision") and not multi_label and len(labels) != 2:
        raise InputError(
            f"task.threshold_for={threshold_for} speaks of one label against the other, and here a text has one of "
            f"{len(labels)}; use macro_f1, or let the model abstain (wenmo predict --abstain)"
        )
    if (threshold_for == "precision") != bool(least_precision):
        raise InputError(
            "a precision is wanted by two settings: task.threshold_for=precision, task.least_precision=0.95"
        )
    if len(thresholds) and len(thresholds) != len(labels):
        raise InputError(f"task.thresholds has {len(thresholds)} numbers for {len(labels)} labels; give one for each")


def choose_thresholds(
    gold: NDArray[Any],
    probabilities: ArrayLike,
    labels: Sequence[str],
    *,
    multi_label: bool,
    threshold_for: ThresholdFor,
    positive: str = "",
    least_precision: float = 0.0,
) -> ChosenThresholds:
    """The thresholds that are best on these rows; of equals those nearest to what they would be by themselves.

    Args:
        gold: ``(rows,)`` label ids, or ``(rows, labels)`` zeros and ones where a text may have several.
        probabilities: ``(rows, labels)``.
        labels: the names, for what is said.
        multi_label: whether a text may have several labels.
        threshold_for: ``f1``: of ``positive``; ``macro_f1`` and ``micro_f1`` as in the metrics; ``precision``: the
            smallest threshold above which the precision is at least ``least_precision``.
        positive: which of two labels is looked for; empty: the second.
        least_precision: between 0 and 1.
    """
    values = np.asarray(probabilities, np.float64)
    if multi_label:
        return _for_several(np.asarray(gold) > 0, values, labels, threshold_for, least_precision)
    truth = np.asarray(gold)
    if len(labels) != 2:
        score = _accuracy_curve if threshold_for == "micro_f1" else _macro_f1_curve
        return ChosenThresholds(_coordinate_ascent(truth, values, score))
    which = labels.index(positive) if positive else 1
    yes, chance = truth == which, values[:, which]
    if threshold_for == "precision":
        limit, notes = _for_precision(yes, chance, labels[which], least_precision)
    else:
        curves = {"f1": _f1_of_counts, "micro_f1": _accuracy_of_counts, "macro_f1": _macro_of_counts}
        limit, notes = _best_cut(yes, chance, curves[threshold_for]), ()
    pair = (1 - limit, limit) if which == 1 else (limit, 1 - limit)
    return ChosenThresholds(pair, notes)


_Curve = Callable[[NDArray[Any], NDArray[Any], int, int], NDArray[np.float64]]
"""Hits and answers of each cut, positive rows, all rows -> the score of each cut."""


def _for_several(
    gold: Matrix, values: Probabilities, labels: Sequence[str], threshold_for: ThresholdFor, least_precision: float
) -> ChosenThresholds:
    if threshold_for == "micro_f1":  # one threshold for all: at the optimum they are equal (Lipton et al. 2014)
        common = _best_cut(gold.ravel(), values.ravel(), _f1_of_counts)
        return ChosenThresholds((common,) * len(labels))
    limits: list[float] = []
    notes: list[str] = []
    for each, label in enumerate(labels):
        if threshold_for == "precision":
            limit, said = _for_precision(gold[:, each], values[:, each], label, least_precision)
            notes += said
        elif gold[:, each].any():
            limit = _best_cut(gold[:, each], values[:, each], _f1_of_counts)
        else:
            limit = 0.5
            notes.append(f"no row has the label {label!r}; its threshold stays 0.5")
        limits.append(limit)
    return ChosenThresholds(tuple(limits), tuple(notes))


def _for_precision(
    yes: NDArray[np.bool_], chance: Probabilities, label: str, least: float
) -> tuple[float, tuple[str, ...]]:
    """The smallest threshold that is precise enough; 0.5 and a sentence where there is none."""
    cuts, hits, said = _cuts(yes, chance)
    precision = hits / said
    enough = np.flatnonzero(precision >= least)
    if len(enough):
        return _threshold(cuts, int(enough[-1])), ()
    best = int(precision.argmax())
    sentence = (
        f"no threshold of the label {label!r} reaches a precision of {least:g} on these rows; the best is "
        f"{precision[best]:.3f} at {cuts[best]:.4g}; it stays 0.5"
    )
    return 0.5, (sentence,)


def _best_cut(yes: NDArray[np.bool_], chance: Probabilities, curve: _Curve) -> float:
    cuts, hits, said = _cuts(yes, chance)
    scores = curve(hits, said, int(yes.sum()), len(yes))
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    nearest = best[np.abs(cuts[best] - 0.5).argmin()]
    return _threshold(cuts, int(nearest))


def _cuts(yes: NDArray[np.bool_], chance: Probabilities) -> tuple[Probabilities, NDArray[Any], NDArray[Any]]:
    """Each distinct probability from the highest on; the positive rows and all rows from there up."""
    order = np.argsort(-chance, kind="stable")
    ordered = chance[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return ordered[last], np.cumsum(yes[order])[last], last + 1


def _threshold(cuts: Probabilities, each: int) -> float:
    """Between this probability and the next smaller one, so that a rounding does not tip a row over."""
    below = cuts[each + 1] if each + 1 < len(cuts) else 0.0
    return float(np.clip((cuts[each] + below) / 2, _LEAST, _MOST))


def _f1_of_counts(hits: NDArray[Any], said: NDArray[Any], positive: int, rows: int) -> NDArray[np.float64]:
    del rows
    return np.asarray(2 * hits / np.maximum(said + positive, 1), np.float64)


def _accuracy_of_counts(hits: NDArray[Any], said: NDArray[Any], positive: int, rows: int) -> NDArray[np.float64]:
    return np.asarray((hits + rows - positive - (said - hits)) / rows, np.float64)


def _macro_of_counts(hits: NDArray[Any], said: NDArray[Any], positive: int, rows: int) -> NDArray[np.float64]:
    other_hits = rows - positive - (said - hits)
    of_other = _f1_of_counts(other_hits, rows - said, rows - positive, rows)
    return (_f1_of_counts(hits, said, positive, rows) + of_other) / 2


def _coordinate_ascent(truth: NDArray[Any], values: Probabilities, curve: "_LabelCurve") -> tuple[float, ...]:
    """Each label's threshold in turn at its best while the others stay, until nothing gets better.

    They begin at 1 / labels, where they change nothing, and every step is exact: all flips of a row are tried.
    """
    num_labels = values.shape[1]
    limits = np.full(num_labels, 1 / num_labels)
    best = -np.inf
    for _ in range(_ROUNDS):
        before = best
        for each in range(num_labels):
            limit, score = _best_for_label(truth, values, limits, each, curve)
            if score > best + 1e-9:
                limits[each], best = limit, score
        if best <= before + 1e-9:
            break
    return tuple(float(each) for each in np.clip(limits, _LEAST, _MOST))


_LabelCurve = Callable[[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]], NDArray[np.float64]]
"""Hits and answers of each label behind each flip ``(flips, labels)``, gold of each label, its ids -> scores."""


def _best_for_label(
    truth: NDArray[Any], values: Probabilities, limits: NDArray[np.float64], label: int, curve: _LabelCurve
) -> tuple[float, float]:
    """A row says ``label`` where ``p / limit`` beats all others: at limits below its own flip."""
    num_labels = values.shape[1]
    ratios = values / limits
    ratios[:, label] = -np.inf
    other = ratios.argmax(axis=1)
    flip = values[:, label] / np.maximum(ratios.max(axis=1), 1e-300)
    order = np.argsort(-flip, kind="stable")
    rows = np.arange(len(truth))

    said = np.zeros((len(truth) + 1, num_labels))
    hits = np.zeros((len(truth) + 1, num_labels))
    said[0] = np.bincount(other, minlength=num_labels)
    hits[0] = np.bincount(other[other == truth], minlength=num_labels)
    said[rows + 1, label] += 1
    said[rows + 1, other[order]] -= 1
    hits[rows + 1, label] += truth[order] == label
    hits[rows + 1, other[order]] -= truth[order] == other[order]
    scores = curve(hits.cumsum(axis=0), said.cumsum(axis=0), np.bincount(truth, minlength=num_labels), truth)

    ordered = flip[order]
    edges = np.concatenate([[max(1.0, 2 * ordered[0])], (ordered[:-1] + ordered[1:]) / 2, [ordered[-1] / 2]])
    possible = np.concatenate([[True], ordered[:-1] != ordered[1:], [True]]) & (edges > _LEAST) & (edges < _MOST)
    scores = np.where(possible, scores, -np.inf)
    chosen = np.flatnonzero(scores >= scores.max() - 1e-12)
    nearest = chosen[np.abs(edges[chosen] - limits[label]).argmin()]
    return float(edges[nearest]), float(scores[nearest])


def _macro_f1_curve(
    hits: NDArray[Any], said: NDArray[Any], support: NDArray[Any], truth: NDArray[Any]
) -> NDArray[np.float64]:
    del truth
    mentions = said + support
    f1 = 2 * hits / np.maximum(mentions, 1)
    return np.asarray(f1.sum(axis=1) / np.maximum((mentions > 0).sum(axis=1), 1), np.float64)


def _accuracy_curve(
    hits: NDArray[Any], said: NDArray[Any], support: NDArray[Any], truth: NDArray[Any]
) -> NDArray[np.float64]:
    del said, support
    return np.asarray(hits.sum(axis=1) / len(truth), np.float64)


def _likeliest(scores: NDArray[np.float64]) -> Matrix:
    return np.asarray(scores.argmax(axis=1)[:, None] == np.arange(scores.shape[1]))


def _check_costs(costs: Sequence[Sequence[float]], size: int, multi_label: bool) -> None:
    what = "no and yes" if multi_label else "the labels, in their order"
    table = [list(row) for row in costs]
    if len(table) != size or any(len(row) != size for row in table):
        raise InputError(f"task.costs is a table of {size} rows and columns ({what}): what is right, what is said")
    if any(not np.isfinite(each) or each < 0 for row in table for each in row):
        raise InputError("task.costs holds a negative number or none; a cost is 0 or more")
    if any(row[i] > min(row) for i, row in enumerate(table)):
        raise InputError("task.costs makes a right answer dearer than a wrong one; the diagonal is the cheapest")
