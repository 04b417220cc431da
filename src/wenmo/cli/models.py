"""``wenmo models``."""

from typing import Annotated

import typer

from wenmo.cli import options
from wenmo.cli.output import print_json
from wenmo.errors import InputError


def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One model, with all its settings.")] = None,
    *,
    trace: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Show what each step of the model makes of this text.")
    ] = None,
    overrides: options.Overrides = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """List the models, explain one, or show what it does to a text."""
    from wenmo.cli import model_pages as pages
    from wenmo.models.registry import list_models

    if name is None and (trace is not None or overrides):
        raise InputError("--trace and -o need the name of a model, for example: wenmo models textcnn --trace 'not bad'")
    if name is None:
        listed = list_models()
        print_json(listed) if as_json else pages.print_models(listed)
    elif trace is None:
        described = pages.describe(name, overrides or ())
        print_json(described) if as_json else pages.print_description(described)
    else:
        traced = pages.trace_text(name, trace, overrides or ())
        print_json(traced) if as_json else pages.print_trace(traced)
