import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest

from wenmo.reports.charts import LARGEST_BUBBLE, bar, bubble_radius, forest_axis, forest_mark, tradeoff_chart
from wenmo.reports.learning import learning_panels
from wenmo.reports.markup import Markup

MakeResult = Callable[..., dict[str, Any]]


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
    tree = drawing(tradeoff_chart([model("good", 0.95, 2.0), model("fast", 0.9, 0.5)], "good", "accuracy", 600, 400))
    [good] = of_class(tree, "point", "winner")
    [fast] = of_class(tree, "point", "network")

    def place(point: ElementTree.Element) -> tuple[float, float]:
        circle = next(point.iter("circle"))
        return float(circle.get("cx", "")), float(circle.get("cy", ""))

    assert place(good)[0] > place(fast)[0]
    assert place(good)[1] < place(fast)[1]


def test_the_stepped_line_leaves_out_models_that_another_one_beats_in_both() -> None:
    rows = [model("a", 0.95, 2.0), model("b", 0.90, 0.5), model("beaten", 0.89, 1.0)]
    tree = drawing(tradeoff_chart(rows, "a", "accuracy", 600, 400))
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
    [chart] = drawing(tradeoff_chart([model("textcnn", 0.934, 0.62)], "textcnn", "accuracy on dev", 600, 400))
    [title] = [each.text for each in chart.iter("title")]
    assert title == "textcnn: accuracy on dev 93.4 % (92.4\u201394.4), 0.62 ms a text, 10.0\u00a0MB"


def test_every_model_is_named_in_the_chart(make_result: MakeResult) -> None:
    rows = make_result(12)["rows"]
    tree = drawing(tradeoff_chart(rows, "textcnn", "accuracy", 1130, 460))
    assert len(of_class(tree, "name")) == 12
    assert len(of_class(tree, "name", "linear")) == 2


def test_models_with_the_same_figures_can_be_drawn() -> None:
    rows = [model("a", 1.0, 1.0, low=1.0, high=1.0), model("b", 1.0, 1.0, low=1.0, high=1.0, bytes=None)]
    assert len(of_class(drawing(tradeoff_chart(rows, None, "accuracy", 366, 400)), "point")) == 2


def test_the_interval_of_a_row_stands_on_the_common_axis() -> None:
    rows = [model("a", 0.95, 1.0), model("b", 0.85, 1.0)]
    axis = forest_axis(rows, 140)
    assert axis is not None
    tree = drawing(forest_mark(rows[1], "network", 0.95, axis, 140))
    [line] = of_class(tree, "whisker")
    [best] = of_class(tree, "best")
    assert float(line.get("x1", "")) == pytest.approx(axis.at(84), abs=0.01)
    assert float(line.get("x2", "")) == pytest.approx(axis.at(86), abs=0.01)
    assert float(best.get("x1", "")) == pytest.approx(axis.at(95), abs=0.01)


def test_seeds_are_drawn_where_there_are_several() -> None:
    axis = forest_axis([model("a", 0.95, 1.0)], 140)
    assert axis is not None
    several = forest_mark(model("a", 0.95, 1.0, values=[0.945, 0.955]), "network", None, axis, 140)
    one = forest_mark(model("a", 0.95, 1.0, values=[0.95]), "network", None, axis, 140)
    assert len(of_class(drawing(several), "seed")) == 2
    assert not of_class(drawing(one), "seed")


def test_no_values_need_no_axis() -> None:
    assert forest_axis([{"model": "a", "value": None}], 140) is None


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
    panels = learning_panels(rows, "a", "accuracy")
    assert panels is not None
    labels = [each.get("aria-label") for each in drawing(panels).iter("svg") if each.get("role") == "img"]
    assert labels == ["a: best accuracy 80.0 % after 20\u00a0s", "b: best accuracy 60.0 % after 20\u00a0s"]


def test_all_curves_are_drawn_once_and_shown_in_every_panel() -> None:
    panels = learning_panels([learner(name, [0.5, 0.6], 1) for name in "abc"], "a", "accuracy")
    assert panels is not None
    tree = drawing(panels)
    assert len(of_class(tree, "curve", "other")) == 3
    assert [each.get("href") for each in tree.iter("use")] == ["#all-curves"] * 3


def test_the_best_linear_baseline_is_a_level_in_the_panels() -> None:
    linear = [{"model": name, "value": value, "is_linear": True} for name, value in (("tfidf", 0.7), ("nbsvm", 0.75))]
    panels = learning_panels([learner("a", [0.5, 0.8], 1), *linear], "a", "accuracy")
    assert panels is not None
    [level] = of_class(drawing(panels), "level")
    assert [each.text for each in level.iter("title")] == ["nbsvm (linear): 75.0 %"]


def test_steps_that_were_not_measured_are_left_out() -> None:
    panels = learning_panels([learner("a", [None, 0.5, None, 0.6], 1)], "a", "accuracy")
    assert panels is not None
    [line] = of_class(drawing(panels), "curve", "own")
    assert len(line.get("points", "").split()) == 2


def test_a_single_measurement_is_no_curve() -> None:
    assert learning_panels([learner("a", [0.5], 1)], "a", "accuracy") is None


def test_a_long_curve_is_thinned_but_keeps_its_best_value() -> None:
    values: list[float | None] = [0.5] * 5000
    values[1234] = 0.9
    panels = learning_panels([learner("a", values, 1)], "a", "accuracy")
    assert panels is not None
    [line] = of_class(drawing(panels), "curve", "own")
    assert len(line.get("points", "").split()) <= 202
    assert "best accuracy 90.0 % after 20\u00a0min 35\u00a0s" in panels


def test_quick_and_slow_models_share_a_logarithmic_axis() -> None:
    panels = learning_panels([learner("a", [0.5, 0.6], 1), learner("b", [0.5, 0.6], 100)], "a", "accuracy")
    assert panels is not None
    [a, b] = of_class(drawing(panels), "curve", "own")
    ends = [[float(point.split(",")[0]) for point in line.get("points", "").split()] for line in (a, b)]
    # 1 to 2 seconds and 100 to 200 seconds are the same way.
    assert ends[0][1] - ends[0][0] == pytest.approx(ends[1][1] - ends[1][0], abs=0.2)
