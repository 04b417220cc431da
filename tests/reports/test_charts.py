import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest

from wenmo.reports.charts import LARGEST_BUBBLE, bar, bubble_radius, forest_axis, forest_mark, tradeoff_chart
from wenmo.reports.learning import learning_panels
from wenmo.reports.markup import Markup
from wenmo.reports.measure import Measure
from wenmo.reports.quantities import metric_named

MakeResult = Callable[..., dict[str, Any]]
ACCURACY, CROSS_ENTROPY = Measure(metric_named("accuracy")), Measure(metric_named("cross_entropy"), "on dev")
BLEU = Measure(metric_named("bleu"), "over 5 folds")


def drawing(markup: Markup) -> ElementTree.Element:
    """The drawing as a tree; that it parses as XML says that every element is closed."""
    return ElementTree.fromstring(f"<root>{markup}</root>")


def of_class(tree: ElementTree.Element, *classes: str) -> list[ElementTree.Element]:
    return [each for each in tree.iter() if set(classes) <= set((each.get("class") or "").split())]


def model(name: str, value: float, latency: float, size: int = 10_000_000, **more: Any) -> dict[str, Any]:
    ends = {"low": value - 0.01, "high": value + 0.01}
    return {"model": name, "value": value, **ends, "latency_ms_p50": latency, "bytes": size, "is_linear": False, **more}


def test_the_area_of_a_bubble_is_the_file_size() -> None:
    assert bubble_radius(80, 80) == LARGEST_BUBBLE
    assert bubble_radius(20, 80) == LARGEST_BUBBLE / 2


def test_a_better_model_stands_higher_and_a_faster_one_further_left() -> None:
    tree = drawing(tradeoff_chart([model("good", 0.95, 2.0), model("fast", 0.9, 0.5)], "good", ACCURACY, 600, 400))
    [good] = of_class(tree, "point", "winner")
    [fast] = of_class(tree, "point", "network")

    def place(point: ElementTree.Element) -> tuple[float, float]:
        circle = next(point.iter("circle"))
        return float(circle.get("cx", "")), float(circle.get("cy", ""))

    assert place(good)[0] > place(fast)[0]
    assert place(good)[1] < place(fast)[1]


def test_the_stepped_line_leaves_out_models_that_another_one_beats_in_both() -> None:
    rows = [model("a", 0.95, 2.0), model("b", 0.90, 0.5), model("beaten", 0.89, 1.0)]
    tree = drawing(tradeoff_chart(rows, "a", ACCURACY, 600, 400))
    centres = {
        title.text.split(":")[0]: next(group.iter("circle"))
        for group in of_class(tree, "point")
        if (title := group.find("title")) is not None and title.text
    }
    [line] = of_class(tree, "front")
    # From b to the right as far as a, up to a, and on to the edge: never through the beaten model.
    numbers = [float(each) for each in re.findall(r"[\d.]+", line.get("d", ""))]
    a, b = ((float(centres[name].get("cx", "")), float(centres[name].get("cy", ""))) for name in "ab")
    assert numbers[:4] == pytest.approx([*b, *a], abs=0.1)
    assert len(numbers) == 5


def test_hovering_a_bubble_tells_the_figures() -> None:
    [chart] = drawing(
        tradeoff_chart(
            [model("textcnn", 0.934, 0.62)], "textcnn", Measure(metric_named("accuracy"), "on dev"), 600, 400
        )
    )
    [title] = [each.text for each in chart.iter("title")]
    assert title == "textcnn: accuracy on dev 93.4 % (92.4\u201394.4), 0.62 ms a text, 10.0\u00a0MB"


def centre_of(tree: ElementTree.Element, name: str) -> tuple[float, float]:
    """Where a model's bubble stands."""
    for group in of_class(tree, "point"):
        if (group.findtext("title") or "").startswith(f"{name}:"):
            circle = next(group.iter("circle"))
            return float(circle.get("cx", "")), float(circle.get("cy", ""))
    raise LookupError(name)


