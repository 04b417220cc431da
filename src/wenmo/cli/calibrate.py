"""``wenmo calibrate``: a finished model gets true probabilities, thresholds, and promises."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

import wenmo
from wenmo.cli import options
from wenmo.cli.output import plain_table, print_json, print_notes, results


def calibrate(
    model: options.ModelFolder,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled texts that the model has not seen.")],
    *,
    out: options.OutFolder,
    promise_share: Annotated[
        float, typer.Option(metavar="SHARE", help="Of the texts, kept for the promises of --abstain; 0: none.")
    ] = 0.5,
    overrides: options.Overrides = None,
    text_column: options.TextColumn = None,
    text_b_column: options.TextBColumn = None,
    label_column: options.LabelColumn = None,
    label_separator: options.LabelSeparator = None,
    encoding: options.Encoding = None,
    device: options.Device = "",
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Make a model whose probabilities mean what they say, with labelled texts that it has not seen.

    A share of the texts finds a temperature (and thresholds, with -o task.threshold_for=macro_f1); the rest is kept for
    promises: `wenmo predict --abstain 0.02`.
    """
    result = wenmo.calibrate(
        model,
        data,
        out=out,
        promise_share=promise_share,
        overrides=overrides or (),
        text_column=text_column,
        text_b_column=text_b_column,
        label_column=label_column,
        label_separator=label_separator,
        encoding=encoding,
        device=device,
    )
    if as_json:
        print_json(result)
    else:
        _print(result)


def _print(result: Mapping[str, Any]) -> None:
    from wenmo.cli.summaries import calibration_sentence, print_facts

    print_notes(result["notes"])
    if result["calibration"]:
        results().print(calibration_sentence(result["calibration"]), soft_wrap=True)
    if result["kept"]:
        results().print()
        _print_promises(result["promises"], result["kept"])
    results().print()
    best = f" --abstain {result['promises'][0]['risk']:g}" if result["promises"] else ""
    print_facts({"model": result["model"], "use it": f"wenmo predict {result['model']} FILE{best}"})


def _print_promises(promises: Sequence[Mapping[str, Any]], kept: int) -> None:
    if not promises:
        results().print(f"The {kept:,} texts kept are too few for a promise, or the model is too often wrong on them.")
        return
    table = plain_table()
    for heading in ("--abstain", "answers from", "coverage, %", "wrong", "answered"):
        table.add_column(heading, justify="right")
    for each in promises:
        table.add_row(
            f"{each['risk']:g}",
            f"{each['threshold']:.4f}",
            f"{100 * each['coverage']:.1f}",
            f"{each['wrong']:,}",
            f"{each['answered']:,}",
        )
    results().print(table)
    results().print(f"Each with 95 % confidence for itself, by {kept:,} texts that no choice has seen.", style="dim")
