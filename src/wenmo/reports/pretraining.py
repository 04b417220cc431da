"""The page of a pre-training: the curve of every objective, its table of updates, what was read."""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from wenmo.errors import InputError
from wenmo.folder import METRICS, RECIPE, wenmo_version
from wenmo.pretraining.corpus import Corpus
from wenmo.pretraining.schedule import Schedule
from wenmo.reports import axes, quantities
from wenmo.reports.axes import Axis
from wenmo.reports.markup import Markup, element, joined, quoted
from wenmo.reports.page import Section, page, section, write_page

REPORT = "report.html"
_WIDTH, _HEIGHT = 352, 220
_MOST_POINTS = 300
"""Of a curve that is drawn; a longer one is thinned."""


@dataclass(frozen=True)
class _Curves:
    """How the loss of an objective fell."""

    name: str
    learnt: list[tuple[float, float]]
    """Update and mean loss since the line before."""
    held_out: list[tuple[float, float]]


def write_pretraining_report(folder: Path) -> None:
    """Write ``report.html`` into the folder of a finished pre-training, of what stands there.

    Raises:
        OSError: the folder cannot be written to.
    """
    log = (folder / "training.jsonl").read_text(encoding="utf-8")
    records = [json.loads(line) for line in log.splitlines()]
    metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    recipe = tomllib.loads((folder / RECIPE).read_text(encoding="utf-8"))
    write_page(pretraining_page(records, metrics, recipe, _corpus(folder, recipe), folder.name), folder / REPORT)


def pretraining_page(
    records: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Any],
    recipe: Mapping[str, Any],
    corpus: Corpus | None,
    name: str,
) -> str:
    """The page as a string.

    Args:
        records: the lines of ``training.jsonl``.
        metrics: what was measured at the end.
        recipe: with its table of updates.
        corpus: None: it is not there any more.
        name: of the folder.
    """
    schedule = Schedule.from_dict(recipe["schedule"])
    found = [_curve_section(records, schedule), _table_section(schedule), _text_section(corpus)]
    footer = element("p", f"wenmo {wenmo_version()}. This page holds all it shows and asks nothing of the network.")
    return page(f"{name}, pre-trained", _header(metrics, recipe, name), [each for each in found if each], footer)


def _header(metrics: Mapping[str, Any], recipe: Mapping[str, Any], name: str) -> Markup:
    facts = {
        "model": recipe["model"]["model_type"],
        "parameters": quantities.large(metrics["parameters"]),
        "updates": quantities.count(metrics["steps"]),
        "time": quantities.seconds(metrics["seconds"]),
        "best update": quantities.count(metrics["best_step"]) if metrics["best_step"] else "not looked for",
    }
    listed = [element("div", element("dt", key), element("dd", value)) for key, value in facts.items()]
    notes = [element("li", note) for note in metrics["notes"]]
    return joined(
        [
            element("p", "Pre-training", class_="eyebrow"),
            element("h1", quoted(name)),
            element(
                "div",
                element("div", *(_figure(each, score) for each, score in metrics["dev"].items()), class_="figures"),
                element("dl", *listed, class_="facts"),
                class_="card",
            ),
            element("ul", *notes, class_="remarks quiet") if notes else None,
        ]
    )


def _figure(name: str, score: Mapping[str, Any]) -> Markup:
    metric = quantities.metric_named(name)
    return element(
        "div",
        element("div", quantities.capitalized(metric.name), class_="figure-name"),
        element("div", metric.figure(score["value"]), class_="figure"),
        element("div", f"95 % interval {metric.interval(score['low'], score['high'])}", class_="quiet range"),
    )


def _curve_section(records: Sequence[Mapping[str, Any]], schedule: Schedule) -> Section | None:
    names = dict.fromkeys(str(record["task"]) for record in records if "task" in record)
    panels = [
        _panel(curves, schedule)
        for name in names
        if len((curves := _curves(name, records)).learnt) > 1 or len(curves.held_out) > 1
    ]
    if not panels:
        return None
    told = element(
        "p",
        "The mean loss of what was learnt since the line before (thin), and on held-out text (thick), in nats. ",
        "Upright lines part the stages." if schedule.num_stages > 1 else None,
    )
    return section("curves", "How the losses fell", told, element("div", *panels, class_="panels"))


