"""``wenmo predict``, ``wenmo embed`` and ``wenmo evaluate``: a trained model in use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

import wenmo
from wenmo.cli import options
from wenmo.cli.output import print_json, print_message, results
from wenmo.errors import InputError


def predict(
    model: options.ModelFolder,
    texts: Annotated[str, typer.Argument(metavar="FILE", help="The texts; - is standard input.")] = "-",
    *,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write .tsv, .jsonl or .parquet instead of printing.")
    ] = None,
    abstain: options.Abstain = None,
    confidence: options.Confidence = None,
    num_beams: Annotated[
        int | None,
        typer.Option("--beams", metavar="N", help="Translation: hypotheses kept while searching; 1 is greedy."),
    ] = None,
    n_best: Annotated[
        int | None, typer.Option("--n-best", metavar="N", help="Translation: so many answers to each text.")
    ] = None,
    alignments: Annotated[
        str | None,
        typer.Option("--alignments", metavar="FILE.html", help="Translation: draw where the model looked (20 texts)."),
    ] = None,
    text_column: options.TextColumn = None,
    text_b_column: options.TextBColumn = None,
    encoding: options.Encoding = None,
    device: options.Device = "",
    precision: options.Precision = None,
    runtime: options.Runtime = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="Print a JSON line for each text, and nothing else.")
    ] = False,
    debug: options.Debug = False,
) -> None:
    """Say which label each text has, in the order of the texts.

    A terminal shows label, probability and text; a pipe gets tab-separated columns with all probabilities.
    """
    from wenmo.cli.answers import print_answers
    from wenmo.inference.predictor import Predictor
    from wenmo.inference.writers import predict_file

    held_with = _held_with(abstain, confidence)
    loaded = wenmo.load(model, device=device, precision=precision or "float32", runtime=runtime)
    if not isinstance(loaded, Predictor):
        if abstain is not None:
            raise InputError("--abstain is for classifiers; leave it out")
        file_format = "jsonl" if out is None and as_json else ""
        asked = _asked_of_translator(loaded, num_beams, n_best, alignments)
        pairs = _asked_of_pairs(loaded, text_b_column)
        if asked is not None and out is None and not as_json and results().is_terminal and n_best is None:
            file_format = "txt"
        if alignments is not None:
            from wenmo.reports.alignment import write_alignments_of_file

            drawn = write_alignments_of_file(loaded, texts, alignments, text_column=text_column, encoding=encoding)
            print_message(f"where it looked in {drawn} texts: {alignments}")
        written = loaded.predict_file(
            texts,
            out or "-",
            file_format=file_format,
            text_column=text_column,
            encoding=encoding,
            **(asked or {}),
            **pairs,
        )
        if out is not None:
            print_json(written) if as_json else print_message(f"{written['rows']:,} answers in {out}")
        return
    _asked_of_translator(loaded, num_beams, n_best, alignments)
    promise = loaded.promise(abstain, held_with) if abstain is not None else None
    if promise is not None:
        print_message(promise.sentence())
    if out is None and results().is_terminal and not as_json:
        columns = {"text_column": text_column, "text_b_column": text_b_column}
        print_answers(loaded, texts, **columns, encoding=encoding, promise=promise)
        return
    file_format = "jsonl" if out is None and as_json else ""
    written = predict_file(
        loaded,
        texts,
        out or "-",
        text_column=text_column,
        text_b_column=text_b_column,
        encoding=encoding,
        file_format=file_format,
        promise=promise,
    )
    if out is not None:
        print_json(written) if as_json else print_message(_written(written, out))


def _held_with(abstain: float | None, confidence: float | None) -> float:
    """With which confidence a promise is to hold; one that is asked for without a promise is a mistake."""
    from wenmo.tasks.abstention import CONFIDENCE

    if confidence is not None and abstain is None:
        raise InputError(
            "--confidence is that of --abstain; name the error that is promised, for example --abstain 0.02"
        )
    return CONFIDENCE if confidence is None else confidence


def _asked_of_translator(
    model: Any, num_beams: int | None, n_best: int | None, alignments: str | None
) -> dict[str, int] | None:
    """What is asked of the search for translations; None where the model does not translate."""
    if hasattr(model, "align"):
        given = {"num_beams": num_beams, "num_answers": n_best}
        return {name: value for name, value in given.items() if value is not None}
    for option, value in (("--beams", num_beams), ("--n-best", n_best), ("--alignments", alignments)):
        if value is not None:
            raise InputError(f"{option} is for models that translate; leave it out")
    return None


def _asked_of_pairs(model: Any, text_b_column: str | None) -> dict[str, str]:
    """Where the second texts stand, of a model that reads pairs."""
    if text_b_column is None:
        return {}
    if not hasattr(model, "similarities"):
        raise InputError(f"--text-b-column {text_b_column}: this model reads single texts; leave it out")
    return {"text_b_column": text_b_column}


def _written(written: Mapping[str, Any], out: str) -> str:
    abstained = f", {written['abstained']:,} of them without a label" if written["promise"] else ""
    return f"{written['rows']:,} answers in {out}{abstained}"


def embed(
    model: options.ModelFolder,
    texts: Annotated[str, typer.Argument(metavar="FILE", help="The texts; - is standard input.")],
    *,
    out: Annotated[str, typer.Option(metavar="FILE", help="The .parquet or .npy file to write.")],
    pooling: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="mean, max, cls, last, last4, mix or layer:K: of the vectors of the tokens; else as the folder says.",
        ),
    ] = None,
    normalize: Annotated[bool, typer.Option("--normalize", metavar="", help="Scale each vector to length 1.")] = False,
    text_column: options.TextColumn = None,
    text_b_column: options.TextBColumn = None,
    encoding: options.Encoding = None,
    device: options.Device = "",
    precision: options.Precision = None,
    runtime: options.Runtime = "auto",
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write a vector for each text."""
    from wenmo.inference.embedding import embed_file

    loaded = wenmo.load(model, device=device, precision=precision or "float32", runtime=runtime)
    written = embed_file(
        loaded,
        texts,
        out,
        pooling=pooling,
        normalize=normalize or None,
        text_column=text_column,
        text_b_column=text_b_column,
        encoding=encoding,
    )
    if as_json:
        print_json(written)
    else:
        print_message(f"{written['rows']:,} vectors of width {written['hidden_size']:,} in {written['file']}")


