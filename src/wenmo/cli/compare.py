"""``wenmo compare``."""

from typing import Annotated

import typer

import wenmo
from wenmo.cli import options
from wenmo.cli.output import print_json

_HOW = "How much"


def compare(
    data: Annotated[str, typer.Argument(metavar="TRAIN", help="The labelled texts.")],
    *,
    models: Annotated[
        str,
        typer.Option(
            metavar="A,B,C", help="Names from `wenmo models`, or NAME:CHECKPOINT; linear baselines always join."
        ),
    ] = "textcnn,bag",
    out: options.OutFolder,
    dev: options.Dev = None,
    test: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Texts to score once, at the end; else a share of TRAIN.", rich_help_panel=options.DATA
        ),
    ] = None,
    task: options.Task = None,
    text_column: options.TextColumn = None,
    text_b_column: options.TextBColumn = None,
    label_column: options.LabelColumn = None,
    label_separator: options.LabelSeparator = None,
    hierarchy_separator: options.HierarchySeparator = None,
    group_column: options.GroupColumn = None,
    time_column: options.TimeColumn = None,
    encoding: options.Encoding = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", help="Trainings of each network, to see how they scatter.", rich_help_panel=_HOW)
    ] = 1,
    folds: Annotated[
        int | None, typer.Option(metavar="K", help="Cross-validation instead of one dev part.", rich_help_panel=_HOW)
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Such as 10m or 1h; epochs and sizes follow.", rich_help_panel=_HOW),
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Such as 20MB; larger models cannot win.", rich_help_panel=_HOW)
    ] = None,
    recipe: options.RecipeFile = None,
    overrides: options.Overrides = None,
    vectors: options.Vectors = None,
    seed: options.Seed = None,
    resume: options.Resume = False,
    device: options.Device = "",
    no_texts: Annotated[
        bool, typer.Option("--no-texts", metavar="", help="Keep every text out of the report.")
    ] = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Train several models on labelled texts, and choose one."""
    from wenmo.cli.comparison import Spectator, print_comparison

    with Spectator() as spectator:
        result = wenmo.compare(
            data,
            out=out,
            models=[name.strip() for name in models.split(",") if name.strip()],
            dev=dev,
            test=test,
            task=task,
            text_column=text_column,
            text_b_column=text_b_column,
            label_column=label_column,
            label_separator=label_separator,
            hierarchy_separator=hierarchy_separator,
            group_column=group_column,
            time_column=time_column,
            encoding=encoding,
            seeds=seeds,
            folds=folds,
            budget=budget,
            max_size=max_size,
            recipe=recipe,
            overrides=overrides or (),
            vectors=vectors,
            seed=seed,
            resume=resume,
            device=device,
            no_texts=no_texts,
            watcher=spectator,
        )
    if as_json:
        print_json(result.to_dict())
    else:
        print_comparison(result.to_dict(), winner=result.winner, report=result.report)