def test_where_lower_is_better_the_arrow_points_down_and_the_stairs_join_the_lowest() -> None:
    # b is fastest, a slower and lower; the third one is slower than b and higher than both.
    rows = [model("a", 2.6, 2.0), model("b", 2.9, 0.5), model("beaten", 3.1, 1.0)]
    tree = drawing(tradeoff_chart(rows, "a", CROSS_ENTROPY, 600, 400))
    a, b, beaten = (centre_of(tree, name) for name in ("a", "b", "beaten"))
    assert a[1] > b[1] > beaten[1]  # numbers still grow upwards
    [line] = of_class(tree, "front")
    numbers = [float(each) for each in re.findall(r"[\d.]+", line.get("d", ""))]
    assert numbers[:4] == pytest.approx([*b, *a], abs=0.1) and len(numbers) == 5
    assert "\u2193 cross entropy on dev, nats a token" in [each.text for each in of_class(tree, "axis-title")]
    ticks = [each.text for each in tree.iter("text") if each.get("text-anchor") == "end" and each.text]
    assert {"2.6", "2.8", "3"} <= set(ticks)
    assert "a: cross entropy on dev 2.600 nats a token (2.590\u20132.610), 2.00 ms a text, 10.0\u00a0MB" in [
        title.text for title in tree.iter("title")
    ]


def test_bleu_stands_on_its_own_scale_with_the_best_on_top() -> None:
    tree = drawing(tradeoff_chart([model("a", 34.1, 2.0), model("b", 31.0, 0.5)], "a", BLEU, 600, 400))
    assert centre_of(tree, "a")[1] < centre_of(tree, "b")[1]
    assert "\u2191 BLEU over 5 folds" in [each.text for each in of_class(tree, "axis-title")]


def test_every_model_is_named_in_the_chart(make_result: MakeResult) -> None:
    rows = make_result(12)["rows"]
    tree = drawing(tradeoff_chart(rows, "textcnn", ACCURACY, 1130, 460))
    assert len(of_class(tree, "name")) == 12
    assert len(of_class(tree, "name", "linear")) == 2


def test_models_with_the_same_figures_can_be_drawn() -> None:
    rows = [model("a", 1.0, 1.0, low=1.0, high=1.0), model("b", 1.0, 1.0, low=1.0, high=1.0, bytes=None)]
    assert len(of_class(drawing(tradeoff_chart(rows, None, ACCURACY, 366, 400)), "point")) == 2


def test_the_interval_of_a_row_stands_on_the_common_axis() -> None:
    rows = [model("a", 0.95, 1.0), model("b", 0.85, 1.0)]
    axis = forest_axis(rows, ACCURACY.metric, 140)
    assert axis is not None
    tree = drawing(forest_mark(rows[1], "network", 0.95, ACCURACY.metric, axis, 140))
    [line] = of_class(tree, "whisker")
    [best] = of_class(tree, "best")
    assert float(line.get("x1", "")) == pytest.approx(axis.at(84), abs=0.01)
    assert float(line.get("x2", "")) == pytest.approx(axis.at(86), abs=0.01)
    assert float(best.get("x1", "")) == pytest.approx(axis.at(95), abs=0.01)


def test_seeds_are_drawn_where_there_are_several() -> None:
    axis = forest_axis([model("a", 0.95, 1.0)], ACCURACY.metric, 140)
    assert axis is not None
    several = forest_mark(model("a", 0.95, 1.0, values=[0.945, 0.955]), "network", None, ACCURACY.metric, axis, 140)
    one = forest_mark(model("a", 0.95, 1.0, values=[0.95]), "network", None, ACCURACY.metric, axis, 140)
    assert len(of_class(drawing(several), "seed")) == 2
    assert not of_class(drawing(one), "seed")


def test_marks_of_a_plain_metric_stand_at_its_values() -> None:
    rows = [model("a", 2.6, 1.0, values=[2.595, 2.605]), model("b", 2.9, 1.0)]
    axis = forest_axis(rows, CROSS_ENTROPY.metric, 140)
    assert axis is not None and 2.5 < axis.low < 2.59 and 2.91 < axis.high < 3
    tree = drawing(forest_mark(rows[0], "network", 2.6, CROSS_ENTROPY.metric, axis, 140))
    [line], [best] = of_class(tree, "whisker"), of_class(tree, "best")
    assert float(line.get("x1", "")) == pytest.approx(axis.at(2.59), abs=0.01)
    assert float(best.get("x1", "")) == pytest.approx(axis.at(2.6), abs=0.01)
    assert len(of_class(tree, "seed")) == 2


def test_no_values_need_no_axis() -> None:
    assert forest_axis([{"model": "a", "value": None}], ACCURACY.metric, 140) is None


def test_a_bar_is_as_long_as_its_share_and_never_longer_than_the_whole() -> None:
    def length(share: float) -> float:
        [rectangle] = of_class(drawing(bar(share, of_whole=True, width=90)), "bar")
        return float(rectangle.get("width", ""))

    assert [length(share) for share in (0.0, 0.5, 1.0, 1.7)] == [0, 45, 90, 90]


# Learning curves


