"""Every figure against scikit-learn, scipy, the definition spelled out as a loop, or arithmetic in the comment."""

import math
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sklearn_metrics

from wenmo.tasks.metrics import (
    approximate_randomisation,
    classification_metrics,
    confusion_matrix,
    decide,
    mcnemar,
    mean_and_interval,
    pareto_front,
    per_class,
    wilson_interval,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def single_label_rows(
    rng: np.random.Generator, num_rows: int = 300, num_labels: int = 5
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Gold ids and probabilities that are right more often than not."""
    gold = rng.integers(0, num_labels, num_rows)
    logits = rng.normal(size=(num_rows, num_labels)) + 1.5 * np.eye(num_labels)[gold]
    return gold, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def multi_label_rows(
    rng: np.random.Generator, num_rows: int = 300, num_labels: int = 5
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    gold = rng.random((num_rows, num_labels)) < 0.3
    return gold, np.clip(0.5 * gold + rng.random((num_rows, num_labels)) * 0.6, 0, 1)


def as_tuples(matrix: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    return [tuple(int(i) for i in np.flatnonzero(row)) for row in matrix]


# classification_metrics


def test_single_label_values_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    gold, probabilities = single_label_rows(rng)
    predicted = probabilities.argmax(axis=1)
    scores = classification_metrics(gold, probabilities, multi_label=False)
    assert scores["accuracy"]["value"] == pytest.approx(sklearn_metrics.accuracy_score(gold, predicted), abs=1e-12)
    for average in ("macro", "micro"):
        wanted = sklearn_metrics.f1_score(gold, predicted, average=average)
        assert scores[f"{average}_f1"]["value"] == pytest.approx(wanted, abs=1e-12)


def test_multi_label_values_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    gold, probabilities = multi_label_rows(rng)
    scores = classification_metrics(as_tuples(gold), probabilities, multi_label=True)
    predicted = probabilities >= 0.5
    assert 0 < scores["accuracy"]["value"] < 1
    assert scores["accuracy"]["value"] == pytest.approx(sklearn_metrics.accuracy_score(gold, predicted), abs=1e-12)
    for average in ("macro", "micro"):
        wanted = sklearn_metrics.f1_score(gold, predicted, average=average)
        assert scores[f"{average}_f1"]["value"] == pytest.approx(wanted, abs=1e-12)


def test_ids_tuples_and_matrices_say_the_same(rng: np.random.Generator) -> None:
    gold, probabilities = single_label_rows(rng)
    scores = classification_metrics(gold, probabilities, multi_label=False)
    assert classification_metrics(gold.tolist(), probabilities, multi_label=False) == scores
    assert classification_metrics([(int(i),) for i in gold], probabilities, multi_label=False) == scores
    assert classification_metrics(np.eye(5, dtype=int)[gold], probabilities, multi_label=False) == scores


def test_a_label_nobody_mentions_has_no_part_in_macro_f1() -> None:
    # Labels 0 and 1 are always right, label 2 is neither gold nor predicted.
    probabilities = [[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]]
    assert classification_metrics([0, 1], probabilities, multi_label=False)["macro_f1"]["value"] == 1.0


def test_a_row_without_any_label_is_right_when_nothing_is_predicted() -> None:
    scores = classification_metrics([(), (0, 1)], [[0.2, 0.4], [0.5, 0.9]], multi_label=True)
    assert scores["accuracy"]["value"] == 1.0
    assert scores["micro_f1"]["value"] == 1.0


def test_bootstrap_interval_is_that_of_resampled_rows(rng: np.random.Generator) -> None:
    gold, probabilities = single_label_rows(rng, num_rows=200, num_labels=3)
    predicted = probabilities.argmax(axis=1)
    samples = []
    for _ in range(1000):  # the definition: draw rows with replacement, score them, take the percentiles
        rows = rng.integers(0, len(gold), len(gold))
        samples.append(sklearn_metrics.f1_score(gold[rows], predicted[rows], average="macro"))
    low, high = np.quantile(samples, [0.025, 0.975])
    ours = classification_metrics(gold, probabilities, multi_label=False, resamples=20_000)["macro_f1"]
    # Each end of 1,000 samples has a standard error of about 0.002 (a width of 0.13).
    assert ours["low"] == pytest.approx(low, abs=0.01)
    assert ours["high"] == pytest.approx(high, abs=0.01)


def test_multi_label_bootstrap_interval_is_that_of_resampled_rows(rng: np.random.Generator) -> None:
    gold, probabilities = multi_label_rows(rng, num_rows=150, num_labels=4)
    predicted = probabilities >= 0.5
    samples = []
    for _ in range(1000):
        rows = rng.integers(0, len(gold), len(gold))
        samples.append(sklearn_metrics.f1_score(gold[rows], predicted[rows], average="micro"))
    low, high = np.quantile(samples, [0.025, 0.975])
    ours = classification_metrics(as_tuples(gold), probabilities, multi_label=True, resamples=20_000)["micro_f1"]
    assert ours["low"] == pytest.approx(low, abs=0.01)
    assert ours["high"] == pytest.approx(high, abs=0.01)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another(rng: np.random.Generator) -> None:
    gold, probabilities = single_label_rows(rng)
    first = classification_metrics(gold, probabilities, multi_label=False, seed=1)
    assert first == classification_metrics(gold, probabilities, multi_label=False, seed=1)
    assert first["macro_f1"] != classification_metrics(gold, probabilities, multi_label=False, seed=2)["macro_f1"]


def test_chunks_do_not_change_the_interval(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    gold, probabilities = single_label_rows(rng)
    whole = classification_metrics(gold, probabilities, multi_label=False)
    monkeypatch.setattr("wenmo.tasks.metrics._CHUNK_CELLS", 500)
    assert classification_metrics(gold, probabilities, multi_label=False) == whole


def test_one_label_a_row_makes_micro_f1_the_accuracy_with_its_interval(rng: np.random.Generator) -> None:
    scores = classification_metrics(*single_label_rows(rng), multi_label=False)
    assert scores["micro_f1"] == scores["accuracy"]


def test_every_interval_holds_its_value_even_on_few_rows_of_many_labels(rng: np.random.Generator) -> None:
    for _ in range(50):
        gold, probabilities = single_label_rows(rng, num_rows=12, num_labels=6)
        for score in classification_metrics(gold, probabilities, multi_label=False, resamples=50).values():
            assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1


def test_ten_thousand_rows_take_well_under_two_seconds(rng: np.random.Generator) -> None:
    gold, probabilities = single_label_rows(rng, num_rows=10_000, num_labels=15)
    start = time.perf_counter()
    classification_metrics(gold, probabilities, multi_label=False, resamples=1000)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("gold", "probabilities", "multi_label", "message"),
    [
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], False, "label id 2 is outside of the 2 labels"),
        ([-100], [[0.5, 0.5]], False, "label id -100"),
        ([0], [[0.5, 0.5], [0.5, 0.5]], False, "1 rows, the other 2"),
        ([(0, 1)], [[0.5, 0.5]], False, "row 0 has 2 labels"),
        ([()], [[0.5, 0.5]], False, "row 0 has 0 labels"),
        ([0], [[math.nan, 0.5]], False, "row 0 hold NaN"),
        ([], np.zeros((0, 2)), False, "at least one of each"),
        ([0.0], [[0.5, 0.5]], False, "whole numbers"),
        (np.array([[0, 2]]), [[0.5, 0.5]], True, "0/1"),
    ],
)
def test_what_cannot_be_scored_is_refused(gold: object, probabilities: object, multi_label: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classification_metrics(gold, probabilities, multi_label)  # type: ignore[arg-type]


def test_of_equal_probabilities_the_first_label_is_predicted() -> None:
    assert decide([[0.4, 0.4, 0.2]], multi_label=False).tolist() == [[True, False, False]]


# per_class, confusion_matrix


def test_per_class_scores_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    gold, probabilities = single_label_rows(rng)
    predicted = probabilities.argmax(axis=1)
    wanted = sklearn_metrics.precision_recall_fscore_support(gold, predicted)
    ours = per_class(gold, predicted, ["a", "b", "c", "d", "e"])
    assert list(ours) == ["a", "b", "c", "d", "e"]
    for i, scores in enumerate(ours.values()):
        assert list(scores.values()) == pytest.approx([column[i] for column in wanted], abs=1e-12)


def test_per_class_scores_of_several_labels_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    gold, probabilities = multi_label_rows(rng)
    wanted = sklearn_metrics.precision_recall_fscore_support(gold, probabilities >= 0.5)
    ours = per_class(as_tuples(gold), decide(probabilities, multi_label=True), list("abcde"))
    for i, scores in enumerate(ours.values()):
        assert list(scores.values()) == pytest.approx([column[i] for column in wanted], abs=1e-12)


def test_a_class_without_rows_scores_zero_and_not_an_error() -> None:
    assert per_class([0], [0], ["a", "b"])["b"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


def test_confusion_matrix_has_gold_in_rows_and_is_that_of_scikit_learn(rng: np.random.Generator) -> None:
    assert confusion_matrix([0, 0, 1], [1, 1, 1], 3).tolist() == [[0, 2, 0], [0, 1, 0], [0, 0, 0]]
    gold, probabilities = single_label_rows(rng)
    predicted = probabilities.argmax(axis=1)
    wanted = sklearn_metrics.confusion_matrix(gold, predicted)
    assert (confusion_matrix(gold, predicted, 5) == wanted).all()


def test_confusion_matrix_refuses_rows_of_several_labels() -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        confusion_matrix([[0, 1], [1, 1]], [[0, 1], [1, 1]], 2)


# intervals


@pytest.mark.parametrize(("successes", "total"), [(0, 5), (5, 5), (1, 1), (37, 100), (8123, 9600)])
def test_wilson_interval_is_that_of_scipy(successes: int, total: int) -> None:
    wanted = stats.binomtest(successes, total).proportion_ci(method="wilson")
    ours = wilson_interval(successes, total)
    assert ours["value"] == successes / total
    assert (ours["low"], ours["high"]) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_wilson_interval_refuses_more_successes_than_rows() -> None:
    with pytest.raises(ValueError, match="got 6 of 5"):
        wilson_interval(6, 5)
    with pytest.raises(ValueError, match="got 0 of 0"):
        wilson_interval(0, 0)


def test_mean_over_seeds_has_the_t_interval_of_scipy() -> None:
    values = [0.91, 0.93, 0.90, 0.92]
    low, high = stats.t.interval(0.95, df=3, loc=np.mean(values), scale=stats.sem(values))
    ours = mean_and_interval(values)
    assert list(ours.values()) == pytest.approx([0.915, low, high], abs=1e-12)


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(ValueError, match="2 values or more; got 1"):
        mean_and_interval([0.9])


# paired tests


def test_mcnemar_is_the_exact_binomial_test_worked_by_hand() -> None:
    # A alone is right 1 time, B alone 5 times: 2 * (C(6,0) + C(6,1)) / 2**6 = 14/64. Rows both get right do not count.
    a = [True] * 1 + [False] * 5 + [True] * 10
    b = [False] * 1 + [True] * 5 + [True] * 10
    assert mcnemar(a, b) == pytest.approx(14 / 64, abs=1e-12)
    assert mcnemar(b, a) == mcnemar(a, b)


def test_mcnemar_is_the_binomial_test_of_scipy(rng: np.random.Generator) -> None:
    for rows in (10, 100, 5000):
        a, b = rng.random(rows) < 0.8, rng.random(rows) < 0.76
        only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
        assert mcnemar(a, b) == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue, rel=1e-9)


def test_mcnemar_of_equal_answers_is_one() -> None:
    assert mcnemar([True, False], [True, False]) == 1.0
    assert mcnemar([True, False], [False, True]) == 1.0


def test_randomisation_finds_every_swap_of_a_small_sample() -> None:
    # Three rows differ, A right on all: of the 8 swaps 2 (none, all) give a difference as large, so p is near 1/4.
    gold, a, b = [0, 1, 0, 1], [0, 1, 0, 1], [1, 0, 1, 1]
    p = approximate_randomisation(gold, a, b, "accuracy", rounds=50_000)
    assert p == pytest.approx(0.25, abs=0.008)  # four standard errors


def test_randomisation_is_the_loop_over_rows_it_stands_for(rng: np.random.Generator) -> None:
    gold, probabilities = single_label_rows(rng, num_rows=120, num_labels=3)
    a = probabilities.argmax(axis=1)
    b = np.where(rng.random(120) < 0.15, rng.integers(0, 3, 120), a)

    def macro_f1(predicted: NDArray[np.int64]) -> float:
        return float(sklearn_metrics.f1_score(gold, predicted, average="macro"))

    observed = abs(macro_f1(a) - macro_f1(b))
    as_large = 0
    for _ in range(800):
        swap = rng.random(120) < 0.5
        as_large += abs(macro_f1(np.where(swap, b, a)) - macro_f1(np.where(swap, a, b))) >= observed - 1e-12
    p = approximate_randomisation(gold, a, b, "macro_f1", rounds=20_000)
    assert p == pytest.approx(as_large / 800, abs=0.07)  # four standard errors of the loop


def test_randomisation_agrees_with_mcnemar_on_accuracy(rng: np.random.Generator) -> None:
    gold, probabilities = single_label_rows(rng, num_rows=400)
    a = probabilities.argmax(axis=1)
    b = np.where(rng.random(400) < 0.1, 0, a)
    exact = mcnemar(a == gold, b == gold)
    assert approximate_randomisation(gold, a, b, "accuracy", rounds=20_000) == pytest.approx(exact, abs=0.02)


def test_randomisation_of_equal_answers_is_one_and_of_a_clear_difference_the_smallest_p() -> None:
    gold = [0, 1] * 50
    assert approximate_randomisation(gold, gold, gold, "macro_f1", rounds=99) == 1.0
    assert approximate_randomisation(gold, gold, [1, 0] * 50, "macro_f1", rounds=99) == 0.01


def test_randomisation_takes_rows_of_several_labels(rng: np.random.Generator) -> None:
    gold, probabilities = multi_label_rows(rng)
    good = as_tuples(decide(probabilities, multi_label=True))
    poor = [() for _ in good]
    assert approximate_randomisation(as_tuples(gold), good, poor, "micro_f1", rounds=999) == 0.001


def test_randomisation_names_the_metrics_it_knows() -> None:
    with pytest.raises(ValueError, match="accuracy, macro_f1, micro_f1; got 'bleu'"):
        approximate_randomisation([0], [0], [0], "bleu")  # type: ignore[arg-type]


# pareto_front


def test_pareto_front_keeps_what_nothing_beats() -> None:
    points = [(0.90, 10.0), (0.95, 30.0), (0.85, 20.0), (0.95, 40.0), (0.80, 5.0)]  # accuracy, milliseconds
    assert pareto_front(points, ["max", "min"]) == [True, True, False, False, True]


def test_equal_points_stand_on_the_front_together() -> None:
    assert pareto_front([(1.0, 1.0), (1.0, 1.0)], ["max", "min"]) == [True, True]


def test_a_point_with_a_missing_figure_is_not_on_the_front_and_beats_nobody() -> None:
    assert pareto_front([(0.9, math.nan), (0.8, 3.0)], ["max", "min"]) == [False, True]


def test_pareto_front_of_nothing_is_nothing() -> None:
    assert pareto_front([], ["max", "min"]) == []


def test_pareto_front_wants_a_direction_for_each_criterion() -> None:
    with pytest.raises(ValueError, match="'max' or 'min' for each"):
        pareto_front([(1.0, 2.0)], ["max"])
