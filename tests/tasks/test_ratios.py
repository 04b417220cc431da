"""Ratios of sums: their intervals and their paired test, against what can be worked out."""

import itertools

import numpy as np
import pytest

from wenmo.tasks.ratios import paired_permutation, ratio_interval


def test_the_value_is_the_ratio_of_the_sums() -> None:
    found = ratio_interval([1.0, 2.0, 9.0], [1, 1, 2])
    assert found["value"] == 3.0
    assert 1.0 <= found["low"] <= 3.0 <= found["high"] <= 4.5


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    numbers = np.random.default_rng(0).normal(10, 2, 4000)
    found = ratio_interval(numbers, np.ones(4000))
    half = 1.96 * numbers.std() / np.sqrt(4000)
    # The bootstrap's ends scatter by a few percent of the half-width with 1,000 resamples.
    assert found["high"] - found["value"] == pytest.approx(half, rel=0.12)
    assert found["value"] - found["low"] == pytest.approx(half, rel=0.12)


def test_one_row_has_no_scatter() -> None:
    assert ratio_interval([3.0], [2.0]) == {"value": 1.5, "low": 1.5, "high": 1.5}


def test_the_permutation_test_is_fishers() -> None:
    mine, theirs = np.array([1.0, 2.0, 4.0, 3.0, 2.5, 6.0]), np.array([0.5, 2.5, 1.0, 1.0, 2.0, 3.0])
    differences = mine - theirs
    exact = np.mean(
        [
            abs(np.dot(signs, differences)) >= abs(differences.sum()) - 1e-9
            for signs in itertools.product((1, -1), repeat=6)
        ]
    )
    # 10,000 rounds of a share near 0.1 scatter by 0.003.
    assert paired_permutation(mine, theirs) == pytest.approx(exact, abs=0.012)


def test_the_same_answers_differ_by_chance_alone() -> None:
    assert paired_permutation([1.0, 2.0], [1.0, 2.0]) == 1.0
    assert paired_permutation(np.arange(50), np.arange(50) + 1) < 0.001
