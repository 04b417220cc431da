"""A comparison in the terminal: each model as it is done, then the table, the sentences and where things stand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from wenmo.cli.output import messages, print_message, print_note, results, visible
from wenmo.cli.progress import training_progress
from wenmo.cli.summaries import print_facts
from wenmo.reports import quantities
from wenmo.training.progress import Observer

_WIDE_COLUMNS = 110
_MARKS = {"winner": "★", "tied": "=", "pareto": "●", "linear": "L"}


class Spectator:
    """Tells on standard error how a comparison goes."""

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
        if row["failed"]:
            line = Text.assemble(("✗ ", "red"), (row["model"], "bold"), f"  failed: {visible(row['failed'])}")
        else:
            line = Text.assemble(
                ("✓ ", "green"),
                (f"{row['model']:<10}", "bold"),
                f"  {quantities.metric_name(row['metric'])} {quantities.percent(row['value'])} %",
                (f" ({quantities.interval(row['low'], row['high'])})", "dim"),
                f"  trained in {quantities.seconds(row['train_seconds'])}",
            )
        messages().print(line, soft_wrap=True)

    def message(self, text: str) -> None:
        """Something a person should know."""
        print_note(text)

    def training(self, model: str, seed: int) -> Observer | None:
        """Who watches the training of one model."""
        return training_progress(f"{model} (seed {seed})" if seed else model)


def print_comparison(result: Mapping[str, Any], *, winner: Path, report: Path) -> None:
    """The table, what it means in sentences, and where winner and report are."""
    out = results()
    out.print(comparison_table(result, width=out.width))
    for sentence in result["sentences"]:
        out.print(visible(sentence))
    out.print()
    print_facts({"winner": str(winner), "use it": f"wenmo predict {winner} FILE", "report": str(report)})


def comparison_table(result: Mapping[str, Any], *, width: int) -> Table:
    """All models, best first; made for the width of the terminal: from 80 columns on nothing is left out."""
    wide = width >= _WIDE_COLUMNS
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 2, 0, 0) if wide else (0, 1, 0, 0),
        header_style="dim",
        collapse_padding=True,
        caption=_legend(result),
        caption_justify="left",
        caption_style="dim",
    )
    with_spread = any(quantities.number(row["spread"]) is not None for row in result["rows"])
    table.add_column("", no_wrap=True)
    table.add_column("\nmodel", no_wrap=True, overflow="ellipsis", max_width=24 if wide else 12)
    table.add_column(f"{quantities.metric_name(result['settings']['metric'])}\n%", justify="right", no_wrap=True)
    table.add_column("95 %\ninterval", no_wrap=True)
    if with_spread:
        table.add_column("±\nseeds" if not result["settings"]["folds"] else "±\nfolds", justify="right", no_wrap=True)
    table.add_column("p vs\nbest", justify="right", no_wrap=True)
    table.add_column("para-\nmeters", justify="right", no_wrap=True)
    table.add_column("\nsize", justify="right", no_wrap=True)
    table.add_column("\ntraining", justify="right", no_wrap=True)
    table.add_column("one text, ms\np50 / p95" if wide else "ms\np50/p95", justify="right", no_wrap=True)
    table.add_column("texts\nper s", justify="right", no_wrap=True)
    for row in result["rows"]:
        cells = _failed_cells(row) if row["failed"] else _cells(row, result, with_spread, wide)
        table.add_row(*cells, style="dim" if row["failed"] else "")
    return table


def _cells(row: Mapping[str, Any], result: Mapping[str, Any], with_spread: bool, wide: bool) -> list[Text]:
    is_best = row["model"] == result["winners"]["accurate"]
    p = "best" if is_best else quantities.p_value(row["paired_p"])
    between = " / " if wide else "/"
    latency = between.join(quantities.milliseconds(row[f"latency_ms_{name}"]) for name in ("p50", "p95"))
    cells = [
        _marks(row, result),
        Text(row["model"], "bold" if is_best else ""),
        Text(quantities.percent(row["value"]), "bold"),
        Text(quantities.interval(row["low"], row["high"])),
        *([Text(quantities.percent(row["spread"]))] if with_spread else []),
        Text(p, "" if p == "best" or not row["tied_with_best"] else "yellow"),
        Text(quantities.large(row["parameters"])),
        Text(quantities.large(row["bytes"], "B")),
        Text(quantities.seconds(row["train_seconds"])),
        Text(latency),
        Text(quantities.rate(row["texts_per_second"])),
    ]
    return cells


def _failed_cells(row: Mapping[str, Any]) -> list[Text]:
    return [Text("✗", "red"), Text(row["model"]), Text("failed", "red")]


def _marks(row: Mapping[str, Any], result: Mapping[str, Any]) -> Text:
    """Winner or tied, then whether it stands on the front of accuracy and speed, then whether it is linear."""
    won = row["model"] == result["winners"]["accurate"]
    return Text.assemble(
        (_MARKS["winner"], "bold yellow") if won else (_MARKS["tied"], "yellow") if row["tied_with_best"] else " ",
        (_MARKS["pareto"], "green") if row["pareto"] else " ",
        (_MARKS["linear"], "dim") if row["is_linear"] else " ",
    )


def _legend(result: Mapping[str, Any]) -> str:
    rows = [row for row in result["rows"] if not row["failed"]]
    said = ["★ winner on dev"]
    if any(row["tied_with_best"] and row["model"] != result["winners"]["accurate"] for row in rows):
        said.append("= tied with it (p ≥ 0.05)")
    said.append("● none is both better and faster")
    if any(row["is_linear"] for row in rows):
        said.append("L linear")
    return "   ".join(said)
