"""The drawings of a comparison, as inline SVG: no script and no library, a few kilobytes each.

Colours are classes of the style sheet, so that dark mode and print reach into the drawings. What a mouse finds in a
``<title>`` stands in the tables too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wenmo.reports import axes, quantities
from wenmo.reports.axes import Axis
from wenmo.reports.labelling import Box, place_labels, shortened
from wenmo.reports.markup import Markup, element, joined
from wenmo.reports.measure import Measure
from wenmo.reports.quantities import Metric
from wenmo.tasks.metrics import pareto_front

LARGEST_BUBBLE = 22.0
SMALLEST_BUBBLE = 5.5
"""Radii in pixels."""

Row = dict[str, Any]


@dataclass(frozen=True)
class _Point:
    """A model in the chart, in pixels."""

    row: Row
    kind: str
    x: float
    y: float
    radius: float


def kind_of(row: Row, winner: str | None) -> str:
    """The class that colours a model's marks: ``winner``, ``linear`` or ``network``."""
    if row["model"] == winner:
        return "winner"
    return "linear" if row.get("is_linear") else "network"


def can_be_drawn(row: Row) -> bool:
    """Whether the row has what a place in the trade-off chart needs: a metric and a latency."""
    latency = quantities.number(row.get("latency_ms_p50"))
    return quantities.number(row.get("value")) is not None and latency is not None and latency > 0


def bubble_radius(size: Any, largest: float) -> float:
    """The radius in pixels whose area stands for the file size; the largest model has `LARGEST_BUBBLE`."""
    share = (quantities.number(size) or 0.0) / largest if largest > 0 else 0.0
    return max(SMALLEST_BUBBLE, LARGEST_BUBBLE * math.sqrt(share))