def evaluate(
    model: options.ModelFolder,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled texts.")],
    *,
    out: Annotated[str | None, typer.Option(metavar="FILE.html", help="Write a page with everything as well.")] = None,
    abstain: options.Abstain = None,
    confidence: options.Confidence = None,
    against: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Another model: is the difference more than chance?")
    ] = None,
    text_column: options.TextColumn = None,
    text_b_column: options.TextBColumn = None,
    label_column: options.LabelColumn = None,
    label_separator: options.LabelSeparator = None,
    target: options.Target = None,
    repair: options.Repair = False,
    encoding: options.Encoding = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="similarity", help="Compare the cosines of the model's vectors of pairs with the labels."),
    ] = None,
    pooling: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of these vectors, as for embed; else as the folder says.")
    ] = None,
    dev: Annotated[
        str | None, typer.Option(metavar="FILE", help="Other pairs, to choose the cosine of a yes by (labels 0 and 1).")
    ] = None,
    device: options.Device = "",
    precision: options.Precision = None,
    runtime: options.Runtime = "auto",
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Say how well a model answers labelled texts."""
    from wenmo.cli.evaluation import print_evaluation
    from wenmo.reports.evaluation import write_evaluation_report

    result = wenmo.evaluate(
        model,
        data,
        abstain=abstain,
        confidence=_held_with(abstain, confidence),
        against=against,
        text_column=text_column,
        text_b_column=text_b_column,
        label_column=label_column,
        label_separator=label_separator,
        target=target,
        repair=repair,
        encoding=encoding,
        task=task,
        pooling=pooling,
        dev=dev,
        device=device,
        precision=precision or "float32",
        runtime=runtime,
    )
    if out is not None:
        write_evaluation_report(result, Path(out), model=model, data=data)
        print_message(f"report in {out}")
    if as_json:
        print_json(result)
    else:
        print_evaluation(result)