def learner(name: str, dev: list[float | None], seconds: float, **more: Any) -> dict[str, Any]:
    curve = [{"step": i, "seconds": seconds * (i + 1), "loss": 1.0, "dev": value} for i, value in enumerate(dev)]
    return {"model": name, "value": max(value or 0 for value in dev), "is_linear": False, "curve": curve, **more}


def test_each_model_that_learnt_has_a_panel_with_its_best_value() -> None:
    rows = [learner("a", [0.5, 0.8, 0.7], 10), learner("b", [0.4, 0.6], 10), {"model": "c", "is_linear": True}]
    panels = learning_panels(rows, "a", ACCURACY)
    assert panels is not None
    labels = [each.get("aria-label") for each in drawing(panels).iter("svg") if each.get("role") == "img"]
    assert labels == ["a: best accuracy 80.0 % after 20\u00a0s", "b: best accuracy 60.0 % after 20\u00a0s"]


def test_all_curves_are_drawn_once_and_shown_in_every_panel() -> None:
    panels = learning_panels([learner(name, [0.5, 0.6], 1) for name in "abc"], "a", ACCURACY)
    assert panels is not None
    tree = drawing(panels)
    assert len(of_class(tree, "curve", "other")) == 3
    assert [each.get("href") for each in tree.iter("use")] == ["#all-curves"] * 3


def test_the_best_linear_baseline_is_a_level_in_the_panels() -> None:
    linear = [{"model": name, "value": value, "is_linear": True} for name, value in (("tfidf", 0.7), ("nbsvm", 0.75))]
    panels = learning_panels([learner("a", [0.5, 0.8], 1), *linear], "a", ACCURACY)
    assert panels is not None
    [level] = of_class(drawing(panels), "level")
    assert [each.text for each in level.iter("title")] == ["nbsvm (linear): 75.0 %"]


def test_steps_that_were_not_measured_are_left_out() -> None:
    panels = learning_panels([learner("a", [None, 0.5, None, 0.6], 1)], "a", ACCURACY)
    assert panels is not None
    [line] = of_class(drawing(panels), "curve", "own")
    assert len(line.get("points", "").split()) == 2


def test_a_single_measurement_is_no_curve() -> None:
    assert learning_panels([learner("a", [0.5], 1)], "a", ACCURACY) is None


def test_a_long_curve_is_thinned_but_keeps_its_best_value() -> None:
    values: list[float | None] = [0.5] * 5000
    values[1234] = 0.9
    panels = learning_panels([learner("a", values, 1)], "a", ACCURACY)
    assert panels is not None
    [line] = of_class(drawing(panels), "curve", "own")
    assert len(line.get("points", "").split()) <= 202
    assert "best accuracy 90.0 % after 20\u00a0min 35\u00a0s" in panels


def test_quick_and_slow_models_share_a_logarithmic_axis() -> None:
    panels = learning_panels([learner("a", [0.5, 0.6], 1), learner("b", [0.5, 0.6], 100)], "a", ACCURACY)
    assert panels is not None
    [a, b] = of_class(drawing(panels), "curve", "own")
    ends = [[float(point.split(",")[0]) for point in line.get("points", "").split()] for line in (a, b)]
    # 1 to 2 seconds and 100 to 200 seconds are the same way.
    assert ends[0][1] - ends[0][0] == pytest.approx(ends[1][1] - ends[1][0], abs=0.2)


def test_where_lower_is_better_the_dot_is_at_the_lowest_value_and_the_level_at_the_lowest_baseline() -> None:
    linear = [{"model": name, "value": value, "is_linear": True} for name, value in (("x", 4.0), ("y", 3.5))]
    panels = learning_panels([learner("a", [3.5, 2.619, 2.9], 10), *linear], "a", CROSS_ENTROPY)
    assert panels is not None
    tree = drawing(panels)
    [label] = [each.get("aria-label") for each in tree.iter("svg") if each.get("role") == "img"]
    assert label == "a: best cross entropy on dev 2.619 nats a token after 20\u00a0s"
    assert [each.text for each in of_class(tree, "name")] == ["2.619"]
    assert [each.findtext("title") for each in of_class(tree, "level")] == ["y (linear): 3.500 nats a token"]


def test_a_thinned_curve_keeps_its_lowest_value_where_that_is_the_best() -> None:
    values: list[float | None] = [3.0] * 5000
    values[1234] = 2.0
    panels = learning_panels([learner("a", values, 1)], "a", CROSS_ENTROPY)
    assert panels is not None and "best cross entropy on dev 2.000 nats a token after 20\u00a0min 35\u00a0s" in panels
