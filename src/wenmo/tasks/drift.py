"""Are new texts of the kind that the model was calibrated on? No promise holds where they are not.

What can be seen without labels: the confidences (two-sample Kolmogorov-Smirnov test), the labels answered (chi-squared
test of the two lists of counts) and the share of tokens that the model does not know (Welch's test of the means over
the texts). With many texts a test finds differences that do no harm, so a difference has to be sure *and* of some
size.

Texts can come and go: of the new ones only counts are kept, for which the Kolmogorov-Smirnov distance is still exact,
because between two calibration rows one of the two distribution functions does not move.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wenmo.tasks.abstention import CalibrationRows

_SURE = 0.01
_LEAST_TEXTS = 30
_LEAST_DISTANCE, _LEAST_SHIFT, _LEAST_UNKNOWN = 0.08, 0.08, 0.02
"""Between distribution functions, between shares of the labels, and between shares of unknown tokens."""


class DriftWatch:
    """Counts what a model says to new texts, and tells how it differs from what it said to its calibration rows."""

    def __init__(self, kept: CalibrationRows) -> None:
        self._kept = kept
        self._points, self._multiples = np.unique(kept.confidence, return_counts=True)
        self._at = np.zeros(len(self._points), np.int64)
        self._between = np.zeros(len(self._points) + 1, np.int64)
        self._labels = dict.fromkeys(kept.labels, 0)
        self._unknown = np.zeros(3)  # number, sum, sum of squares

    @property
    def texts(self) -> int:
        """Seen so far."""
        return int(self._at.sum() + self._between.sum())

    def add(self, confidence: NDArray[Any], labels: dict[str, int]) -> None:
        """Count some answers.

        Args:
            confidence: ``(rows,)``.
            labels: how often each label was answered.
        """
        values = np.array([float(f"{each:.7g}") for each in confidence])
        place = np.searchsorted(self._points, values, side="left")
        equal = (place < len(self._points)) & (self._points[np.minimum(place, len(self._points) - 1)] == values)
        np.add.at(self._at, place[equal], 1)
        np.add.at(self._between, place[~equal], 1)
        for label, count in labels.items():
            self._labels[label] = self._labels.get(label, 0) + count

    def add_unknown(self, shares: NDArray[Any]) -> None:
        """Count texts by the share of their tokens that the model does not know, ``(rows,)``."""
        self._unknown += (len(shares), shares.sum(), np.square(shares).sum())

    def confidences(self) -> tuple[float, float]:
        """The Kolmogorov-Smirnov distance and its p-value."""
        old = np.cumsum(self._multiples) / len(self._kept.confidence)
        before = np.cumsum(self._between[:-1] + np.concatenate([[0], self._at[:-1]]))  # new rows below each point
        new_below, new = before / self.texts, (before + self._at) / self.texts
        old_below = np.concatenate([[0.0], old[:-1]])
        distance = float(max(np.abs(old - new).max(), np.abs(old_below - new_below).max()))
        effective = math.sqrt(self.texts * len(self._kept.confidence) / (self.texts + len(self._kept.confidence)))
        return distance, kolmogorov_tail(distance * effective)

    def labels(self) -> tuple[float, float]:
        """Half the summed difference between the shares of the labels, and the p-value of the two lists of counts."""
        names = sorted({*self._labels, *self._kept.labels})
        table = np.array([[each.get(name, 0) for name in names] for each in (self._kept.labels, self._labels)], float)
        table = table[:, table.sum(axis=0) > 0]
        if table.shape[1] < 2 or not table.sum(axis=1).all():
            return 0.0, 1.0
        expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
        statistic = float((np.square(table - expected) / expected).sum())
        shares = table / table.sum(axis=1, keepdims=True)
        return float(np.abs(shares[0] - shares[1]).sum() / 2), chi_squared_tail(statistic, table.shape[1] - 1)

    def unknown(self) -> tuple[float, float, float]:
        """The mean share of unknown tokens before and now, and the p-value of a difference."""
        number, total, squares = self._unknown
        kept = self._kept
        if number < 2 or len(kept.confidence) < 2:
            return kept.unknown_mean, kept.unknown_mean, 1.0
        mean = total / number
        variance = max(0.0, squares / number - mean * mean) / number
        variance += kept.unknown_deviation**2 / len(kept.confidence)
        difference = abs(mean - kept.unknown_mean)
        if not variance:
            return kept.unknown_mean, float(mean), float(difference == 0)
        return kept.unknown_mean, float(mean), math.erfc(difference / math.sqrt(2 * variance))

    def sentences(self) -> list[str]:
        """What differs, in words; nothing for fewer than 30 texts, from which no difference can be told."""
        if self.texts < _LEAST_TEXTS:
            return []
        found = []
        distance, p = self.confidences()
        if p < _SURE and distance >= _LEAST_DISTANCE:
            found.append(f"how sure the model is (Kolmogorov-Smirnov distance {distance:.2f})")
        shift, p = self.labels()
        if p < _SURE and shift >= _LEAST_SHIFT:
            found.append(f"which labels it answers ({100 * shift:.0f} % of the texts moved)")
        before, now, p = self.unknown()
        if p < _SURE and abs(now - before) >= _LEAST_UNKNOWN:
            found.append(f"the tokens it does not know ({100 * now:.1f} % of a text, {100 * before:.1f} % before)")
        if not found:
            return []
        return [
            f"these texts are not like those that the model was calibrated on: what differs is {'; '.join(found)}. "
            f"Probabilities, thresholds and promises may not hold for them; calibrate on texts of their kind"
        ]


def kolmogorov_tail(scaled: float) -> float:
    """The chance of a larger distance, by Kolmogorov's limit; ``scaled`` is distance times root of the rows."""
    if scaled < 0.2:
        return 1.0
    total = sum((1 if each % 2 else -1) * math.exp(-2 * (each * scaled) ** 2) for each in range(1, 101))
    return min(1.0, max(0.0, 2 * total))


def chi_squared_tail(statistic: float, degrees: int) -> float:
    """The chance of a larger statistic."""
    half_degrees, half = torch.tensor([degrees / 2, statistic / 2], dtype=torch.float64)
    tail: float = torch.special.gammaincc(half_degrees, half).item()
    return tail