def _curves(name: str, records: Sequence[Mapping[str, Any]]) -> _Curves:
    mine = [record for record in records if record.get("task") == name]
    learnt = [(float(record["step"]), float(record["loss"])) for record in mine]
    looked = [(float(record["step"]), float(record["dev_loss"])) for record in mine if "dev_loss" in record]
    return _Curves(name, _thinned(learnt), _thinned(looked))


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Every n-th point, the last one always among them."""
    points = [(step, loss) for step, loss in points if math.isfinite(loss)]
    every = max(1, math.ceil(len(points) / _MOST_POINTS))
    return [point for i, point in enumerate(points) if i % every == 0 or i == len(points) - 1]


def _panel(curves: _Curves, schedule: Schedule) -> Markup:
    values = [loss for _, loss in [*curves.learnt, *curves.held_out]]
    x_axis = Axis(0.0, float(schedule.total), 40.0, _WIDTH - 14.0)
    y_axis = Axis(*axes.around(values, margin=0.1), _HEIGHT - 34.0, 12.0)
    last = (curves.held_out or curves.learnt)[-1]
    said = f"{'held-out' if curves.held_out else 'training'} loss {last[1]:.3f} behind update {last[0]:,.0f}"
    ends = list(accumulate(schedule.lengths))[:-1]
    x, y = x_axis.at(last[0]), y_axis.at(last[1])
    marks = [
        *(
            element("line", x1=x_axis.at(end), x2=x_axis.at(end), y1=y_axis.start, y2=y_axis.end, class_="level")
            for end in ends
        ),
        _line(curves.learnt, x_axis, y_axis, "curve network"),
        _line(curves.held_out, x_axis, y_axis, "curve own winner"),
        element("circle", element("title", said), cx=x, cy=y, r=4, class_="dot winner"),
    ]
    title = quantities.capitalized(curves.name.replace("_", " "))
    caption = element("figcaption", element("strong", title), " ", element("span", said, class_="quiet"))
    drawn = element(
        "svg", _frame(x_axis, y_axis), *marks,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=f"{title}: {said}",
    )  # fmt: skip
    return element("figure", caption, drawn, class_="panel")


def _line(points: Sequence[tuple[float, float]], x_axis: Axis, y_axis: Axis, kind: str) -> Markup | None:
    if len(points) < 2:
        return None
    placed = " ".join(f"{x_axis.at(step):.1f},{y_axis.at(loss):.1f}" for step, loss in points)
    return element("polyline", points=placed, class_=kind)


def _frame(x_axis: Axis, y_axis: Axis) -> Markup:
    parts = []
    for tick in y_axis.ticks(4):
        y = y_axis.at(tick)
        parts.append(element("line", x1=x_axis.start, x2=x_axis.end, y1=y, y2=y, class_="grid"))
        parts.append(element("text", axes.label(tick), x=x_axis.start - 5, y=y + 4, text_anchor="end"))
    for tick in x_axis.ticks(4):
        parts.append(element("text", axes.label(tick), x=x_axis.at(tick), y=_HEIGHT - 18, text_anchor="middle"))
    parts.append(element("text", "updates", x=x_axis.end, y=_HEIGHT - 4, text_anchor="end", class_="axis-title"))
    return element("g", *parts, class_="frame")


def _table_section(schedule: Schedule) -> Section:
    stages = [element("th", f"stage {i + 1}", scope="col", class_="number") for i in range(schedule.num_stages)]
    head = element("tr", element("th", "objective", scope="col"), *stages)
    rows = [
        element(
            "tr",
            element("th", name.replace("_", " "), scope="row"),
            *(element("td", quantities.count(updates) if updates else "", class_="number") for updates in row),
        )
        for name, row in schedule.table.items()
    ]
    rows.append(
        element(
            "tr",
            element("th", "updates in all", scope="row"),
            *(element("td", quantities.count(length), class_="number") for length in schedule.lengths),
        )
    )
    table = element("table", element("thead", head), element("tbody", *rows))
    told = element("p", "Updates of each objective; one update may be for several.", class_="quiet")
    return section("schedule", "What was learnt when", element("div", table, class_="scroll"), told)


def _text_section(corpus: Corpus | None) -> Section | None:
    if corpus is None:
        return None
    facts = {"documents": corpus.documents, "sentences": corpus.sentences, "tokens": corpus.tokens, **corpus.dropped}
    rows = [
        element("tr", element("th", name, scope="row"), element("td", quantities.count(number), class_="number"))
        for name, number in facts.items()
    ]
    sources = [element("li", quoted(str(source["path"]))) for source in corpus.manifest["sources"]]
    table = element("div", element("table", element("tbody", *rows)), class_="scroll")
    return section("text", "The text", table, element("ul", *sources))


def _corpus(folder: Path, recipe: Mapping[str, Any]) -> Corpus | None:
    place = Path(recipe["corpus"]["folder"]).expanduser() if recipe["corpus"]["folder"] else folder / "corpus"
    try:
        return Corpus.open(place)
    except InputError:
        return None
