"""Correlations, their intervals and tests, and the threshold of a yes."""

import numpy as np
import pytest
import scipy.stats

from wenmo.tasks.correlation import (
    accuracy_at,
    best_threshold,
    correlation_metrics,
    pearson,
    ranks,
    spearman,
    swapped_by_chance,
)

RNG = np.random.default_rng(0)
GOLD = RNG.integers(0, 6, 200) / 1.0
CLOSE = GOLD + RNG.normal(0, 0.5, 200)
FAR = GOLD + RNG.normal(0, 5, 200)


@pytest.mark.parametrize("said", [CLOSE, FAR, -CLOSE, np.round(CLOSE)])
def test_both_are_those_of_scipy_with_ties(said: np.ndarray) -> None:
    assert pearson(GOLD, said) == pytest.approx(scipy.stats.pearsonr(GOLD, said).statistic, abs=1e-12)
    assert spearman(GOLD, said) == pytest.approx(scipy.stats.spearmanr(GOLD, said).statistic, abs=1e-12)
    np.testing.assert_allclose(ranks(said), scipy.stats.rankdata(said))


def test_by_hand() -> None:
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, spreads 4.5 and 5.
    assert spearman([1, 5, 5, 9], [0.1, 0.2, 0.3, 0.4]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert pearson([0, 1, 2], [5, 7, 9]) == pytest.approx(1)
    assert pearson([0, 1, 2], [3, 3, 3]) == spearman([1, 1, 1], [1, 2, 3]) == 0


def test_intervals_are_those_of_a_bootstrap_row_by_row() -> None:
    found = correlation_metrics(GOLD, FAR, resamples=2000)
    rng, samples = np.random.default_rng(1), []
    for _ in range(2000):
        rows = rng.integers(0, len(GOLD), len(GOLD))
        samples.append(scipy.stats.spearmanr(GOLD[rows], FAR[rows]).statistic)
    low, high = np.quantile(samples, [0.025, 0.975])
    assert found["spearman"]["low"] == pytest.approx(low, abs=0.02)
    assert found["spearman"]["high"] == pytest.approx(high, abs=0.02)
    assert found["pearson"]["low"] < found["pearson"]["value"] < found["pearson"]["high"]
    assert found == correlation_metrics(GOLD, FAR, resamples=2000)


def test_two_models_are_told_apart_and_equal_ones_are_not() -> None:
    assert swapped_by_chance(GOLD, CLOSE, FAR, ranked=True) < 0.01
    assert swapped_by_chance(GOLD, CLOSE, 10 * CLOSE + 3, ranked=False) == 1
    other = GOLD + RNG.normal(0, 0.5, 200)
    assert swapped_by_chance(GOLD, CLOSE, other, ranked=True) > 0.05


@pytest.mark.parametrize(
    ("gold", "said", "threshold", "accuracy"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9], 0.4, 1.0),
        ([1, 1, 1], [0.3, 0.2, 0.5], 0.2, 1.0),
        ([0, 0], [0.3, 0.2], np.nextafter(0.3, 1), 1.0),
        ([0, 1, 1], [0.5, 0.5, 0.5], 0.5, 2 / 3),  # equal numbers have one answer
        ([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], 0.15, 0.75),
    ],
)
def test_the_threshold_with_which_most_are_right(
    gold: list[int], said: list[float], threshold: float, accuracy: float
) -> None:
    found = best_threshold(gold, said)
    assert found == pytest.approx(threshold)
    assert accuracy_at(gold, said, found)["value"] == pytest.approx(accuracy)
    tried = [accuracy_at(gold, said, t)["value"] for t in np.linspace(0, 1, 101)]
    assert max(tried) == pytest.approx(accuracy)


def test_what_has_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        pearson([], [])
