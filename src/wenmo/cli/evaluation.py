"""An evaluation in the terminal: metrics, each label, what is mistaken for what, and whether probabilities are true."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from wenmo.cli.output import plain_table, print_notes, results, visible
from wenmo.cli.summaries import all_shares, print_metrics
from wenmo.reports import quantities
from wenmo.reports.evaluation import abstention_sentences

_LABELS_SHOWN, _MISTAKES_SHOWN, _CONFUSION_LABELS = 20, 5, 8


def print_evaluation(result: Mapping[str, Any]) -> None:
    """Everything that `wenmo.evaluate` found, the most telling first; of some tasks that is metrics alone."""
    print_notes(result["notes"])
    print_metrics({_amount(result): result["metrics"]})
    if result.get("signatures"):
        results().print()
        for name, signature in result["signatures"].items():
            results().print(f"{quantities.metric_name(name)}  {signature}", soft_wrap=True, highlight=False)
    if result.get("per_class"):
        results().print()
        _print_labels(result["per_class"])
    if result.get("per_type"):
        plain = result["scheme"] == "none"
        results().print()
        _print_labels(result["per_type"], "tag" if plain else "type", "tokens" if plain else "entities")
    if result.get("confusion"):
        _print_confusions(result["confusion"], result["labels"])
    if result.get("calibration"):
        _print_calibration(result["calibration"])
    if result.get("abstention"):
        results().print()
        for sentence in abstention_sentences(result["abstention"]):
            results().print(sentence, soft_wrap=True)
    if result.get("against"):
        _print_against(result)


def _amount(result: Mapping[str, Any]) -> str:
    """1,200 texts, or what else the data has; of a language model its tokens too."""
    noun = "sentence" if "per_type" in result else "pair" if result["task"] == "similarity" else "text"
    texts = f"{quantities.count(result['rows'])} {noun}{'s' * (result['rows'] != 1)}"
    return f"{texts}, {quantities.count(result['tokens'])} tokens" if "tokens" in result else texts


def _print_labels(per_class: Mapping[str, Mapping[str, float]], what: str = "label", counted: str = "texts") -> None:
    """Every label, or where there are many those that go worst."""
    table = plain_table()
    table.add_column(what, no_wrap=True, overflow="ellipsis", max_width=30)
    for heading in (counted, "precision", "recall", "F1"):
        table.add_column(heading, justify="right")
    many = len(per_class) > _LABELS_SHOWN
    worst_first = sorted(per_class, key=lambda label: per_class[label]["f1"]) if many else list(per_class)
    for label in worst_first[:_LABELS_SHOWN]:
        scores = per_class[label]
        figures = (quantities.percent(scores[name]) for name in ("precision", "recall", "f1"))
        table.add_row(visible(label), quantities.count(scores["support"]), *figures)
    if many:
        table.add_row(f"and {len(per_class) - _LABELS_SHOWN:,} with a better F1", style="dim")
    results().print(table)


def _print_confusions(confusion: list[list[int]], labels: Sequence[str]) -> None:
    """The whole matrix where there are few labels, and the pairs that are mistaken most often."""
    results().print()
    if len(labels) <= _CONFUSION_LABELS:
        table = plain_table()
        table.add_column("is \\ said", no_wrap=True, overflow="ellipsis", max_width=20)
        for label in labels:
            table.add_column(Text(visible(label), no_wrap=True, overflow="ellipsis"), justify="right", max_width=12)
        for gold, row in enumerate(confusion):
            cells = (Text(f"{count:,}", "bold" if gold == column else "") for column, count in enumerate(row))
            table.add_row(Text(visible(labels[gold])), *cells)
        results().print(table)
        results().print()
    for right, said, times in _mistakes(confusion, labels):
        results().print(f"{times:,} times {visible(right)} was taken for {visible(said)}")


def _mistakes(confusion: list[list[int]], labels: Sequence[str]) -> list[tuple[str, str, int]]:
    """The commonest ones as (right label, answer, how often)."""
    pairs = [
        (labels[gold], labels[predicted], count)
        for gold, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if count and gold != predicted
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:_MISTAKES_SHOWN]


def _print_calibration(found: Mapping[str, Any]) -> None:
    before, error = found["before"], found["width"]
    was = f" (before calibration {quantities.percent(before['width']['value'], 2)} %)" if before else ""
    results().print()
    results().print(
        f"Calibration error {quantities.percent(error['value'], 2)} %{was}; true probabilities would show "
        f"{quantities.percent(error['by_chance'], 2)} % on as many texts.",
        soft_wrap=True,
    )


def _print_against(result: Mapping[str, Any]) -> None:
    found = result["against"]
    results().print()
    metrics = {name: quantities.metric_named(name) for name in found["differences"]}
    shares = all_shares(metrics.values())
    table = plain_table()
    table.add_column("in %" if shares else "")
    for heading in ("this model", visible(found["model"]), "p"):
        table.add_column(heading, justify="right")
    for name, metric in metrics.items():
        write = metric.figure if shares else metric.with_unit
        values = (write(each["metrics"][name]["value"]) for each in (result, found))
        table.add_row(metric.name, *values, quantities.p_value(found["differences"][name]["p"]))
    results().print(table)
    results().print(
        f"Only this model is right on {found['only_this_right']:,} texts, only the other on "
        f"{found['only_other_right']:,}.",
        soft_wrap=True,
    )
