"""Learning curves as small multiples: each model's own curve before those of all others, on the same axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wenmo.reports import axes, quantities
from wenmo.reports.axes import Axis
from wenmo.reports.charts import Row, kind_of
from wenmo.reports.markup import Markup, element, joined, quoted
from wenmo.reports.measure import Measure
from wenmo.reports.quantities import Metric

_WIDTH, _HEIGHT = 264, 180
_MOST_POINTS = 200
"""Of a curve that is drawn; a longer one is thinned."""


@dataclass(frozen=True)
class _Curve:
    row: Row
    seconds: list[float]
    values: list[float]
    """Of the metric on dev."""


def learning_panels(rows: Sequence[Row], winner: str | None, measure: Measure) -> Markup | None:
    """A panel for each model that was measured twice or more while it learnt; None where there is none."""
    metric = measure.metric
    curves = [curve for row in rows if (curve := _curve(row, metric)) is not None]
    if not curves:
        return None
    last, first = [c.seconds[-1] for c in curves], min(c.seconds[0] for c in curves)
    # A quick model would be a vertical line beside a slow one.
    logarithmic = max(last) / min(last) > 8 and first > 0
    low, high = (first, max(last)) if logarithmic else (0.0, max(last))
    linear = _best_linear(rows, metric)
    levels = [value for curve in curves for value in curve.values] + ([linear[1]] if linear else [])
    x_axis = Axis(low, high, 34.0, _WIDTH - 12.0, logarithmic)
    y_axis = Axis(*axes.around([metric.shown(level) for level in levels], margin=0.1), _HEIGHT - 34.0, 24.0)
    others = element("g", *(_line(curve, metric, x_axis, y_axis, "other") for curve in curves), id="all-curves")
    # Drawn once, in a place of no size, and shown in each panel by reference.
    store = element("svg", element("defs", others), width=0, height=0, aria_hidden="true", class_="store")
    panels = (_panel(curve, winner, measure, linear, x_axis, y_axis) for curve in curves)
    return joined([store, element("div", *panels, class_="panels")])


def _panel(
    curve: _Curve, winner: str | None, measure: Measure, linear: tuple[str, float] | None, x_axis: Axis, y_axis: Axis
) -> Markup:
    row, kind, metric = curve.row, kind_of(curve.row, winner), measure.metric
    best = max(range(len(curve.values)), key=lambda i: metric.goodness(curve.values[i]))
    x, y = x_axis.at(curve.seconds[best]), y_axis.at(metric.shown(curve.values[best]))
    on_left = x > (x_axis.start + x_axis.end) / 2
    said = f"best {measure} {metric.with_unit(curve.values[best])} after {quantities.seconds(curve.seconds[best])}"
    marks = [
        element("use", href="#all-curves"),
        _linear_line(linear, metric, x_axis, y_axis),
        _line(curve, metric, x_axis, y_axis, f"own {kind}"),
        element("circle", element("title", said), cx=x, cy=y, r=4, class_=f"dot {kind}"),
        element(
            "text", metric.figure(curve.values[best]), x=x + (-4 if on_left else 4), y=y - 8,
            text_anchor="end" if on_left else "start", class_=f"name {kind}",
        ),
    ]  # fmt: skip
    epochs = quantities.number(row.get("epochs"))
    facts = [f"{epochs:g} epochs" if epochs is not None else None, quantities.seconds(curve.seconds[-1])]
    return element(
        "figure",
        element(
            "figcaption",
            element("strong", quoted(row["model"])),
            " ",
            element("span", ", ".join(fact for fact in facts if fact), class_="quiet"),
        ),
        element(
            "svg",
            _frame(x_axis, y_axis),
            *marks,
            viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
            role="img",
            aria_label=f"{row['model']}: {said}",
        ),
        class_="panel",
    )


def _frame(x_axis: Axis, y_axis: Axis) -> Markup:
    parts = []
    for tick in y_axis.ticks(4):
        y = y_axis.at(tick)
        parts.append(element("line", x1=x_axis.start, x2=x_axis.end, y1=y, y2=y, class_="grid"))
        parts.append(element("text", axes.label(tick), x=x_axis.start - 5, y=y + 4, text_anchor="end"))
    ticks = x_axis.ticks(4)
    for tick in ticks:
        parts.append(element("text", axes.label(tick), x=x_axis.at(tick), y=_HEIGHT - 18, text_anchor="middle"))
    parts.append(element("text", "seconds", x=x_axis.end, y=_HEIGHT - 4, text_anchor="end", class_="axis-title"))
    return element("g", *parts, class_="frame")


def _linear_line(linear: tuple[str, float] | None, metric: Metric, x_axis: Axis, y_axis: Axis) -> Markup | None:
    """The level that the best linear baseline reaches."""
    if linear is None:
        return None
    y = y_axis.at(metric.shown(linear[1]))
    return element(
        "line", element("title", f"{linear[0]} (linear): {metric.with_unit(linear[1])}"),
        x1=x_axis.start, x2=x_axis.end, y1=y, y2=y, class_="level",
    )  # fmt: skip


def _line(curve: _Curve, metric: Metric, x_axis: Axis, y_axis: Axis, kind: str) -> Markup:
    places = zip(curve.seconds, curve.values, strict=True)
    points = " ".join(f"{x_axis.at(seconds):.1f},{y_axis.at(metric.shown(value)):.1f}" for seconds, value in places)
    return element("polyline", points=points, class_=f"curve {kind}")


def _curve(row: Row, metric: Metric) -> _Curve | None:
    measured = [
        (seconds, value)
        for point in row.get("curve") or []
        if (seconds := quantities.number(point.get("seconds"))) is not None
        and (value := quantities.number(point.get("dev"))) is not None
    ]
    measured.sort()
    if len(measured) < 2 or measured[-1][0] <= 0:
        return None
    thinned = _thinned(measured, metric)
    return _Curve(row, [seconds for seconds, _ in thinned], [value for _, value in thinned])


def _thinned(measured: list[tuple[float, float]], metric: Metric) -> list[tuple[float, float]]:
    """Every n-th measurement, with the best and the last one always among them."""
    every = math.ceil(len(measured) / _MOST_POINTS)
    best = max(range(len(measured)), key=lambda i: metric.goodness(measured[i][1]))
    return [point for i, point in enumerate(measured) if i % every == 0 or i in (best, len(measured) - 1)]


def _best_linear(rows: Sequence[Row], metric: Metric) -> tuple[str, float] | None:
    """Name and value."""
    values: list[tuple[Any, float]] = [
        (row["model"], value)
        for row in rows
        if row.get("is_linear") and (value := quantities.number(row.get("value"))) is not None
    ]
    return max(values, key=lambda named: metric.goodness(named[1]), default=None)
