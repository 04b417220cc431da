"""Bins of confidence, worked by hand and from the paper's formula, and what chance alone shows."""

import numpy as np
import pytest

from wenmo.tasks.reliability import (
    as_metric,
    calibration_error,
    expected_calibration_error,
    outcomes,
    reliability,
)


def test_the_error_worked_by_hand() -> None:
    probabilities = np.array([[0.9, 0.05, 0.05], [0.6, 0.3, 0.1], [0.2, 0.4, 0.4]])
    confidence, happened = outcomes(np.array([0, 0, 2]), probabilities, multi_label=False)
    bins = reliability(confidence, happened, num_bins=2)
    # (0, 0.5] holds 0.4, wrong (the first of equals is answered); (0.5, 1] holds 0.9 and 0.6, both right.
    assert [(each["low"], each["rows"], each["accuracy"]) for each in bins] == [(0.0, 1, 0.0), (0.5, 2, 1.0)]
    assert expected_calibration_error(bins) == pytest.approx((1 * 0.4 + 2 * 0.25) / 3)


def test_the_error_is_the_sum_over_bins_of_the_paper() -> None:
    rng = np.random.default_rng(3)
    confidence, happened = rng.uniform(size=500), rng.uniform(size=500) < 0.7
    wanted = 0.0
    for m in range(1, 16):  # equation 3, with the bins ((m-1)/15, m/15]
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            wanted += inside.sum() / 500 * abs(happened[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(reliability(confidence, happened)) == pytest.approx(wanted, abs=1e-12)


def test_bins_of_equal_mass_hold_as_many_rows_and_keep_equal_confidences_together() -> None:
    confidence = np.arange(1, 31) / 31
    bins = reliability(confidence, confidence > 0.5, num_bins=3, binning="mass")
    assert [each["rows"] for each in bins] == [10, 10, 10]
    assert bins[1]["low"] == pytest.approx(11 / 31) and bins[1]["high"] == pytest.approx(20 / 31)
    equal = reliability([0.1, 0.5, 0.5, 0.5, 0.5, 0.9], [1, 0, 1, 0, 1, 1], num_bins=3, binning="mass")
    assert [each["rows"] for each in equal] == [1, 5]


def test_of_several_labels_every_yes_and_no_is_a_probability() -> None:
    confidence, happened = outcomes(np.array([[1, 0], [0, 0]]), [[0.8, 0.3], [0.1, 0.6]], multi_label=True)
    assert confidence.tolist() == [0.8, 0.3, 0.1, 0.6]
    assert happened.tolist() == [True, False, False, False]


def test_true_probabilities_show_the_error_of_chance_and_false_ones_more() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, size=2000)
    true = calibration_error(reliability(confidence, rng.uniform(size=2000) < confidence))
    false = calibration_error(reliability(confidence, rng.uniform(size=2000) < confidence - 0.1))
    assert 0.01 < true["by_chance"] < 0.03 and true["p"] > 0.05
    assert false["p"] < 0.01 and false["value"] == pytest.approx(0.1, abs=0.03)
    assert false["low"] <= false["value"] <= false["high"]
    assert as_metric(false) == {name: false[name] for name in ("value", "low", "high")}


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        reliability([], [])
    with pytest.raises(ValueError, match="exploded"):
        outcomes(np.array([0]), [[np.nan, 0.5]], multi_label=False)
    with pytest.raises(ValueError, match="outside of the 2 labels"):
        outcomes(np.array([2]), [[0.5, 0.5]], multi_label=False)
