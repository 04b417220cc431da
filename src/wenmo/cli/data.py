"""``wenmo check``."""

from typing import Annotated

import typer

import wenmo
from wenmo.cli import options
from wenmo.cli.output import print_json


def check(
    data: Annotated[
        list[str] | None,
        typer.Argument(metavar="DATA...", help="Files, or a folder with train.tsv, dev.tsv and test.tsv."),
    ] = None,
    *,
    train: Annotated[str | None, typer.Option(metavar="FILE", help="The texts to learn from.")] = None,
    dev: Annotated[str | None, typer.Option(metavar="FILE", help="The texts to choose by.")] = None,
    test: Annotated[str | None, typer.Option(metavar="FILE", help="The texts to score at the end.")] = None,
    text_column: options.TextColumn = None,
    text_b_column: options.TextBColumn = None,
    label_column: options.LabelColumn = None,
    label_separator: options.LabelSeparator = None,
    group_column: options.GroupColumn = None,
    encoding: options.Encoding = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Say what is odd about labelled texts, before a model learns them."""
    from wenmo.cli.findings import print_report

    report = wenmo.check(
        *(data or ()),
        train=train,
        dev=dev,
        test=test,
        text_column=text_column,
        text_b_column=text_b_column,
        label_column=label_column,
        label_separator=label_separator,
        group_column=group_column,
        encoding=encoding,
    )
    if as_json:
        print_json(report.to_dict())
    else:
        print_report(report)