def tradeoff_chart(rows: Sequence[Row], winner: str | None, measure: Measure, width: int, height: int) -> Markup:
    """Metric with interval against latency; the area of a bubble is the file size.

    Args:
        rows: those that `can_be_drawn`, at least one.
        winner: drawn in its own colour.
        measure: what the models were measured by; an arrow before its name points to the better models.
        width: of the drawing in CSS pixels. Letters do not scale, so phones get a narrow drawing of their own.
        height: likewise.
    """
    metric = measure.metric
    latencies = [float(row["latency_ms_p50"]) for row in rows]
    ends = [metric.shown(float(v)) for row in rows for v in (row["value"], *_ends(row))]
    left, top, right, bottom = 40.0, 26.0, width - 2.0, height - 46.0
    x_axis = Axis(*axes.around(latencies, logarithmic=True, margin=0.12), left, right, logarithmic=True)
    y_axis = Axis(*axes.around(ends, margin=0.08), bottom, top)
    largest = max((quantities.number(row.get("bytes")) or 0.0 for row in rows), default=0.0)
    points = [
        _Point(
            row,
            kind_of(row, winner),
            x_axis.at(float(row["latency_ms_p50"])),
            y_axis.at(metric.shown(float(row["value"]))),
            bubble_radius(row.get("bytes"), largest),
        )
        # Large bubbles first, so that small ones stay on top and can be pointed at.
        for row in sorted(rows, key=lambda row: -(quantities.number(row.get("bytes")) or 0.0))
    ]
    arrow = "\u2193" if metric.lower_is_better else "\u2191"
    return element(
        "svg",
        _frame(x_axis, y_axis, x_ticks=max(3, width // 110), y_ticks=max(3, height // 70)),
        element("text", f"{arrow} {measure.heading}", x=left - 40, y=12, class_="axis-title"),
        element("text", "\u2190 latency of one text, ms", x=left, y=height - 4, class_="axis-title"),
        _front_line(points, metric, right),
        *(_whisker(point, metric, y_axis) for point in points),
        *(_bubble(point, measure) for point in points),
        _names(points, metric, y_axis, Box(left, top, right, bottom), longest=26 if width > 600 else 16),
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label=f"{measure} against latency for {len(points)} models; the table of all models has the same figures",
    )


def _frame(x_axis: Axis, y_axis: Axis, x_ticks: int, y_ticks: int) -> Markup:
    """Grid lines and the numbers along both axes."""
    lines, numbers = [], []
    for tick in y_axis.ticks(y_ticks):
        y = y_axis.at(tick)
        lines.append(element("line", x1=x_axis.start, x2=x_axis.end, y1=y, y2=y, class_="grid"))
        numbers.append(element("text", axes.label(tick), x=x_axis.start - 6, y=y + 4, text_anchor="end"))
    for tick in x_axis.ticks(x_ticks):
        x = x_axis.at(tick)
        lines.append(element("line", x1=x, x2=x, y1=y_axis.start, y2=y_axis.start + 4, class_="tick"))
        numbers.append(element("text", axes.label(tick), x=x, y=y_axis.start + 18, text_anchor="middle"))
    base = element("line", x1=x_axis.start, x2=x_axis.end, y1=y_axis.start, y2=y_axis.start, class_="tick")
    return element("g", *lines, base, *numbers, class_="frame")


def _front_line(points: Sequence[_Point], metric: Metric, right: float) -> Markup:
    """The stairs along the models that no other model beats in both metric and latency."""
    places = [(point.x, point.y) for point in points]
    on_front = pareto_front(places, ["min", "max" if metric.lower_is_better else "min"])  # y runs downwards
    stairs = sorted((point.x, point.y) for point, on in zip(points, on_front, strict=True) if on)
    path = f"M{stairs[0][0]:.1f},{stairs[0][1]:.1f}"
    path += "".join(f"H{x:.1f}V{y:.1f}" for x, y in stairs[1:])
    return element("path", d=f"{path}H{right:.1f}", class_="front")


def _whisker(point: _Point, metric: Metric, y_axis: Axis) -> Markup:
    low, high = (y_axis.at(metric.shown(end)) for end in _ends(point.row))
    x = point.x
    return element("path", d=f"M{x:.1f},{low:.1f}V{high:.1f}", class_=f"whisker {point.kind}")


def _bubble(point: _Point, measure: Measure) -> Markup:
    row = point.row
    title = (
        f"{row['model']}: {measure} {measure.metric.with_unit(row['value'])} "
        f"({measure.metric.interval(row.get('low'), row.get('high'))}), "
        f"{quantities.milliseconds(row['latency_ms_p50'])} ms a text, {quantities.large(row.get('bytes'), 'B')}"
    )
    return element(
        "g",
        element("title", title),
        element("circle", cx=point.x, cy=point.y, r=point.radius, class_="bubble"),
        element("circle", cx=point.x, cy=point.y, r=2.5, class_="centre"),
        class_=f"point {point.kind}",
    )


def _names(points: Sequence[_Point], metric: Metric, y_axis: Axis, plot: Box, longest: int) -> Markup:
    """The models' names beside their bubbles, the winner's first, so that it gets the best place."""
    first = sorted(points, key=lambda point: point.kind != "winner")
    texts = [shortened(point.row["model"], longest) for point in first]
    whiskers = []
    for point in points:
        low, high = (y_axis.at(metric.shown(end)) for end in _ends(point.row))
        whiskers.append(Box(point.x - 2, high, point.x + 2, low))
    placed = place_labels([(point.x, point.y, point.radius) for point in first], texts, plot, whiskers)
    return joined(_name(point, text, box) for point, text, box in zip(first, texts, placed, strict=True))


def _name(point: _Point, text: str, box: Box) -> Markup:
    # Held at the end that faces the point: how wide the text runs is only guessed.
    anchor, x = "middle", (box.left + box.right) / 2
    if box.left >= point.x:
        anchor, x = "start", box.left
    elif box.right <= point.x:
        anchor, x = "end", box.right
    return element("text", text, x=x, y=box.bottom - 4, text_anchor=anchor, class_=f"name {point.kind}")


def _ends(row: Row) -> tuple[float, float]:
    """The interval; the value itself where there is none."""
    low, high = quantities.number(row.get("low")), quantities.number(row.get("high"))
    value = float(row["value"])
    return (value if low is None else low, value if high is None else high)


def forest_axis(rows: Sequence[Row], metric: Metric, width: int) -> Axis | None:
    """One axis for the intervals of all rows; None where no row has a value."""
    ends = [metric.shown(end) for row in rows if quantities.number(row.get("value")) is not None for end in _ends(row)]
    return Axis(*axes.around(ends, margin=0.04), 6.0, width - 6.0) if ends else None


def forest_scale(axis: Axis, metric: Metric, width: int) -> Markup:
    """The numbers of the axis, for the head of the column."""
    most = 5 if metric.digits < 2 else 3  # long numbers would run into each other
    ticks = [tick for tick in axis.ticks(most) if axis.at(tick) <= width - 10]
    numbers = [element("text", axes.label(t), x=axis.at(t), y=11, text_anchor="middle") for t in ticks]
    return element(
        "svg", element("g", *numbers, class_="frame"), viewBox=f"0 0 {width} 14", width=width, height=14,
        aria_hidden="true",
    )  # fmt: skip


def forest_mark(row: Row, kind: str, best: float | None, metric: Metric, axis: Axis, width: int) -> Markup:
    """A row's value and interval on the common axis, a dashed line at the best value, a short line for each seed."""
    low, high = (axis.at(metric.shown(end)) for end in _ends(row))
    value = axis.at(metric.shown(float(row["value"])))
    seeds = [metric.shown(v) for each in row.get("values") or [] if (v := quantities.number(each)) is not None]
    inside = [axis.at(each) for each in seeds if axis.low <= each <= axis.high]
    marks: list[Markup] = []
    if best is not None:
        x = axis.at(metric.shown(best))
        marks.append(element("line", x1=x, x2=x, y1=0, y2=30, class_="best"))
    marks.append(element("line", x1=low, x2=high, y1=15, y2=15, class_=f"whisker {kind}"))
    if len(inside) > 1:
        marks += [element("line", x1=x, x2=x, y1=10, y2=20, class_=f"seed {kind}") for x in inside]
    marks.append(element("circle", cx=value, cy=15, r=4.5, class_=f"dot {kind}"))
    return element("svg", *marks, viewBox=f"0 0 {width} 30", width=width, height=30, aria_hidden="true")


def bar(share: float, *, of_whole: bool, width: int = 90) -> Markup:
    """A share of 1 as a bar within its cell; ``of_whole`` shows what is missing to 1. The number stands beside it."""
    length = max(0.0, min(1.0, share)) * width
    return element(
        "svg",
        element("rect", x=0, y=3, width=width, height=6, rx=3, class_="trough") if of_whole else None,
        element("rect", x=0, y=3, width=length, height=6, rx=3, class_="bar"),
        viewBox=f"0 0 {width} 12", width=width, height=12, aria_hidden="true",
    )  # fmt: skip
