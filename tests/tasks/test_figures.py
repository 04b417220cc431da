"""How metrics are written for people."""

import math

import pytest

from wenmo.tasks.figures import MISSING, chosen_by, metric_named
from wenmo.tasks.generation import Generation
from wenmo.tasks.task import Task


@pytest.mark.parametrize(
    ("name", "value", "heading", "in_text", "with_unit"),
    [
        ("accuracy", 0.91326, "accuracy, %", "91.3 %", "91.3 %"),
        ("macro_f1", 1, "macro F1, %", "100.0 %", "100.0 %"),
        ("cross_entropy", 2.61894, "cross entropy, nats a token", "2.619", "2.619 nats a token"),
        ("perplexity", 13.7213, "perplexity", "13.72", "13.72"),
        ("bits_per_character", 1.2, "bits per character", "1.200", "1.200"),
        ("bleu", 41.04, "BLEU", "41.0", "41.0"),
        ("chrf", 62.55, "chrF", "62.5", "62.5"),
    ],
)
def test_each_metric_has_its_name_scale_digits_and_unit(
    name: str, value: float, heading: str, in_text: str, with_unit: str
) -> None:
    metric = metric_named(name)
    assert (metric.heading, metric.in_text(value), metric.with_unit(value)) == (heading, in_text, with_unit)


def test_intervals_differences_and_more_digits_are_on_the_same_scale() -> None:
    share, nats = metric_named("accuracy"), metric_named("cross_entropy")
    assert (share.interval(0.905, 0.92), nats.interval(2.5, 2.75)) == ("90.5\u201392.0", "2.500\u20132.750")
    assert (share.difference(-0.013), nats.difference(0.0421)) == ("\u22121.3", "+0.042")
    assert (share.figure(0.00434, more_digits=1), nats.figure(0.00434, more_digits=1)) == ("0.43", "0.0043")


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "12", True])
def test_what_was_not_measured_is_a_dash(value: object) -> None:
    metric = metric_named("bleu")
    assert metric.figure(value) == metric.interval(1, value) == metric.interval(value, 1) == MISSING
    assert metric_named("accuracy").in_text(value) == f"{MISSING} %"


def test_the_best_value_is_the_lowest_where_lower_is_better() -> None:
    assert metric_named("accuracy").best([0.8, 0.9, 0.7]) == 0.9
    assert metric_named("cross_entropy").best([2.8, 2.9, 2.7]) == 2.7
    assert metric_named("bleu").best([]) is None


def test_settings_of_a_comparison_may_say_which_way_is_better() -> None:
    assert chosen_by({"metric": "cross_entropy"}).lower_is_better
    assert not chosen_by({"metric": "accuracy"}).lower_is_better
    assert chosen_by({"metric": "error_rate", "lower_is_better": True}).lower_is_better


@pytest.mark.parametrize(("task", "metric"), [(Generation, "cross_entropy")])
def test_what_is_shown_as_better_is_what_training_chooses_by(task: type[Task], metric: str) -> None:
    assert metric_named(metric).lower_is_better == task.lower_is_better
    assert (metric_named(metric).scale == "share") == (task.bounds == (0.0, 1.0))
