"""What a check found, for people: the sizes, the labels, then each finding with its examples."""

import re
from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from wenmo.cli.output import plain_table, results, visible
from wenmo.data.check import CheckReport, Finding, PartSummary
from wenmo.reports import quantities

_LABELS_SHOWN = 15
_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "dim"}


def print_report(report: CheckReport) -> None:
    """Sizes and lengths, the balance of the labels, the findings with the gravest first."""
    out = results()
    _print_sizes(report.parts)
    _print_labels(report.parts)
    for finding in report.findings:
        _print_finding(finding)
    if not report.findings:
        out.print("Nothing odd was found.")
        return
    counts = {kind: sum(each.severity == kind for each in report.findings) for kind in _STYLES}
    out.print(", ".join(f"{n} {kind}{'s' * (n != 1)}" for kind, n in counts.items() if n), style="dim")


def _print_sizes(parts: Mapping[str, PartSummary]) -> None:
    table = plain_table()
    table.add_column("\npart", no_wrap=True, style="bold")
    for heading in (
        "\nrows",
        "left\nout",
        "\nlabels",
        "tokens\np50",
        "\np95",
        "\nmax",
        "characters\np50",
        "\np95",
        "\nmax",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, part in parts.items():
        lengths = [
            quantities.count(getattr(each, which)) if each else quantities.MISSING
            for each in (part.tokens, part.characters)
            for which in ("p50", "p95", "max")
        ]
        counts = map(quantities.count, (part.rows, part.dropped, len(part.labels)))
        table.add_row(visible(name), *counts, *lengths)
    results().print(table)
    results().print()


def _print_labels(parts: Mapping[str, PartSummary]) -> None:
    """The labels of the first part, the commonest first, with their shares in every part."""
    labels = list(dict.fromkeys(label for part in parts.values() for label in part.labels))
    if not labels:
        return
    table = plain_table()
    table.add_column("label", no_wrap=True, overflow="ellipsis", max_width=30)
    for name in parts:
        table.add_column(visible(name), justify="right", no_wrap=True)
    for label in labels[:_LABELS_SHOWN]:
        table.add_row(visible(label), *(_with_share(label, part) for part in parts.values()))
    if len(labels) > _LABELS_SHOWN:
        table.add_row(f"and {len(labels) - _LABELS_SHOWN:,} more", style="dim")
    results().print(table)
    results().print()


def _with_share(label: str, part: PartSummary) -> Text:
    rows, total = part.labels.get(label, 0), sum(part.labels.values())
    if not rows:
        return Text(quantities.MISSING, "dim")
    return Text.assemble(quantities.count(rows), (f"  {quantities.percent(rows / total):>5} %", "dim"))


def _print_finding(finding: Finding) -> None:
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(width=max(map(len, _STYLES)))
    line.add_column()
    line.add_row(Text(finding.severity, _STYLES[finding.severity]), visible(finding.message))
    for example in finding.examples:
        line.add_row("", Text(_without_folders(visible(example)), "dim", no_wrap=True, overflow="ellipsis"))
    results().print(line)
    results().print()


def _without_folders(example: str) -> str:
    """``runs/data/train.tsv:17: text`` is ``train.tsv:17: text``: the message says which part it is."""
    return re.sub(r"\S*[/\\](?=[^/\\\s]+:\d+: )", "", example, count=1)
