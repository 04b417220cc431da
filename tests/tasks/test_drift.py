"""Drift: the statistics are scipy's, what has not moved is not reported, and what has is."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2, chi2_contingency, ks_2samp, kstwobign, ttest_ind_from_stats

from wenmo.tasks.abstention import CalibrationRows, Layout
from wenmo.tasks.drift import DriftWatch, chi_squared_tail, kolmogorov_tail


def kept(confidence: NDArray[np.float64], unknown: NDArray[np.float64] | None = None) -> CalibrationRows:
    layout = Layout.of(np.array([0.9]), np.array([True]))
    shares = np.full(len(confidence), 0.1) if unknown is None else unknown
    return CalibrationRows.of(confidence, np.ones(len(confidence), bool), layout, {"a": 60, "b": 40}, shares)


@pytest.mark.parametrize("digits", [2, 7])
def test_the_distance_is_scipys_also_with_equal_confidences(digits: int) -> None:
    rng = np.random.default_rng(0)
    old, new = rng.beta(3, 1, 300).round(digits), rng.beta(2, 1, 170).round(digits)
    watch = DriftWatch(kept(old))
    for part in np.array_split(new, 3):  # texts come in windows
        watch.add(part, {})
    distance, p = watch.confidences()
    wanted = ks_2samp(old, new, method="asymp")
    assert distance == pytest.approx(wanted.statistic, abs=1e-9)
    assert p == pytest.approx(kstwobign.sf(wanted.statistic * np.sqrt(300 * 170 / 470)), abs=1e-9)
    assert watch.texts == 170


@pytest.mark.parametrize("scaled", [0.3, 0.8, 1.36, 2.5])
def test_kolmogorovs_tail_is_scipys(scaled: float) -> None:
    assert kolmogorov_tail(scaled) == pytest.approx(kstwobign.sf(scaled), rel=1e-8)
    assert kolmogorov_tail(0.0) == 1.0


def test_the_chi_squared_tail_is_scipys() -> None:
    assert chi_squared_tail(7.3, 4) == pytest.approx(chi2.sf(7.3, 4), rel=1e-10)


def test_the_labels_are_compared_as_scipy_does() -> None:
    watch = DriftWatch(kept(np.full(100, 0.9)))
    watch.add(np.full(50, 0.9), {"a": 20, "b": 30})
    shift, p = watch.labels()
    assert shift == pytest.approx(0.2)
    assert p == pytest.approx(chi2_contingency([[60, 40], [20, 30]], correction=False).pvalue, rel=1e-9)


def test_unknown_tokens_are_compared_as_welch_does() -> None:
    rng = np.random.default_rng(1)
    old, new = rng.uniform(0, 0.2, 400), rng.uniform(0, 0.22, 300)
    watch = DriftWatch(kept(np.full(400, 0.9), old))
    watch.add_unknown(new[:100])
    watch.add_unknown(new[100:])
    before, now, p = watch.unknown()
    wanted = ttest_ind_from_stats(old.mean(), old.std(), 400, new.mean(), new.std(), 300, equal_var=False).pvalue
    assert (before, now) == pytest.approx((old.mean(), new.mean()))
    assert p == pytest.approx(wanted, rel=0.1)  # the normal distribution for Student's with hundreds of texts


def test_texts_of_the_same_kind_are_not_reported() -> None:
    silent = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        watch = DriftWatch(kept(rng.beta(3, 1, 500), rng.uniform(0, 0.2, 500)))
        watch.add(rng.beta(3, 1, 500), dict(zip("ab", rng.multinomial(500, [0.6, 0.4]).tolist(), strict=True)))
        watch.add_unknown(rng.uniform(0, 0.2, 500))
        silent += not watch.sentences()
    assert silent >= 38


def test_texts_of_another_kind_are_reported_with_what_differs() -> None:
    rng = np.random.default_rng(2)
    watch = DriftWatch(kept(rng.beta(3, 1, 500), rng.uniform(0, 0.2, 500)))
    watch.add(rng.beta(1, 1, 500), {"a": 100, "b": 400})
    watch.add_unknown(rng.uniform(0.2, 0.6, 500))
    (sentence,) = watch.sentences()
    for what in ("how sure", "which labels", "does not know", "calibrate on texts of their kind"):
        assert what in sentence


def test_of_a_handful_of_texts_nothing_is_said() -> None:
    watch = DriftWatch(kept(np.linspace(0.5, 1, 500)))
    watch.add(np.full(29, 0.01), {"b": 29})
    assert watch.sentences() == []
