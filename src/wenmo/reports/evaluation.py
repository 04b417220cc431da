"""The page of an evaluation: what a model gets right, what it confuses, and whether its probabilities are true."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wenmo.folder import wenmo_version
from wenmo.reports import answers, quantities
from wenmo.reports.markup import Markup, element, joined, quoted
from wenmo.reports.page import Section, page, section, write_page
from wenmo.reports.reliability_chart import reliability_chart

_FIGURES = ("accuracy", "macro_f1", "ece")
"""Of a classifier, at the top of its page; of other models, all they have."""
_CONFUSION_LABELS = 20
"""With more labels, only the commonest confusions are shown."""


def write_evaluation_report(result: Mapping[str, Any], path: Path, *, model: str, data: str) -> None:
    """Write the page of an evaluation.

    Args:
        result: what `wenmo.evaluate` gave.
        path: of the HTML file; a page that is there already is replaced.
        model: which model was asked, for the heading.
        data: which texts.

    Raises:
        OSError: the folder cannot be written to.
    """
    write_page(evaluation_page(result, model=model, data=data), path)


def evaluation_page(result: Mapping[str, Any], *, model: str, data: str) -> str:
    """The page as a string."""
    found = (_labels(result), _confusions(result), _calibration(result), _abstention(result), _against(result))
    footer = element("p", f"wenmo {wenmo_version()}. This page holds all it shows and asks nothing of the network.")
    name = Path(model).name or model
    return page(f"{name} on {Path(data).name}", _header(result, model, data), [each for each in found if each], footer)


def _header(result: Mapping[str, Any], model: str, data: str) -> Markup:
    metrics = result["metrics"]
    chosen = [name for name in _FIGURES if name in metrics] if "per_class" in result else metrics
    figures = [_figure(name, metrics[name]) for name in chosen]
    facts = {"sentences" if "per_type" in result else "texts": quantities.count(result["rows"])}
    if "tokens" in result:
        facts["tokens"] = quantities.count(result["tokens"])
    if "labels" in result:
        facts["labels"] = quantities.count(len(result["labels"]))
    if "thresholds" in result:
        facts["decided by"] = "thresholds" if result["thresholds"] else "the likeliest label"
    listed = [element("div", element("dt", key), element("dd", value)) for key, value in facts.items()]
    notes = [element("li", note) for note in result["notes"]]
    return joined(
        [
            element("p", "Evaluation of ", quoted(model), class_="eyebrow"),
            element("h1", quoted("/".join(Path(data).parts[-2:]))),
            element(
                "div",
                element("div", *figures, class_="figures"),
                element("dl", *listed, class_="facts"),
                class_="card",
            ),
            element("ul", *notes, class_="remarks quiet") if notes else None,
        ]
    )


def _figure(name: str, score: Mapping[str, Any]) -> Markup:
    metric = quantities.metric_named(name)
    unit = metric.sign or metric.unit
    return element(
        "div",
        element("div", quantities.capitalized(metric.name), class_="figure-name"),
        element(
            "div", metric.figure(score["value"]), element("small", f"\u00a0{unit}") if unit else None, class_="figure"
        ),
        element("div", f"95 % interval {metric.interval(score['low'], score['high'])}", class_="quiet range"),
    )


def _labels(result: Mapping[str, Any]) -> Section | None:
    if result.get("per_type"):
        plain = result["scheme"] == "none"
        noun, counted = ("tag", "tokens") if plain else ("type", "entities")
        return section("types", f"Each {noun}", answers.class_table(result["per_type"], noun, counted))
    if not result.get("per_class"):
        return None
    return section("labels", "Each label", answers.class_table(result["per_class"]))


def _confusions(result: Mapping[str, Any]) -> Section | None:
    confusion, labels = result.get("confusion"), result.get("labels", ())
    if not confusion:
        return None
    halves = []
    if len(labels) <= _CONFUSION_LABELS:
        halves.append(element("div", element("h3", "All answers"), answers.confusion_table(confusion, labels)))
    if (mistakes := answers.common_confusions(confusion, labels)) is not None:
        halves.append(element("div", element("h3", "The most frequent mistakes"), mistakes))
    return section("confusions", "What is taken for what", element("div", *halves, class_="halves")) if halves else None


def _calibration(result: Mapping[str, Any]) -> Section | None:
    found = result.get("calibration")
    if not found:
        return None
    error = found["width"]
    told = element(
        "p",
        "Among answers that are 80 % sure, 80 % should be right. A point is a bin of texts, its area their number; the "
        "dotted line is where probabilities are true, and the bars below show how many texts stand where. The "
        f"calibration error is {quantities.percent(error['value'], 2)} %; on as many texts, true probabilities would "
        f"show {quantities.percent(error['by_chance'], 2)} % by chance (p {_equals(error['p'])}).",
        class_="quiet",
    )
    charts = [("Before calibration", found["before"])] if found["before"] else []
    charts.append(("After calibration" if found["before"] else "As the model is", found))
    panels = [_reliability_panel(heading, each) for heading, each in charts]
    return section(
        "calibration",
        "Are the probabilities true?",
        told,
        element("div", *panels, class_="halves"),
        element("h3", "The bins, as many texts in each"),
        _bins_table(found["mass"]["bins"]),
    )


def _reliability_panel(heading: str, found: Mapping[str, Any]) -> Markup:
    errors = ", ".join(
        f"{name} {quantities.percent(found[key]['value'], 2)} %"
        for key, name in (("width", "error"), ("mass", "with bins of equal mass"))
    )
    return element(
        "div",
        element("h3", heading),
        element("figure", reliability_chart(found["width"]["bins"], 366, 400, heading), class_="chart"),
        element("p", errors, class_="quiet"),
    )


def _bins_table(bins: Sequence[Mapping[str, Any]]) -> Markup:
    head = [
        element("th", name, scope="col", class_="number") for name in ("from, %", "to, %", "sure", "right", "texts")
    ]
    rows = [
        element(
            "tr",
            *(element("td", quantities.percent(each[name]), class_="number") for name in ("low", "high")),
            *(
                element("td", quantities.percent(each[name]), class_="number main")
                for name in ("confidence", "accuracy")
            ),
            element("td", quantities.count(each["rows"]), class_="number"),
        )
        for each in bins
    ]
    table = element(
        "table",
        element("caption", "Bins of equal mass: how sure and how often right", class_="unseen"),
        element("thead", element("tr", *head)),
        element("tbody", *rows),
    )
    return element("div", table, class_="scroll", tabindex=0, role="region", aria_label="Bins")


def _abstention(result: Mapping[str, Any]) -> Section | None:
    found = result.get("abstention")
    if not found:
        return None
    return section("promise", "The promise", *(element("p", each) for each in abstention_sentences(found)))


def abstention_sentences(found: Mapping[str, Any]) -> list[str]:
    """What was promised, and what became of it."""
    promise, error = found["promise"], found["error"]
    said = [
        f"Promised: at most {quantities.percent(promise['risk'])} % of the answered texts are wrong, with "
        f"{quantities.percent(promise['confidence'], 0)} % confidence, by answering where the probability is at least "
        f"{promise['threshold']:.4g}; on the {promise['rows']:,} calibration texts that is a coverage of "
        f"{quantities.percent(promise['coverage'])} %."
    ]
    if error is None:
        return [*said, "Here no text was sure enough for an answer."]
    verdict = (
        "The promise is broken here: even the lower end of the interval is above it"
        if found["contradicted"]
        else "The promise held here"
        if found["held"]
        else "The share is above the promise, but so few texts cannot tell that from chance"
    )
    said.append(
        f"Here {found['answered']:,} texts were answered, a coverage of {quantities.percent(found['coverage'])} %, and "
        f"{found['wrong']:,} of them wrongly: {quantities.percent(error['value'], 2)} % (95 % interval "
        f"{quantities.interval(error['low'], error['high'])}). {verdict}."
    )
    return said


def _against(result: Mapping[str, Any]) -> Section | None:
    found = result.get("against")
    if not found:
        return None
    metrics = {name: quantities.metric_named(name) for name in found["differences"]}
    shares = all(metric.scale == "share" for metric in metrics.values())
    models = ("this model, %", "the other, %") if shares else ("this model", "the other")
    head = [element("th", name, scope="col", class_="number") for name in (*models, "p")]
    rows = [
        element(
            "tr",
            element("th", metric.name if shares else metric.heading, scope="row"),
            element("td", metric.figure(result["metrics"][name]["value"]), class_="number main"),
            element("td", metric.figure(found["metrics"][name]["value"]), class_="number"),
            element("td", quantities.p_value(found["differences"][name]["p"]), class_="number"),
        )
        for name, metric in metrics.items()
    ]
    table = element(
        "table", element("thead", element("tr", element("th", "", scope="col"), *head)), element("tbody", *rows)
    )
    told = element(
        "p",
        "The other model is ",
        quoted(found["model"]),
        f". Only this one is right on {found['only_this_right']:,} texts, only the other on "
        f"{found['only_other_right']:,}. p is the chance of a difference as large between equally good models: "
        f"McNemar's exact test for the accuracy, approximate randomisation for F1.",
        class_="quiet",
    )
    return section("against", "Against another model", told, table)


def _equals(p: float) -> str:
    shown = quantities.p_value(p)
    return (shown if shown.startswith("<") else f"= {shown}").replace(" ", "\u00a0")
