"""``wenmo generate``."""

import sys
from typing import Annotated

import typer

import wenmo
from wenmo.cli import options
from wenmo.cli.output import print_json
from wenmo.errors import InputError


def generate(
    model: options.ModelFolder,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What stands there already.")] = "",
    *,
    max_new_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Stop here at the latest; else 200 characters or 50 subwords.")
    ] = None,
    temperature: Annotated[
        float, typer.Option(metavar="T", help="Above 1 is bolder, below 1 more careful, 0 takes the likeliest.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option(metavar="K", help="Only the K likeliest tokens may come; 0: all.")] = 0,
    top_p: Annotated[
        float, typer.Option(metavar="P", help="Only the likeliest tokens that add up to probability P may come.")
    ] = 1.0,
    repetition_penalty: Annotated[
        float, typer.Option(metavar="X", help="Above 1, tokens that stand there already are less likely.")
    ] = 1.0,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Stop in front of this text; may be given several times.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Of which label the text shall be, if the model knows labels.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed writes the same text.")] = 0,
    device: options.Device = "",
    precision: options.Precision = None,
    runtime: options.Runtime = "auto",
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write on behind a prompt with a language model.

    The prompt and what follows appear as they are written.
    """
    from wenmo.inference.generating import Generated, TextGenerator
    from wenmo.inference.loading import refuse_headless

    loaded = wenmo.load(model, device=device, precision=precision or "float32", runtime=runtime)
    if not isinstance(loaded, TextGenerator):
        refuse_headless(loaded)
        task = loaded.folder.task.config.task
        raise InputError(f"{model}: this model was trained to {task}; train one with --task generate")
    pieces = loaded.pieces(
        prompt,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        stop=tuple(stop or ()),
        label=label,
        seed=seed,
    )
    if as_json:
        written = Generated("", 0, 0.0)
        for _, so_far in pieces:
            written = so_far
        print_json(written.to_dict())
        return
    sys.stdout.write(prompt)
    for piece, _ in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
