"""One way to draw the figures of docs/results.md: lines over a number, as an SVG that any browser and viewer shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from wenmo.reports.axes import Axis, around, label
from wenmo.reports.markup import Markup, element

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 340, 48, 12, 24, 44
COLOURS = ("#1b6ca8", "#c8553d", "#3f8f4f", "#7a5195", "#a07d1c")


@dataclass(frozen=True)
class Line:
    """A line through points, each with an interval where it has one."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    intervals: Sequence[tuple[float, float]] = ()


def line_chart(
    lines: Sequence[Line], *, x_title: str, y_title: str, logarithmic: bool = False, legend: str = "bottom"
) -> Markup:
    """The lines on common axes.

    Args:
        lines: at most as many as there are colours.
        x_title: stands below the axis, ``y_title`` above it.
        logarithmic: the x axis.
        legend: ``bottom`` left or ``top`` right, where the lines leave room.

    Raises:
        ValueError: there are more lines than colours.
    """
    heights = [
        *(y for line in lines for y in line.y),
        *(end for line in lines for each in line.intervals for end in each),
    ]
    x_axis = Axis(
        *around([x for line in lines for x in line.x], margin=0.03, logarithmic=logarithmic),
        LEFT,
        WIDTH - RIGHT,
        logarithmic,
    )
    y_axis = Axis(*around(heights), HEIGHT - BOTTOM, TOP)
    parts = [_frame(x_axis, y_axis, x_title, y_title)]
    for number, (line, colour) in enumerate(zip(lines, COLOURS[: len(lines)], strict=True)):
        parts.append(_drawn(line, colour, x_axis, y_axis))
        if legend == "top":
            place = {"x": WIDTH - RIGHT - 8, "y": TOP + 16 + 16 * number, "text_anchor": "end"}
        else:
            place = {"x": LEFT + 10, "y": HEIGHT - BOTTOM - 12 - 16 * number}
        parts.append(element("text", line.name, **place, fill=colour, font_weight="bold"))
    return element(
        "svg",
        element("rect", width=WIDTH, height=HEIGHT, fill="white"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        font_family="sans-serif",
        font_size=12,
    )


def _frame(x_axis: Axis, y_axis: Axis, x_title: str, y_title: str) -> Markup:
    parts = []
    for tick in y_axis.ticks(6):
        y = y_axis.at(tick)
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, stroke="#ddd"))
        parts.append(element("text", label(tick), x=LEFT - 6, y=y + 4, text_anchor="end"))
    for tick in x_axis.ticks(6):
        parts.append(element("text", label(tick), x=x_axis.at(tick), y=HEIGHT - BOTTOM + 18, text_anchor="middle"))
    parts.append(element("text", x_title, x=WIDTH - RIGHT, y=HEIGHT - 6, text_anchor="end"))
    parts.append(element("text", y_title, x=2, y=14))
    return element("g", *parts)


def _drawn(line: Line, colour: str, x_axis: Axis, y_axis: Axis) -> Markup:
    places = [(x_axis.at(x), y_axis.at(y)) for x, y in zip(line.x, line.y, strict=True)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    bars = [
        element("line", x1=x, x2=x, y1=y_axis.at(low), y2=y_axis.at(high), stroke=colour, stroke_opacity=0.5)
        for (x, _), (low, high) in zip(places, line.intervals, strict=False)
    ]
    return element("g", element("polyline", points=path, fill="none", stroke=colour, stroke_width=2), *bars)
