"""``wenmo import`` and ``wenmo export``: models from other tools, and for them."""

from typing import Annotated, Literal

import typer

import wenmo
from wenmo.cli import options
from wenmo.cli.failures import JOB_FAILED
from wenmo.cli.output import print_error, print_json, print_note, print_notes


def import_(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A folder of transformers or sentence-transformers, or its name on the hub; OpenAI's folder of GPT; "
            "or an ELMo's options.json.",
        ),
    ],
    *,
    out: options.OutFolder,
    verify: Annotated[
        bool,
        typer.Option("--verify", metavar="", help="Compare every layer with transformers, which has to be installed."),
    ] = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Take a checkpoint over: BERT, RoBERTa, DistilBERT, ELECTRA, ERNIE, GPT, GPT-2, ELMo.

    Nothing in it is run. The new folder opens in wenmo and, but for ELMo, in transformers; what was not taken over is
    named. --verify compares ELMo with the original's arithmetic over its own file.
    """
    result = wenmo.import_checkpoint(checkpoint, out=out, verify=verify)
    others, their = (
        ("the original", "the original's") if result["family"] == "elmo" else ("transformers", "transformers'")
    )
    if as_json:
        print_json(result)
    else:
        from wenmo.cli.summaries import print_facts

        for each in result["left_out"]:
            print_note(f"left out: {each}")
        said = {None: "not asked for (--verify)", True: f"every layer equals {their}", False: "differs"}
        print_facts(
            {
                "model": result["model"],
                "family": result["family"],
                "weights": f"{result['weights']:,}",
                "verified": said[result["verified"]],
                "use it": f"wenmo train DATA --model {result['model']} --out DIR",
            }
        )
    if result["first_difference"]:
        print_error(f"{checkpoint}: not what {others} makes of it, first at {result['first_difference']}")
        raise typer.Exit(JOB_FAILED)


def export(
    model: options.ModelFolder,
    *,
    out: options.OutFolder,
    file_format: Annotated[
        Literal["huggingface"], typer.Option("--format", metavar="huggingface", help="For which tools.")
    ],
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write a trained model for other tools: `AutoModelForSequenceClassification.from_pretrained(DIR)` opens it."""
    result = wenmo.export_model(model, out=out)
    if as_json:
        print_json(result)
        return
    from wenmo.cli.summaries import print_facts

    print_notes(result["notes"])
    opened = f"transformers.{result['architecture']}.from_pretrained({result['model']!r})"
    print_facts({"model": result["model"], "weights": f"{result['weights']:,}", "use it": opened})
