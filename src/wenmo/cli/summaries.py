"""What a run came to, for people: metrics side by side, then the facts."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.text import Text

from wenmo.cli.output import plain_table, print_notes, results
from wenmo.reports import quantities

if TYPE_CHECKING:
    from pathlib import Path

    from wenmo.tasks.metrics import Interval
    from wenmo.training.run import Metrics, TrainingResult


def print_training(result: "TrainingResult") -> None:
    """Metrics on dev and test beside each other, what was forgotten, and where the model stands."""
    print_notes(result.notes)
    measured = {name: metrics for name, metrics in (("dev", result.dev), ("test", result.test)) if metrics}
    if measured:
        print_metrics(measured)
    if result.forgotten:
        _print_forgotten(result.forgotten)
    if result.calibration:
        results().print()
        results().print(calibration_sentence(result.calibration), soft_wrap=True)
    results().print()
    steps = f"{result.steps:,} steps in " if result.steps else ""
    print_facts(
        {
            "trained": f"{steps}{quantities.seconds(result.seconds)}, {quantities.count(result.parameters)} parameters",
            **({"layers": mixture_sentence(result.mixture)} if result.mixture else {}),
            "model": str(result.model),
            "use it": how_to_use(result.task, result.model),
        }
    )


def how_to_use(task: str, model: "Path") -> str:
    """The command that a trained model is there for."""
    if task == "pretrain":
        return f"wenmo train DATA --model {model} --out RUN"
    return f'wenmo generate {model} "..."' if task == "generate" else f"wenmo predict {model} FILE"


def mixture_sentence(mixture: Mapping[str, Any]) -> str:
    """What the layers below a model weigh."""
    weights = ", ".join(f"{i}: {quantities.percent(each, 1)} %" for i, each in enumerate(mixture["weights"]))
    return f"{weights}; their mixture times {mixture['gamma']:.3f}"


def calibration_sentence(found: Mapping[str, Any]) -> str:
    """How the logits were rescaled, and what that did to the calibration error."""
    how = {
        "temperature": f"divided by a temperature of {found['temperature'] or 1:.3f}",
        "shift": f"divided by a temperature of {found['temperature'] or 1:.3f} and shifted for each label",
        "vector": "scaled and shifted for each label",
    }[found["method"]]
    before, after = (quantities.percent(found[name], 2) for name in ("ece_before", "ece_after"))
    rows = f"{found['rows']:,}"
    return f"calibrated on {rows} texts: logits {how}; calibration error there {before} % before, {after} % after"


def print_metrics(measured: "Mapping[str, Metrics]") -> None:
    """A line for each metric, a column for each part of the data; every figure with its 95 % interval.

    Where not all metrics are shares, each figure has its unit beside it.
    """
    names = [name for name in next(iter(measured.values())) if not _repeats_accuracy(name, measured)]
    metrics = {name: quantities.metric_named(name) for name in names}
    shares = all_shares(metrics.values())
    table = plain_table()
    table.add_column("in %" if shares else "")
    for part in measured:
        table.add_column(f"{part} (95 % interval)")
    for name, metric in metrics.items():
        table.add_row(metric.name, *(_figure(metric, found[name], shares) for found in measured.values()))
    results().print(table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Names and values below each other; a value is never broken, so that it can be copied."""
    width = max(map(len, facts))
    for name, value in facts.items():
        results().print(Text.assemble((f"{name:<{width}}  ", "dim"), value), soft_wrap=True)


def all_shares(metrics: Iterable[quantities.Metric]) -> bool:
    """Whether one heading tells the unit of them all."""
    return all(metric.scale == "share" for metric in metrics)


def _figure(metric: quantities.Metric, found: "Interval", unit_above: bool) -> Text:
    figure = metric.figure(found["value"])
    unit = "" if unit_above else metric.with_unit(found["value"]).removeprefix(figure)
    return Text.assemble((figure, "bold"), unit, (f"  ({metric.interval(found['low'], found['high'])})", "dim"))


def _repeats_accuracy(name: str, measured: "Mapping[str, Metrics]") -> bool:
    """With one label a text, micro F1 is the accuracy under another name."""
    return name == "micro_f1" and all(metrics.get("accuracy") == metrics[name] for metrics in measured.values())


def _print_forgotten(forgotten: Mapping[str, Any]) -> None:
    results().print(f"On the {forgotten['rows']:,} dev texts of the model that this one went on from:")
    print_metrics({"before": forgotten["before"], "after": forgotten["after"]})
