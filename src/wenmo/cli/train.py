"""``wenmo train``."""

from typing import Annotated

import typer

import wenmo
from wenmo.cli import options
from wenmo.cli.output import print_json


def train(
    data: Annotated[
        str | None, typer.Argument(metavar="TRAIN", help="The labelled texts; a recipe may name them instead.")
    ] = None,
    *,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:FOLDER]",
            help="A name from `wenmo models`, with or without the checkpoint to start from, a folder or a name on the "
            "hub; or a recipe names it.",
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="[NAME:]FOLDER", help="A checkpoint whose layers the model reads in the place of words, unchanged."
        ),
    ] = None,
    out: options.OutFolder,
    dev: options.Dev = None,
    test: options.Test = None,
    target: options.Target = None,
    dev_target: options.DevTarget = None,
    test_target: options.TestTarget = None,
    task: options.Task = None,
    text_column: options.TextColumn = None,
    text_b_column: options.TextBColumn = None,
    label_column: options.LabelColumn = None,
    label_separator: options.LabelSeparator = None,
    hierarchy_separator: options.HierarchySeparator = None,
    repair: options.Repair = False,
    group_column: options.GroupColumn = None,
    time_column: options.TimeColumn = None,
    encoding: options.Encoding = None,
    recipe: options.RecipeFile = None,
    overrides: options.Overrides = None,
    vectors: options.Vectors = None,
    seed: options.Seed = None,
    class_weights: options.ClassWeights = None,
    sampling: options.Sampling = None,
    loss: options.Loss = None,
    label_smoothing: options.LabelSmoothing = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="MODEL", help="Go on from a trained model, with new texts or new labels."),
    ] = None,
    resume: options.Resume = False,
    device: options.Device = "",
    precision: options.Precision = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Train one model on labelled texts and save its folder."""
    from wenmo.cli.progress import training_progress
    from wenmo.cli.summaries import print_training
    from wenmo.training.distribution import is_first_process

    with training_progress(model or "training") as progress:
        result = wenmo.train(
            data,
            model=model,
            features=features,
            out=out,
            dev=dev,
            test=test,
            target=target,
            dev_target=dev_target,
            test_target=test_target,
            task=task,
            text_column=text_column,
            text_b_column=text_b_column,
            label_column=label_column,
            label_separator=label_separator,
            hierarchy_separator=hierarchy_separator,
            repair=repair,
            group_column=group_column,
            time_column=time_column,
            encoding=encoding,
            recipe=recipe,
            overrides=overrides or (),
            vectors=vectors,
            seed=seed,
            class_weights=class_weights,
            sampling=sampling,
            loss=loss,
            label_smoothing=label_smoothing,
            start=start,
            resume=resume,
            device=device,
            precision=precision,
            observers=[progress],
        )
    if not is_first_process():
        return
    if as_json:
        print_json(result.to_dict())
    else:
        print_training(result)
