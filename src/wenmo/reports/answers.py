"""What the winner answered: its scores on test, its confusions, each class, and the texts it got most wrong."""

import math
from collections.abc import Sequence
from typing import Any

from wenmo.reports import quantities
from wenmo.reports.charts import bar
from wenmo.reports.labelling import shortened
from wenmo.reports.markup import Markup, element, language_of, quoted
from wenmo.reports.quantities import Metric

_LEVELS = 10
"""Shades of a cell, as the style sheet has them."""
_MOST_CONFUSIONS = 6
_UPRIGHT_LABELS = 4
"""With more columns their headings are written vertically."""
_MOST_LABELS = 60
_TEXT_LIMIT = 700
_LEFT_OUT = element("span", "(text left out)", class_="quiet")


def scores_on_test(test: dict[str, Any]) -> Markup:
    """The winner's metrics on test, beside those of the best linear baseline where there is one."""
    linear = test.get("linear") or {}
    models = [test] + ([linear] if linear.get("metrics") and linear.get("model") != test.get("model") else [])
    names = list(dict.fromkeys(name for model in models for name in model.get("metrics") or {}))
    if all(_is_accuracy_again(model.get("metrics") or {}) for model in models):
        names.remove("micro_f1")
    head = [element("th", "Model", scope="col", class_="model")]
    metrics = {name: quantities.metric_named(name) for name in names}
    head += [element("th", metric.heading, scope="col", class_="number") for metric in metrics.values()]
    rows = []
    for model in models:
        is_winner = model is test
        tag = element("span", "winner" if is_winner else "linear", class_="tag winner" if is_winner else "tag")
        cells = [_score(metric, (model.get("metrics") or {}).get(name)) for name, metric in metrics.items()]
        rows.append(element("tr", element("th", quoted(str(model["model"])), tag, scope="row", class_="model"), *cells))
    return _scrollable(
        element(
            "table",
            element("caption", "Scores on the test set with 95 % intervals", class_="unseen"),
            element("thead", element("tr", *head)),
            element("tbody", *rows),
            class_="scores",
        ),
        "Scores on test",
    )


