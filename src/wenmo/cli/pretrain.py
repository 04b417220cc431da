"""``wenmo pretrain``."""

from typing import Annotated

import typer

import wenmo
from wenmo.cli import options
from wenmo.cli.output import print_json


def pretrain(
    corpus: Annotated[
        list[str] | None,
        typer.Argument(metavar="CORPUS...", help="Files and folders of raw text; a recipe may name them instead."),
    ] = None,
    *,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="elmo, gpt, gpt2, bert, ernie, ernie2, rnn, lstm or gru; or a recipe says."),
    ] = None,
    size: Annotated[
        str, typer.Option(metavar="tiny|mini|small|base|large", help="How large it is; tiny if nothing is said.")
    ] = "",
    out: options.OutFolder,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="DIR", help="Go on from a checkpoint or a model, with its tokenizer."),
    ] = None,
    recipe: options.RecipeFile = None,
    overrides: options.Overrides = None,
    seed: options.Seed = None,
    resume: options.Resume = False,
    device: options.Device = "",
    precision: options.Precision = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Pre-train a model on raw text and save the folder that `wenmo train --model` goes on from."""
    from wenmo.cli.progress import training_progress
    from wenmo.cli.summaries import print_training
    from wenmo.training.distribution import is_first_process

    with training_progress(model or "pre-training") as progress:
        result = wenmo.pretrain(
            corpus or (),
            model=model,
            size=size,
            out=out,
            start=start,
            recipe=recipe,
            overrides=overrides or (),
            seed=seed,
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
