"""A comparison in the terminal: each model as it is done, then the table, the sentences and where things stand."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from rich import box
from rich.table import Table
from rich.text import Text

from wenmo.cli.output import messages, print_message, print_note, results, visible
from wenmo.cli.progress import training_progress
from wenmo.cli.summaries import how_to_use, print_facts
from wenmo.reports import quantities
from wenmo.training.progress import Observer

_WIDE_COLUMNS = 110


class Spectator:
    """Tells on standard error how a comparison goes, inside a ``with`` block."""

    def __init__(self) -> None:
        self._running = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def planned(self, plan: Sequence[Mapping[str, Any]]) -> None:
        """What each network will take, before it starts."""
        for each in plan:
            epochs = f"{each['epochs']:.3g} epochs"
            print_message(f"plan: {each['model']}, at most {epochs}, about {quantities.seconds(each['seconds'])}")
        if len(plan) > 1:
            total = sum(each["seconds"] for each in plan)
            print_message(f"plan: about {quantities.seconds(total)} of training in all")

    def row(self, row: Mapping[str, Any]) -> None:
        """A model is done."""
        self._running.close()
        if row["failed"]:
            line = Text.assemble(("✗ ", "red"), (row["model"], "bold"), f"  failed: {visible(row['failed'])}")
        else:
            metric = quantities.metric_named(row["metric"])
            line = Text.assemble(
                ("✓ ", "green"),
                (f"{row['model']:<10}", "bold"),
                f"  {metric.name} {metric.in_text(row['value'])}",
                (f" ({metric.interval(row['low'], row['high'])})", "dim"),
                f"  trained in {quantities.seconds(row['train_seconds'])}",
            )
        messages().print(line, soft_wrap=True)

    def message(self, text: str) -> None:
        """Something a person should know."""
        print_note(text)

    def training(self, model: str, seed: int) -> Observer | None:
        """Who watches the training of one model."""
        self._running.close()
        return self._running.enter_context(training_progress(f"{model}, seed {seed}" if seed else model))


def print_comparison(result: Mapping[str, Any], *, winner: Path, report: Path) -> None:
    """The table, what it means in sentences, and where winner and report are."""
    out = results()
    out.print()
    out.print(comparison_table(result, width=out.width))
    out.print()
    for row in result["rows"]:
        if row["failed"]:
            out.print(f"{row['model']} failed: {visible(row['failed'])}")
    for sentence in result["sentences"]:
        out.print(visible(sentence))
    out.print()
    use = how_to_use(result["data"].get("task", ""), winner)
    print_facts({"winner": str(winner), "use it": use, "report": str(report)})


def comparison_table(result: Mapping[str, Any], *, width: int) -> Table:
    """All models, best first.

    From ``_WIDE_COLUMNS`` on there is room for words; below, marks and numbers without spaces fit into 80 columns.
    """
    wide = width >= _WIDE_COLUMNS
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0) if wide else (0, 0),
        header_style="dim",
        caption=_legend(result, wide),
        caption_justify="left",
        caption_style="dim",
    )
    metric = quantities.chosen_by(result["settings"])
    over = "folds" if result["settings"]["folds"] else "seeds"
    headings = {
        "marks": "" if wide else "\n",
        "model": "\nmodel",
        "value": f"{metric.name}{', %' * (metric.scale == 'share')}\n95 % interval",  # a unit in words is in the legend
        "spread": f"±\n{over}" if wide else "±\n",
        "p": "p against\nthe best" if wide else "p to\nbest",
        "parameters": "para-\nmeters",
        "bytes": "\nsize",
        "seconds": "trained\nin" if wide else "train\nin",
        "latency": "one text, ms\np50 / p95" if wide else "ms/text\np50/p95",
        "rate": "texts\nper s" if wide else "texts\n/s",
    }
    order = [*[*headings][1:], "marks"] if wide else [*headings]
    if all(quantities.number(row["spread"]) is None for row in result["rows"]):
        order.remove("spread")
    for name in order:
        left = name in ("marks", "model", "value")
        table.add_column(
            headings[name], no_wrap=True, justify="left" if left else "right", max_width=12 if name == "model" else None
        )
    for row in result["rows"]:
        cells = _cells(row, result, wide)
        cells["marks"] = _marks(row, result, wide)
        table.add_row(*(cells.get(name, Text()) for name in order))
    return table


def _cells(row: Mapping[str, Any], result: Mapping[str, Any], wide: bool) -> dict[str, Text]:
    if row["failed"]:
        return {"model": Text(row["model"]), "value": Text("failed", "red")}
    won = row["model"] == result["winners"]["accurate"]
    metric = quantities.chosen_by(result["settings"])
    interval = f" {metric.interval(row['low'], row['high'])}"
    plain = {
        "spread": metric.figure(row["spread"]),
        "p": "best" if won else quantities.p_value(row["paired_p"]),
        "parameters": quantities.large(row["parameters"]),
        "bytes": quantities.large(row["bytes"], "B"),
        "seconds": quantities.seconds(row["train_seconds"]),
        "latency": " / ".join(quantities.milliseconds(row[f"latency_ms_{name}"]) for name in ("p50", "p95")),
        "rate": quantities.rate(row["texts_per_second"]) if wide else quantities.large(row["texts_per_second"]),
    }
    return {
        "model": Text(row["model"], "bold" if won else ""),
        "value": Text.assemble((metric.figure(row["value"]), "bold"), (interval, "dim")),
        **{name: Text(text if wide else _tight(text)) for name, text in plain.items()},
    }


def _tight(text: str) -> str:
    """25.4 MB is 25.4MB, 4 min 12 s is 4m12s."""
    return text.replace("\u00a0", "").replace(" ", "").replace("min", "m")


def _marks(row: Mapping[str, Any], result: Mapping[str, Any], wide: bool) -> Text:
    won = row["model"] == result["winners"]["accurate"]
    marks = [
        ("★", "winner", "bold yellow", won),
        ("=", "tied", "yellow", row["tied_with_best"] and not won),
        ("●", "pareto", "green", row["pareto"]),
        ("L", "linear", "dim", row["is_linear"]),
        ("+", "too large", "red", row.get("too_large", False)),
    ]
    shown = [(word if wide else sign, style) for sign, word, style, is_so in marks if is_so]
    return Text(" " if wide else "").join(Text(*each) for each in shown)


def _legend(result: Mapping[str, Any], wide: bool) -> str:
    """What the marks that occur mean."""
    rows = [row for row in result["rows"] if not row["failed"]]
    metric = quantities.chosen_by(result["settings"])
    which_way = "lower is better" if metric.lower_is_better else ""
    meanings = [
        (metric.name, ", ".join(filter(None, (metric.unit, which_way))), bool(metric.unit or which_way)),
        ("winner" if wide else "★ winner", "chosen on dev", True),
        (
            "tied" if wide else "=",
            "cannot be told from the winner (p ≥ 0.05)",
            sum(r["tied_with_best"] for r in rows) > 1,
        ),
        ("pareto" if wide else "●", "no model is both better and faster", any(row["pareto"] for row in rows)),
        ("linear" if wide else "L", "a baseline over n-grams", any(row["is_linear"] for row in rows)),
        ("too large" if wide else "+", "over --max-size", any(row.get("too_large") for row in rows)),
        ("±", "spread", any(quantities.number(row["spread"]) is not None for row in rows)),
    ]
    return "; ".join(f"{mark}: {meaning}" for mark, meaning, occurs in meanings if occurs) + "."