def confusion_table(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> Markup:
    """Gold labels in rows, answers in columns, each cell shaded by its share of the row.

    A matrix that nobody could read, of a megabyte and more, is left out with a sentence.
    """
    if len(labels) > _MOST_LABELS:
        return element("p", f"A matrix of {len(labels)} labels would be too large to read.", class_="quiet")
    vertical = len(labels) > _UPRIGHT_LABELS
    columns = [
        element("th", _column_label(label, vertical), scope="col", class_="vertical" if vertical else "number")
        for label in labels
    ]
    rows = [
        element(
            "tr",
            element("th", element("span", quoted(label), class_="cut", title=label), scope="row"),
            *(_cell(count, sum(row), i == j, labels[i], labels[j]) for j, count in enumerate(row)),
        )
        for i, (label, row) in enumerate(zip(labels, confusion, strict=True))
    ]
    table = element(
        "table",
        element("caption", "Confusion matrix: gold labels in rows, answers in columns", class_="unseen"),
        element(
            "thead",
            element(
                "tr",
                element("td", element("span", "is \u2193"), " ", element("span", "said \u2192"), class_="corner"),
                *columns,
            ),
        ),
        element("tbody", *rows),
        class_="confusion dense" if vertical else "confusion",
    )
    return _scrollable(table, "Confusion matrix")


def common_confusions(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> Markup | None:
    """The most frequent mistakes as sentences; None where there are none, or only two labels to mistake."""
    found = sorted(
        ((count, i, j) for i, row in enumerate(confusion) for j, count in enumerate(row) if i != j and count),
        reverse=True,
    )
    if not found or len(labels) < 3:
        return None
    items = [
        element(
            "li",
            quoted(shortened(labels[i], 40)),
            " taken for ",
            quoted(shortened(labels[j], 40)),
            element("span", f" {quantities.count(count)} times ({_share(count, sum(confusion[i]))} %)"),
        )
        for count, i, j in found[:_MOST_CONFUSIONS]
    ]
    return element("ol", *items, class_="mistakes")


def class_table(per_class: dict[str, dict[str, Any]], noun: str = "label", counted: str = "texts") -> Markup:
    """Precision, recall and F1 of each label, or of what else there are several kinds of."""
    rows = [
        element(
            "tr",
            element("th", element("span", quoted(label), class_="cut", title=label), scope="row"),
            element("td", bar(quantities.number(scores.get("f1")) or 0.0, of_whole=True), class_="drawing"),
            element("td", quantities.percent(scores.get("f1")), class_="number main"),
            element("td", quantities.percent(scores.get("precision")), class_="number"),
            element("td", quantities.percent(scores.get("recall")), class_="number"),
            element("td", quantities.count(scores.get("support")), class_="number"),
        )
        for label, scores in per_class.items()
    ]
    heads = [element("th", name, scope="col", class_="number") for name in ("F1, %", "precision", "recall", counted)]
    label_head = element("th", noun.capitalize(), scope="col")
    drawing_head = element("th", element("span", "F1 as a bar", class_="unseen"), scope="col")
    table = element(
        "table",
        element("caption", f"Precision, recall and F1 of each {noun}", class_="unseen"),
        element("thead", element("tr", label_head, drawing_head, *heads)),
        element("tbody", *rows),
        class_="classes",
    )
    return _scrollable(table, f"Scores of each {noun}")


def hardest_examples(examples: Sequence[dict[str, Any]]) -> Markup:
    """The dev texts, or pairs, on which the winner was surest of a wrong answer."""
    return element("ol", *(_example(example) for example in examples), class_="examples")


def _example(example: dict[str, Any]) -> Markup:
    texts = [text for text in (example.get("text"), example.get("text_b")) if text]
    shown = [quoted(text, limit=_TEXT_LIMIT // len(texts)) for text in texts]
    return element(
        "li",
        *(element("p", text, class_="text", dir="auto") for text in shown or [_LEFT_OUT]),
        element(
            "p",
            "is ",
            element("span", quoted(str(example.get("label")), limit=80), class_="gold"),
            ", said ",
            element("span", quoted(str(example.get("predicted")), limit=80), class_="wrong"),
            f" with {quantities.percent(example.get('probability'))} %",
            element("span", quoted(str(example.get("source") or "")), class_="source"),
            class_="quiet",
        ),
    )


def _score(metric: Metric, score: dict[str, Any] | None) -> Markup:
    if not score:
        return element("td", quantities.MISSING, class_="number")
    return element(
        "td",
        element("span", metric.figure(score.get("value")), class_="main"),
        " ",
        element("span", metric.interval(score.get("low"), score.get("high")), class_="quiet"),
        class_="number",
    )


def _is_accuracy_again(metrics: dict[str, Any]) -> bool:
    """With one label a text, micro F1 is the accuracy under another name."""
    return "micro_f1" in metrics and metrics["micro_f1"] == metrics.get("accuracy")


def _column_label(label: str, vertical: bool) -> Markup:
    # Han characters stand upright in vertical writing; turned Latin letters read from below, like a book's spine.
    turned = vertical and language_of(label) is None
    return element("span", quoted(label), class_="cut turned" if turned else "cut", title=label)


def _cell(count: int, total: int, right: bool, gold: str, predicted: str) -> Markup:
    share = count / total if total else 0.0
    # Mistakes are rare: the square root lets 1 % be seen beside 30 %.
    level = math.ceil(_LEVELS * (share if right else math.sqrt(share)))
    amount = f"{quantities.count(count)} of {quantities.count(total)} ({_share(count, total)} %)"
    classes = f"number {'hit' if right else 'miss'} s{level}"
    return element(
        "td",
        quantities.count(count) if count else "\u00b7",
        class_=classes,
        title=f"{gold} \u2192 {predicted}: {amount}",
    )


def _share(count: int, total: int) -> str:
    return quantities.percent(count / total if total else 0.0)


def _scrollable(table: Markup, name: str) -> Markup:
    """Wide tables scroll within themselves, by keyboard too."""
    return element("div", table, class_="scroll", tabindex=0, role="region", aria_label=name)
