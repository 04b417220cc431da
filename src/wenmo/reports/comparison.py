"""The page of a comparison: which model to ship, why, and everything that speaks for and against it.

What holds for every page of ours stands in `wenmo.reports.page`.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wenmo.reports import answers, quantities
from wenmo.reports.charts import Row, bubble_radius, can_be_drawn, tradeoff_chart
from wenmo.reports.data_section import data_section
from wenmo.reports.learning import learning_panels
from wenmo.reports.markup import Markup, element, joined, quoted
from wenmo.reports.measure import Measure
from wenmo.reports.model_table import model_table
from wenmo.reports.page import Section, page, section, write_page
from wenmo.reports.verdict import verdict, winner_of


def write_comparison_report(result: dict[str, Any], path: Path, *, no_texts: bool = False) -> None:
    """Write the page of a comparison.

    Args:
        result: what `wenmo.experiments.compare` found, as plain values.
        path: of the HTML file. It appears whole or not at all; a page that is there already is replaced.
        no_texts: leave out every text of the data, for private data.

    Raises:
        OSError: the folder cannot be written to.
    """
    write_page(comparison_page(result, path.parent.name, no_texts=no_texts), path)


def comparison_page(result: dict[str, Any], folder: str = "comparison", *, no_texts: bool = False) -> str:
    """The page as a string.

    Args:
        result: what `wenmo.experiments.compare` found, as plain values.
        folder: the name of the comparison's folder, for the commands shown.
        no_texts: leave out every text of the data.
    """
    winner = winner_of(result)
    measure = Measure.of(result)
    sections = [
        each
        for each in (
            section("models", "All models", model_table(result["rows"], winner, measure)),
            _tradeoff_section(result["rows"], winner, measure),
            _learning_section(result["rows"], winner, measure),
            _test_section(result, winner),
            _hardest_section(result, no_texts),
            section("data", "The data", data_section(result["data"])),
            section("reproduce", "How to use and repeat this", _commands(result, winner, folder, no_texts)),
        )
        if each is not None
    ]
    title = f"Comparison of {len(result['rows'])} models on {_file_name(result)}"
    return page(title, verdict(result, winner, measure, title), sections, _machine(result))


def _tradeoff_section(rows: Sequence[Row], winner: str | None, measure: Measure) -> Section | None:
    drawn = [row for row in rows if can_be_drawn(row)]
    if not drawn:
        return None
    sizes = [size for row in drawn if (size := quantities.number(row.get("bytes"))) is not None]
    kinds = [
        ("winner", "winner", any(row["model"] == winner for row in drawn)),
        ("network", "network", any(not row.get("is_linear") and row["model"] != winner for row in drawn)),
        ("linear", "linear baseline", any(row.get("is_linear") and row["model"] != winner for row in drawn)),
    ]
    legend = [element("span", _swatch(kind, 7.0), name) for kind, name, present in kinds if present]
    legend += [
        element("span", _swatch("network", bubble_radius(size, max(sizes))), quantities.large(size, "B"))
        for size in sorted({min(sizes), max(sizes)} if sizes else ())
    ]
    chart = element(
        "figure",
        element("div", tradeoff_chart(drawn, winner, measure, 1130, 460), class_="wide"),
        element("div", tradeoff_chart(drawn, winner, measure, 366, 460), class_="narrow"),
        element("figcaption", *legend, class_="legend"),
        class_="chart",
    )
    metric = measure.metric
    better = (
        "Lower is better"
        if metric.lower_is_better
        else "Higher is more often right"
        if metric.sign
        else "Higher is better"
    )
    explanation = element(
        "p",
        f"{better}, further left is faster; the area of a bubble is the size of the model's file and "
        "the upright line its 95 % interval. The stepped line joins the models that no other one beats in both.",
        class_="quiet",
    )
    return section("trade-off", "Quality against speed", explanation, chart)


def _swatch(kind: str, radius: float) -> Markup:
    side = 2 * radius + 3
    circle = element("circle", cx=side / 2, cy=side / 2, r=radius, class_="bubble")
    return element(
        "svg", element("g", circle, class_=f"point {kind}"), width=side, height=side, aria_hidden="true"
    )  # fmt: skip


def _learning_section(rows: Sequence[Row], winner: str | None, measure: Measure) -> Section | None:
    panels = learning_panels(rows, winner, measure)
    if panels is None:
        return None
    unit = f", {named}," if (named := measure.metric.sign or measure.metric.unit) else ""
    linear = " The dotted line is the best linear baseline." if any(row.get("is_linear") for row in rows) else ""
    explanation = element(
        "p",
        f"{quantities.capitalized(str(measure))}{unit} against the seconds of training. Grey are the other models, "
        f"the dot is the best value: the weights kept.{linear}",
        class_="quiet",
    )
    return section("learning", "How they learnt", explanation, panels)


def _test_section(result: dict[str, Any], winner: str | None) -> Section | None:
    test = result.get("test") or {}
    if not test.get("metrics"):
        return None
    size = (result["data"].get("sizes") or {}).get("test")
    texts = "test texts" if size == 1 else f"{quantities.count(size)} test texts"
    explanation = element(
        "p",
        f"The {texts} had no part in training or choosing; they were looked at once, after ",
        quoted(str(winner)),
        " had won.",
        class_="quiet",
    )
    parts: list[Markup | None] = [explanation, answers.scores_on_test(test)]
    labels, confusion = list(test.get("labels") or []), test.get("confusion") or []
    halves = []
    if confusion:
        halves.append(element("div", element("h3", "Confusions"), answers.confusion_table(confusion, labels)))
    if (mistakes := answers.common_confusions(confusion, labels)) is not None:
        halves.append(element("div", element("h3", "The most frequent mistakes"), mistakes))
    if test.get("per_class"):
        halves.append(element("div", element("h3", "Each label"), answers.class_table(test["per_class"])))
    if halves:
        parts.append(element("div", *halves, class_="halves"))
    return section("test", "The winner on the test set", *parts)


def _hardest_section(result: dict[str, Any], no_texts: bool) -> Section | None:
    examples = result.get("hardest") or []
    if no_texts:
        note = element("p", "Texts were left out of this page on purpose (--no-texts).", class_="quiet")
        return section("hardest", "Hardest examples", note)
    if not examples:
        return None
    explanation = element(
        "p",
        "Dev texts that the winner got wrong, the surest mistakes first. Look for wrong gold labels among them: they "
        "are often the cheapest way to a better model.",
        class_="quiet",
    )
    return section("hardest", "Hardest examples", explanation, answers.hardest_examples(examples))


def _commands(result: dict[str, Any], winner: str | None, folder: str, no_texts: bool) -> Markup:
    again = _compare_command(result, folder, no_texts)
    parts = []
    if winner is not None:
        model = f"{folder}/{result.get('winner_folder') or 'winner'}"
        if result["data"].get("task") == "generate":
            heading, use = (
                "Write on behind a prompt with the winner",
                shlex.join(["wenmo", "generate", model]) + ' "..."',
            )
        else:
            heading = "Answer new texts with the winner"
            use = shlex.join(["wenmo", "predict", model, "new_texts.txt"])
        parts += [element("h3", heading), element("pre", element("code", use))]
    parts += [element("h3", "Run this comparison again"), element("pre", element("code", again))]
    return joined(parts)


def _compare_command(result: dict[str, Any], folder: str, no_texts: bool) -> str:
    """The command line that leads to this result."""
    sources, settings = result["data"].get("sources") or {}, result["settings"]
    words = ["wenmo", "compare", str(sources.get("train") or "TRAIN")]
    for part in ("dev", "test"):
        words += [f"--{part}", str(sources[part])] if sources.get(part) else []
    task = result["data"].get("task")
    words += ["--task", str(task)] if task not in (None, "classify") else []
    words += ["--models", ",".join(settings["models"])]
    words += ["--seeds", str(settings["seeds"])] if settings.get("seeds") else []
    words += ["--folds", str(settings["folds"])] if settings.get("folds") else []
    words += ["--budget", _duration(settings["budget_seconds"])] if settings.get("budget_seconds") else []
    words += ["--max-size", f"{settings['max_size_bytes'] / 1e6:g}MB"] if settings.get("max_size_bytes") else []
    words += ["--no-texts"] if no_texts else []
    return shlex.join([*words, "--out", folder])


def _duration(seconds: float) -> str:
    """As it is typed: 10m, 90s."""
    return f"{seconds / 60:g}m" if seconds % 60 == 0 else f"{seconds:g}s"


def _machine(result: dict[str, Any]) -> Markup:
    machine = result.get("machine") or {}
    facts = [
        machine.get("processor"),
        f"{machine['cores']} core{'s' if machine['cores'] > 1 else ''}" if machine.get("cores") else None,
        f"{quantities.large(machine['memory_bytes'], 'B')} of memory" if machine.get("memory_bytes") else None,
        f"torch {machine['torch']}" if machine.get("torch") else None,
    ]
    measured = ", ".join(str(fact) for fact in facts if fact)
    made = f"wenmo {result.get('wenmo_version', '')}".strip()
    created = str(result.get("created") or "")
    when = joined([", ", element("time", created[:16].replace("T", " "), datetime=created)]) if created else None
    return joined(
        [
            element("p", f"Times were measured on {measured}; another machine has other times.") if measured else None,
            element("p", made, when, ". This page holds all it shows and asks nothing of the network."),
        ]
    )


def _file_name(result: dict[str, Any]) -> str:
    source = str((result["data"].get("sources") or {}).get("train") or "the data")
    return source.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] if "://" not in source else source
