"""Answers with a promise: among the texts that are answered, the error is at most so much, with so much confidence.

Angelopoulos et al., "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk Control", 2021,
https://arxiv.org/abs/2110.01052: every threshold on the confidence is a hypothesis, "the error above it is larger than
promised". It is tested on rows that no choice has seen. Of the ``n`` rows above a threshold, ``k`` are answered
wrongly, binomial given ``n``; so ``P(Bin(n, risk) <= k)`` is an exact p-value, without any assumption on the model.
The thresholds are tested one after the other in an order that was fixed before (fixed-sequence testing), and the last
one before the first failure is used: the chance that its error is larger than promised is at most 1 - confidence.

The order of the tests must not depend on the rows that test. The highest confidence of all would leave too few rows
for any test to succeed. So a second set of rows, those that the model was chosen by, lays out the order: it says at
which threshold success is likeliest, and from there the thresholds go down to answering everything (the split
fixed-sequence testing of Laufer-Goldshtein et al. 2022, https://arxiv.org/abs/2210.07913). That these rows also chose
the epoch costs power at worst; the promise holds whatever they say.

Nothing here needs scipy: a model keeps its promise where it answers, and there only torch and numpy are installed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wenmo.errors import InputError

CONFIDENCE = 0.95
_NUM_THRESHOLDS = 200
_DIGITS = 7


@dataclass(frozen=True)
class Layout:
    """Thresholds from the highest to 0, with what stands above each among the rows that lay out the order."""

    rows: int
    thresholds: tuple[float, ...]
    answered: tuple[int, ...]
    wrong: tuple[int, ...]

    @classmethod
    def of(cls, confidence: NDArray[Any], right: NDArray[np.bool_]) -> Self:
        """About 200 thresholds, each letting through as many rows more than the one before; the last is 0."""
        values = np.asarray(confidence, np.float64)
        order = np.sort(values)[::-1]
        ranks = np.unique(np.linspace(1, len(order), min(_NUM_THRESHOLDS, len(order))).astype(np.int64)) - 1
        thresholds = [*sorted({_rounded(each) for each in order[ranks]}, reverse=True), 0.0]
        above = [values >= each for each in thresholds]
        return cls(
            rows=len(values),
            thresholds=tuple(thresholds),
            answered=tuple(int(each.sum()) for each in above),
            wrong=tuple(int((each & ~right).sum()) for each in above),
        )


@dataclass(frozen=True, eq=False)
class CalibrationRows:
    """What a model keeps of the labelled rows that no choice has seen, and of those that lay out the order."""

    confidence: NDArray[np.float64]
    """``(rows,)``, rising."""
    right: NDArray[np.bool_]
    """``(rows,)``."""
    layout: Layout
    labels: Mapping[str, int]
    """How often each label was answered; for noticing that new texts are of another kind."""
    unknown_mean: float
    """The share of a text's tokens that the model does not know, averaged over the texts."""
    unknown_deviation: float

    @classmethod
    def of(
        cls,
        confidence: NDArray[Any],
        right: NDArray[np.bool_],
        layout: Layout,
        labels: Mapping[str, int],
        unknown: NDArray[Any],
    ) -> Self:
        """Sort and count what a model said to the rows; ``unknown`` ``(rows,)`` is each text's share."""
        order = np.argsort(confidence, kind="stable")
        rounded = np.array([_rounded(float(each)) for each in np.asarray(confidence)[order]])
        return cls(rounded, np.asarray(right, bool)[order], layout, dict(labels), *_mean_and_deviation(unknown))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``calibration.json``; a row takes about ten bytes."""
        layout = self.layout
        return {
            "version": 1,
            "confidence": self.confidence.tolist(),
            "right": "".join("1" if each else "0" for each in self.right),
            "layout": {
                "rows": layout.rows,
                "thresholds": list(layout.thresholds),
                "answered": list(layout.answered),
                "wrong": list(layout.wrong),
            },
            "labels": dict(self.labels),
            "unknown": {"mean": self.unknown_mean, "deviation": self.unknown_deviation},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` gave.

        Raises:
            ValueError: something is missing or of another length.
        """
        try:
            layout = values["layout"]
            lists = [tuple(layout[name]) for name in ("thresholds", "answered", "wrong")]
            confidence = np.asarray(values["confidence"], np.float64)
            right = np.array([each == "1" for each in values["right"]], bool)
            found = cls(
                confidence,
                right,
                Layout(int(layout["rows"]), *lists),
                dict(values["labels"]),
                float(values["unknown"]["mean"]),
                float(values["unknown"]["deviation"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"it lacks or misspells {error}") from error
        if len(confidence) != len(right) or len({len(each) for each in lists}) != 1:
            raise ValueError("its lists are of different lengths")
        return found


@dataclass(frozen=True)
class Promise:
    """Answers where the probability is at least ``threshold`` are wrong in at most ``risk``, with ``confidence``."""

    risk: float
    confidence: float
    threshold: float
    rows: int
    """The calibration rows."""
    answered: int
    """Of them."""
    wrong: int
    """Of those answered."""

    @property
    def coverage(self) -> float:
        """The share of the calibration rows that is answered; of new texts of the same kind, about as many."""
        return self.answered / self.rows

    def sentence(self) -> str:
        """The promise in words."""
        return (
            f"error among the answered at most {_percent(self.risk)} %, with {_percent(self.confidence)} % confidence: "
            f"answers where the probability is at least {self.threshold:.4g}, coverage {100 * self.coverage:.0f} % "
            f"(of {self.rows:,} calibration texts, {self.wrong:,} of the {self.answered:,} answered were wrong)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return {
            "risk": self.risk,
            "confidence": self.confidence,
            "threshold": self.threshold,
            "coverage": self.coverage,
            "rows": self.rows,
            "answered": self.answered,
            "wrong": self.wrong,
        }


def binomial_tail(most: int, trials: int, probability: float) -> float:
    """``P(Bin(trials, probability) <= most)``, summed from its largest term so that nothing underflows."""
    if most >= trials:
        return 1.0
    if most < 0:
        return 0.0
    if not 0 < probability < 1:
        return float(probability <= 0)
    mean = trials * probability
    if most > mean:  # the other end is the shorter sum, and loses nothing: it is what is left of 1
        return 1.0 - _run(most + 1, 1, trials, probability)
    return _run(most, -1, trials, probability)


def make_promise(kept: CalibrationRows, risk: float, confidence: float = CONFIDENCE) -> Promise | None:
    """The lowest threshold above which the error is at most ``risk``; None where none can be promised.

    Raises:
        InputError: ``risk`` or ``confidence`` is no share that can be promised.
    """
    if not 0 < risk < 1:
        raise InputError(f"--abstain is the error to allow among the answered, such as 0.02; got {risk:g}")
    if not 0.5 <= confidence < 1:
        raise InputError(f"--confidence is a share from 0.5 to below 1, such as 0.95; got {confidence:g}")
    num_rows = len(kept.confidence)
    above = num_rows - np.searchsorted(kept.confidence, kept.layout.thresholds, side="left")
    wrong_from_top = np.concatenate([[0], np.cumsum(~kept.right[::-1])])
    found = None
    for each in range(_start(kept.layout, num_rows, risk), len(kept.layout.thresholds)):
        answered = int(above[each])
        wrong = int(wrong_from_top[answered])
        if binomial_tail(wrong, answered, risk) > 1 - confidence:
            break
        found = Promise(risk, confidence, kept.layout.thresholds[each], num_rows, answered, wrong)
    return found


def smallest_risk(kept: CalibrationRows, confidence: float = CONFIDENCE) -> float | None:
    """About the smallest error that these rows can promise; None where it is over a half."""
    for power in (1e-4, 1e-3, 1e-2, 1e-1):
        for times in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8):
            risk = float(f"{times * power:.2g}")
            if risk <= 0.5 and make_promise(kept, risk, confidence) is not None:
                return risk
    return None


def require_promise(kept: CalibrationRows | None, risk: float, confidence: float = CONFIDENCE) -> Promise:
    """As `make_promise`, for a caller who cannot go on without.

    Raises:
        InputError: the model keeps no calibration rows, or they cannot promise so little.
    """
    if kept is None:
        raise InputError(
            "nothing can be promised: the model keeps no calibration rows, labelled texts that no choice has seen (dev "
            "chose the epoch or the regularization); train it with -o data.calibration_share=0.2 or "
            "-o data.calibration=FILE, or make a model that has them: wenmo calibrate MODEL LABELLED --out DIR"
        )
    promise = make_promise(kept, risk, confidence)
    if promise is None:
        least = smallest_risk(kept, confidence)
        can = f"the least that they can is about {_percent(least)} %" if least else "they can promise nothing"
        raise InputError(
            f"an error of at most {_percent(risk)} % cannot be promised with {_percent(confidence)} % confidence by "
            f"the {len(kept.confidence):,} calibration rows; {can}; allow more, or bring more rows (wenmo calibrate)"
        )
    return promise


@lru_cache(maxsize=64)
def _start(layout: Layout, num_rows: int, risk: float) -> int:
    """Where the sequence begins: where the rows that lay it out say that the test succeeds most likely."""
    tails = []
    for answered, wrong in zip(layout.answered, layout.wrong, strict=True):
        share = (wrong + 0.5) / (answered + 1)
        expected = round(num_rows * answered / layout.rows)
        tails.append(binomial_tail(math.ceil(expected * share), expected, risk))
    return int(np.argmin(tails))


def _run(first: int, step: int, trials: int, probability: float) -> float:
    """The binomial probabilities from ``first`` on, up or down to the end, added; they fall on the way."""
    odds = probability / (1 - probability)
    total = term = 1.0
    each = first
    while 0 <= each + step <= trials and term > total * 1e-18:
        term *= odds * (trials - each) / (each + 1) if step > 0 else each / (odds * (trials - each + 1))
        total += term
        each += step
    return min(1.0, total * _binomial(first, trials, probability))


def _binomial(successes: int, trials: int, probability: float) -> float:
    """``P(Bin(trials, probability) = successes)`` by Loader's expansion ("Fast and Accurate Computation of Binomial
    Probabilities", 2000): differences of `math.lgamma` would lose five digits at ten thousand trials.
    """
    failures = trials - successes
    if not successes or not failures:
        return math.exp(trials * (math.log1p(-probability) if not successes else math.log(probability)))
    deviance = _deviance(successes, trials * probability) + _deviance(failures, trials * (1 - probability))
    stirling = _stirling_error(trials) - _stirling_error(successes) - _stirling_error(failures)
    return math.sqrt(trials / (2 * math.pi * successes * failures)) * math.exp(stirling - deviance)


def _stirling_error(number: int) -> float:
    """``log(number!)`` beyond Stirling's formula."""
    if number < 16:
        return math.lgamma(number + 1) - (number + 0.5) * math.log(number) + number - 0.5 * math.log(2 * math.pi)
    square = number * number
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / number


def _deviance(observed: float, expected: float) -> float:
    """``observed * log(observed / expected) + expected - observed``, exact where the two are close."""
    difference = observed - expected
    if abs(difference) >= 0.1 * (observed + expected):
        return observed * math.log(observed / expected) - difference
    ratio = difference / (observed + expected)
    total, power, each = difference * ratio, 2 * observed * ratio, 1
    while True:  # the series of log((1 + ratio) / (1 - ratio))
        power *= ratio * ratio
        added = power / (2 * each + 1)
        if total + added == total:
            return total
        total += added
        each += 1


def _mean_and_deviation(values: NDArray[Any]) -> tuple[float, float]:
    given = np.asarray(values, np.float64)
    return (float(given.mean()), float(given.std())) if len(given) else (0.0, 0.0)


def _rounded(value: float) -> float:
    """As many digits as float32 has."""
    return float(f"{value:.{_DIGITS}g}")


def _percent(share: float) -> str:
    return f"{100 * share:.3g}"
