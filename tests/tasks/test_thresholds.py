"""Decisions by thresholds and costs: by hand, against every possibility, against scikit-learn."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from wenmo.errors import InputError
from wenmo.tasks.metrics import decide
from wenmo.tasks.thresholds import check_decision, choose_thresholds, decide_by

SETTINGS: dict[str, Any] = {
    "multi_label": False,
    "thresholds": (),
    "threshold_for": "none",
    "positive": "",
    "least_precision": 0.0,
    "costs": (),
}


def test_without_thresholds_the_likeliest_label_is_said() -> None:
    probabilities = [[0.2, 0.8], [0.6, 0.4]]
    for multi_label in (False, True):
        assert (decide_by(probabilities, multi_label) == decide(probabilities, multi_label)).all()


def test_of_two_labels_the_threshold_is_an_ordinary_one() -> None:
    chance = np.linspace(0.01, 0.99, 99)
    said = decide_by(np.stack([1 - chance, chance], axis=1), False, thresholds=(0.7, 0.3))
    assert (said[:, 1] == (chance > 0.3 - 1e-9)).mean() >= 98 / 99  # at 0.3 itself rounding may tip it


def test_of_several_labels_each_has_its_own_threshold() -> None:
    said = decide_by([[0.3, 0.3], [0.1, 0.9]], True, thresholds=(0.2, 0.5))
    assert said.tolist() == [[True, False], [False, True]]


def test_costs_choose_the_answer_whose_expected_cost_is_smallest() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], size=200)
    costs = [[0, 1, 10], [2, 0, 1], [1, 5, 0]]
    said = decide_by(probabilities, False, costs=costs).argmax(axis=1)
    for p, answer in zip(probabilities, said, strict=True):
        expected = [sum(p[right] * costs[right][each] for right in range(3)) for each in range(3)]
        assert expected[answer] == min(expected)


def test_elkans_threshold_of_two_costs() -> None:
    # Equation 2: with right answers free, say yes where p >= c10 / (c10 + c01): here 1 / (1 + 9).
    chance = np.array([0.05, 0.099, 0.101, 0.5])
    costs = [[0, 1], [9, 0]]
    assert decide_by(np.stack([1 - chance, chance], axis=1), False, costs=costs)[:, 1].tolist() == [0, 0, 1, 1]
    assert decide_by(chance[:, None], True, costs=costs)[:, 0].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("threshold_for", ["f1", "macro_f1", "micro_f1"])
def test_of_two_labels_no_other_threshold_is_better(threshold_for: str) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    rng = np.random.default_rng(2)
    chance = rng.uniform(size=120)
    gold = (rng.uniform(size=120) < chance**2).astype(np.int64)
    probabilities = np.stack([1 - chance, chance], axis=1)
    found = choose_thresholds(gold, probabilities, ["no", "yes"], multi_label=False, threshold_for=threshold_for)

    def score(limit: float) -> float:
        said = chance >= limit
        if threshold_for == "micro_f1":
            return float(accuracy_score(gold, said))
        return float(f1_score(gold, said, average="binary" if threshold_for == "f1" else "macro", zero_division=0))

    assert sum(found.thresholds) == pytest.approx(1)
    assert score(found.thresholds[1]) == pytest.approx(max(score(each) for each in chance), abs=1e-12)


def test_the_positive_label_may_be_the_first() -> None:
    chance = np.array([0.9, 0.8, 0.3, 0.2])  # of "bad", the first label
    probabilities = np.stack([chance, 1 - chance], axis=1)
    found = choose_thresholds(
        np.array([0, 0, 0, 1]), probabilities, ["bad", "good"], multi_label=False, threshold_for="f1", positive="bad"
    )
    assert found.thresholds == pytest.approx((0.25, 0.75))
    assert decide_by(probabilities, False, thresholds=found.thresholds)[:, 0].tolist() == [1, 1, 1, 0]


def test_of_several_labels_macro_f1_is_best_label_by_label() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(4)
    values = rng.uniform(size=(40, 2))
    gold = (rng.uniform(size=(40, 2)) < values**2).astype(np.int64)
    found = choose_thresholds(gold, values, ["a", "b"], multi_label=True, threshold_for="macro_f1")
    best = max(
        f1_score(gold, values >= np.array(limits), average="macro", zero_division=0)
        for limits in product(*(np.unique(column) for column in values.T))
    )
    said = decide_by(values, True, thresholds=found.thresholds)
    assert f1_score(gold, said, average="macro") == pytest.approx(best)
    micro = choose_thresholds(gold, values, ["a", "b"], multi_label=True, threshold_for="micro_f1").thresholds
    best = max(f1_score(gold, values >= each, average="micro") for each in np.unique(values))
    assert f1_score(gold, values >= np.array(micro), average="micro") == pytest.approx(best)


def test_of_three_labels_macro_f1_rises_over_the_likeliest_label() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet([4, 1, 0.5], size=400)
    gold = (probabilities.cumsum(axis=1) < rng.uniform(size=(400, 1))).sum(axis=1)
    found = choose_thresholds(gold, probabilities, ["a", "b", "c"], multi_label=False, threshold_for="macro_f1")
    said = decide_by(probabilities, False, thresholds=found.thresholds).argmax(axis=1)
    before = f1_score(gold, probabilities.argmax(axis=1), average="macro")
    after = f1_score(gold, said, average="macro")
    assert after > before + 0.02
    for label in range(3):  # no single threshold can be moved to a better place
        for factor in (0.5, 0.8, 0.95, 1.05, 1.25, 2.0):
            moved = list(found.thresholds)
            moved[label] *= factor
            other = decide_by(probabilities, False, thresholds=moved).argmax(axis=1)
            assert f1_score(gold, other, average="macro") <= after + 1e-9


def test_a_wanted_precision_takes_the_smallest_threshold_that_has_it() -> None:
    chance = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    gold = np.array([1, 1, 0, 1, 0, 0])
    probabilities = np.stack([1 - chance, chance], axis=1)
    found = choose_thresholds(
        gold, probabilities, ["no", "yes"], multi_label=False, threshold_for="precision", least_precision=0.75
    )
    assert found.thresholds[1] == pytest.approx(0.55) and not found.notes  # 3 of 4 from 0.6 up
    never = choose_thresholds(
        1 - gold, probabilities, ["no", "yes"], multi_label=False, threshold_for="precision", least_precision=0.9
    )
    assert never.thresholds == (0.5, 0.5)
    assert "no threshold of the label 'yes' reaches a precision of 0.9" in never.notes[0]


def test_a_label_without_a_row_keeps_its_threshold_and_is_named() -> None:
    gold = np.array([[1, 0], [0, 0]])
    found = choose_thresholds(gold, [[0.4, 0.1], [0.2, 0.3]], ["a", "b"], multi_label=True, threshold_for="macro_f1")
    assert found.thresholds == pytest.approx((0.3, 0.5))
    assert "'b'" in found.notes[0]


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        (["a", "b"], {"costs": ((0, 1), (1, 0)), "threshold_for": "f1"}, "set one of them"),
        (["a", "b"], {"costs": ((0, 1), (1, 0)), "thresholds": (0.3, 0.7)}, "set one of them"),
        (["a", "b", "c"], {"costs": ((0, 1), (1, 0))}, "3 rows and columns"),
        (["a", "b"], {"costs": ((0, -1), (1, 0))}, "negative"),
        (["a", "b"], {"costs": ((5, 1), (1, 0))}, "diagonal"),
        (["a", "b", "c"], {"threshold_for": "f1"}, "one of 3"),
        (["a", "b", "c"], {"positive": "a"}, "one of two labels"),
        (["a", "b"], {"positive": "x"}, "one of two labels"),
        (["a", "b"], {"threshold_for": "precision"}, "two settings"),
        (["a", "b"], {"least_precision": 0.9}, "two settings"),
        (["a", "b"], {"thresholds": (0.5,)}, "1 numbers for 2 labels"),
    ],
)
def test_settings_that_cannot_work_are_refused(labels: list[str], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_decision(labels, **{**SETTINGS, **settings})
