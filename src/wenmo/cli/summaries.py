"""What a run came to, for people: metrics side by side, then the facts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.text import Text

from wenmo.cli.output import plain_table, print_notes, results, visible
from wenmo.reports import quantities

if TYPE_CHECKING:
    from wenmo.tasks.metrics import Interval
    from wenmo.training.run import Metrics, TrainingResult
_LABELS_SHOWN, _MISTAKES_SHOWN = 20, 5


def print_training(result: "TrainingResult") -> None:
    """Metrics on dev and test beside each other, what was forgotten, and where the model stands."""
    print_notes(result.notes)
    measured = {name: metrics for name, metrics in (("dev", result.dev), ("test", result.test)) if metrics}
    if measured:
        print_metrics(measured)
    if result.forgotten:
        _print_forgotten(result.forgotten)
    results().print()
    steps = f"{result.steps:,} steps in " if result.steps else ""
    print_facts(
        {
            "trained": f"{steps}{quantities.seconds(result.seconds)}, {quantities.count(result.parameters)} parameters",
            "model": str(result.model),
            "use it": f"wenmo predict {result.model} FILE",
        }
    )


def print_evaluation(result: Mapping[str, Any]) -> None:
    """Metrics, then each label, then what is mistaken for what most often."""
    print_notes(result["notes"])
    print_metrics({quantities.count(result["rows"]) + " texts": result["metrics"]})
    results().print()
    _print_labels(result["per_class"])
    if mistakes := _mistakes(result["confusion"], result["labels"]):
        results().print()
        for gold, predicted, count in mistakes:
            results().print(f"{count:,} times {visible(gold)} was taken for {visible(predicted)}")


def print_metrics(measured: "Mapping[str, Metrics]") -> None:
    """A line for each metric, a column for each part of the data; every figure with its 95 % interval."""
    table = plain_table()
    table.add_column("in %")
    for part in measured:
        table.add_column(f"{part} (95 % interval)")
    for name in next(iter(measured.values())):
        if not _repeats_accuracy(name, measured):
            table.add_row(quantities.metric_name(name), *(_figure(metrics[name]) for metrics in measured.values()))
    results().print(table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Names and values below each other; a value is never broken, so that it can be copied."""
    width = max(map(len, facts))
    for name, value in facts.items():
        results().print(Text.assemble((f"{name:<{width}}  ", "dim"), value), soft_wrap=True)


def _figure(metric: "Interval") -> Text:
    low_to_high = quantities.interval(metric["low"], metric["high"])
    return Text.assemble((quantities.percent(metric["value"]), "bold"), (f"  ({low_to_high})", "dim"))


def _repeats_accuracy(name: str, measured: "Mapping[str, Metrics]") -> bool:
    """With one label a text, micro F1 is the accuracy under another name."""
    return name == "micro_f1" and all(metrics.get("accuracy") == metrics[name] for metrics in measured.values())


def _print_labels(per_class: Mapping[str, Mapping[str, float]]) -> None:
    """Every label, or where there are many those that go worst."""
    table = plain_table()
    table.add_column("label", no_wrap=True, overflow="ellipsis", max_width=30)
    for heading in ("texts", "precision", "recall", "F1"):
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


def _mistakes(confusion: list[list[int]] | None, labels: list[str]) -> list[tuple[str, str, int]]:
    """The commonest ones as (right label, answer, how often)."""
    pairs = [
        (labels[gold], labels[predicted], count)
        for gold, row in enumerate(confusion or [])
        for predicted, count in enumerate(row)
        if count and gold != predicted
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:_MISTAKES_SHOWN]


def _print_forgotten(forgotten: Mapping[str, Any]) -> None:
    results().print(f"On the {forgotten['rows']:,} dev texts of the model that this one went on from:")
    print_metrics({"before": forgotten["before"], "after": forgotten["after"]})
