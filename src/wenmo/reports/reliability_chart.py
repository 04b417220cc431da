"""Reliability diagrams: how often the model is right against how sure it is (Guo et al. 2017, figure 1)."""

import math
from collections.abc import Sequence

from wenmo.reports import axes, quantities
from wenmo.reports.axes import Axis
from wenmo.reports.markup import Markup, element
from wenmo.tasks.reliability import ReliabilityBin

_LARGEST, _SMALLEST = 13.0, 2.5
"""Radii in pixels: the area of a point stands for the texts of its bin."""
_HISTOGRAM = 44.0


def reliability_chart(bins: Sequence[ReliabilityBin], width: int, height: int, name: str) -> Markup:
    """A point for each bin; the diagonal is where probabilities are true, a bar joins a point with it.

    Args:
        bins: at least one, by rising confidence.
        width: of the drawing in CSS pixels.
        height: likewise; the lowest part shows how many texts stand in each bin.
        name: what the diagram is of, for those who do not see it.
    """
    low = 100 * min(each["low"] for each in bins)
    bottom = height - _HISTOGRAM - 52.0
    x_axis = Axis(low, 100.0, 44.0, width - 10.0)
    y_axis = Axis(0.0, 100.0, bottom, 26.0)
    diagonal = element(
        "line", x1=x_axis.at(low), y1=y_axis.at(low), x2=x_axis.at(100), y2=y_axis.at(100), class_="level"
    )
    total, most = sum(each["rows"] for each in bins), max(each["rows"] for each in bins)
    return element(
        "svg",
        _frame(x_axis, y_axis, height),
        diagonal,
        *(_gap(each, x_axis, y_axis) for each in bins),
        *(_point(each, x_axis, y_axis, total, most) for each in bins),
        *(_column(each, x_axis, most, height - 34.0) for each in bins),
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label=f"Reliability diagram, {name}: {len(bins)} bins; the table of the bins has the same figures",
    )


def _frame(x_axis: Axis, y_axis: Axis, height: int) -> Markup:
    marks = []
    for tick in y_axis.ticks(6):
        y = y_axis.at(tick)
        marks.append(element("line", x1=x_axis.start, x2=x_axis.end, y1=y, y2=y, class_="grid"))
        marks.append(element("text", axes.label(tick), x=x_axis.start - 6, y=y + 4, text_anchor="end"))
    base = height - 34.0
    marks.append(element("line", x1=x_axis.start, x2=x_axis.end, y1=base, y2=base, class_="tick"))
    for tick in x_axis.ticks(6):
        marks.append(element("text", axes.label(tick), x=x_axis.at(tick), y=base + 16, text_anchor="middle"))
    titles = [
        element("text", "\u2191 right, %", x=0, y=12, class_="axis-title"),
        element("text", "how sure, % \u2192", x=x_axis.end, y=height - 2, text_anchor="end", class_="axis-title"),
    ]
    return element("g", *marks, *titles, class_="frame")


def _gap(each: ReliabilityBin, x_axis: Axis, y_axis: Axis) -> Markup:
    x, confidence = x_axis.at(100 * each["confidence"]), 100 * each["confidence"]
    return element(
        "line", x1=x, x2=x, y1=y_axis.at(confidence), y2=y_axis.at(100 * each["accuracy"]), class_="miss-bar"
    )


def _point(each: ReliabilityBin, x_axis: Axis, y_axis: Axis, total: int, most: int) -> Markup:
    title = (
        f"{quantities.count(each['rows'])} of {quantities.count(total)} probabilities between "
        f"{quantities.percent(each['low'])} and {quantities.percent(each['high'])} %: on average "
        f"{quantities.percent(each['confidence'])} % sure, {quantities.percent(each['accuracy'])} % right"
    )
    radius = max(_SMALLEST, _LARGEST * math.sqrt(each["rows"] / most))
    x, y = x_axis.at(100 * each["confidence"]), y_axis.at(100 * each["accuracy"])
    return element(
        "g",
        element("title", title),
        element("circle", cx=x, cy=y, r=radius, class_="bubble"),
        element("circle", cx=x, cy=y, r=2.5, class_="centre"),
        class_="point network",
    )


def _column(each: ReliabilityBin, x_axis: Axis, most: int, base: float) -> Markup:
    left, right = x_axis.at(100 * each["low"]), x_axis.at(100 * each["high"])
    tall = _HISTOGRAM * each["rows"] / most
    return element(
        "rect", x=left + 0.5, y=base - tall, width=max(1.0, right - left - 1), height=tall, class_="bar"
    )  # fmt: skip
