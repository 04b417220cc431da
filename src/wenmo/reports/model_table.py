"""The table of all models of a comparison."""

from collections.abc import Sequence
from typing import Any

from wenmo.reports import quantities
from wenmo.reports.axes import Axis
from wenmo.reports.charts import Row, forest_axis, forest_mark, forest_scale, kind_of
from wenmo.reports.markup import Markup, element, joined, quoted
from wenmo.reports.measure import Measure
from wenmo.reports.quantities import Metric

_FOREST_WIDTH = 140
_COLUMNS_AFTER_NAME = 12


def model_table(rows: Sequence[Row], winner: str | None, measure: Measure) -> Markup:
    """Every model with its metric, costs and speed, the failed ones last with their reason.

    Args:
        rows: best first.
        winner: its row is marked.
        measure: what the models were measured by.
    """
    finished = [row for row in rows if not row.get("failed")]
    failed = [row for row in rows if row.get("failed")]
    metric = measure.metric
    axis = forest_axis(finished, metric, _FOREST_WIDTH)
    best = metric.best(value for row in finished if (value := quantities.number(row.get("value"))) is not None)
    return joined(
        [
            element(
                "div",
                element(
                    "table",
                    element("caption", "All models, best first", class_="unseen"),
                    _head(measure, axis),
                    element(
                        "tbody",
                        *(_model(row, winner, best, metric, axis) for row in finished),
                        *(_failure(row) for row in failed),
                    ),
                    class_="models",
                ),
                class_="scroll",
                tabindex=0,
                role="region",
                aria_label="Table of all models",
            ),
            _notes(finished) if finished else None,
        ]
    )


def _head(measure: Measure, axis: Axis | None) -> Markup:
    scale = forest_scale(axis, measure.metric, _FOREST_WIDTH) if axis else None

    def group(name: str, columns: int) -> Markup:
        return element("th", name, scope="colgroup", colspan=columns, class_="group")

    def column(*children: object, class_: str = "number") -> Markup:
        return element("th", *children, scope="col", class_=class_)

    def tall(name: str, class_: str = "number tall") -> Markup:
        return element("th", name, scope="col", rowspan=2, class_=class_)

    return element(
        "thead",
        element(
            "tr",
            tall("Model", class_="model"),
            group(measure.heading, 5),
            group("size", 2),
            tall("training time"),
            group("one text, ms", 2),
            tall("texts per second"),
            tall("Pareto front", class_="centre tall"),
        ),
        element(
            "tr",
            column("value"),
            column("95 % interval"),
            column(scale, element("span", "the interval as a drawing", class_="unseen"), class_="drawing"),
            column("seeds \u00b1"),
            column("p"),
            column("parameters"),
            column("file"),
            column("p50"),
            column("p95"),
        ),
    )


def _model(row: Row, winner: str | None, best: float | None, metric: Metric, axis: Axis | None) -> Markup:
    kind = kind_of(row, winner)
    has_value = quantities.number(row.get("value")) is not None
    drawing = forest_mark(row, kind, best, metric, axis, _FOREST_WIDTH) if axis and has_value else quantities.MISSING

    def cell(text: str, title: str | None = None, class_: str = "number") -> Markup:
        return element("td", text, class_=class_, title=title)

    parameters, size = row.get("parameters"), row.get("bytes")
    return element(
        "tr",
        element("th", _name(row, winner), scope="row", class_="model"),
        cell(metric.figure(row.get("value")), class_="number main"),
        cell(metric.interval(row.get("low"), row.get("high"))),
        element("td", drawing, class_="drawing"),
        cell(metric.figure(row.get("spread"), more_digits=1), title=_each_seed(row, metric)),
        element("td", _p_value(row, winner), class_="number"),
        cell(quantities.large(parameters), title=quantities.count(parameters)),
        cell(quantities.large(size, "B"), title=f"{quantities.count(size)} bytes"),
        cell(quantities.seconds(row.get("train_seconds"))),
        cell(quantities.milliseconds(row.get("latency_ms_p50"))),
        cell(quantities.milliseconds(row.get("latency_ms_p95"))),
        cell(quantities.rate(row.get("texts_per_second"))),
        element("td", *(_front_mark() if row.get("pareto") else ()), class_="centre"),
        class_=kind,
    )


def _name(row: Row, winner: str | None) -> Markup:
    tags = [
        element("span", "winner", class_="tag winner") if row["model"] == winner else None,
        element("span", "linear", class_="tag") if row.get("is_linear") else None,
        element("span", "too large", class_="tag") if row.get("too_large") else None,
    ]
    return joined([element("span", quoted(row["model"]), class_="name"), *tags])


def _p_value(row: Row, winner: str | None) -> Markup:
    if quantities.number(row.get("paired_p")) is None:
        return element("span", "best" if row["model"] == winner else quantities.MISSING, class_="quiet")
    p = quantities.p_value(row["paired_p"])
    tie = element("span", "tie", class_="tag tie") if row.get("tied_with_best") else None
    return joined([tie, p])


def _front_mark() -> tuple[Markup, Markup]:
    return element("span", "\u25cf", aria_hidden="true", class_="front"), element("span", "yes", class_="unseen")


def _each_seed(row: Row, metric: Metric) -> str | None:
    values: list[Any] = row.get("values") or []
    return "each seed: " + ", ".join(metric.figure(value) for value in values) if len(values) > 1 else None


def _failure(row: Row) -> Markup:
    return element(
        "tr",
        element("th", _name(row, None), scope="row", class_="model"),
        element(
            "td",
            element("div", element("strong", "failed: "), quoted(str(row["failed"]), limit=600), class_="why"),
            colspan=_COLUMNS_AFTER_NAME,
        ),
        class_="failed",
    )


def _notes(rows: Sequence[Row]) -> Markup:
    notes = [
        element("dt", "Interval"),
        element(
            "dd",
            "with 95 % confidence the true value on texts like these lies within. In the drawing the dashed line is "
            "the best value",
            " and each short line is a seed." if any(len(row.get("values") or []) > 1 for row in rows) else ".",
        ),
        element("dt", "p"),
        element(
            "dd",
            "of a paired test against the best model on the same texts: how easily chance alone would make so large a "
            "difference. From 0.05 up the two are tied.",
        ),
        element("dt", "Pareto"),
        element("dd", "no other model is as good in both value and latency and better in one of them."),
        element("dt", "One text"),
        element("dd", "the time from raw text to answer for a single text: p50 is the usual, p95 the slow case."),
    ]
    if any(row.get("is_linear") for row in rows):
        notes += [
            element("dt", "Linear"),
            element("dd", "a baseline over counted n-grams. A network that does not beat it is not worth its cost."),
        ]
    if any(row.get("too_large") for row in rows):
        notes += [element("dt", "Too large"), element("dd", "over the size asked for, so that it could not win.")]
    return element("dl", *notes, class_="notes")
