"""``wenmo annotate``."""

from typing import Annotated

import typer

from wenmo.cli import options
from wenmo.cli.output import print_json, print_message, print_note, results


def annotate(
    texts: Annotated[str, typer.Argument(metavar="FILE", help="The texts; - is standard input.")] = "-",
    *,
    lexicon: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="A list of entities; may be given several times.")
    ] = None,
    phrases: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="A list of phrases; may be given several times.")
    ] = None,
    tagger: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The folder of a tagger that finds entities, or words.")
    ] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Write .jsonl or .tsv instead of printing.")] = None,
    text_column: options.TextColumn = None,
    encoding: options.Encoding = None,
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="Print a JSON line for each text, and nothing else.")
    ] = False,
    debug: options.Debug = False,
) -> None:
    """Show the words, phrases and entities of texts.

    These are what ERNIE's knowledge masking hides as a whole. A terminal shows the texts in colours; a pipe gets a
    tab-separated line for each span.
    """
    from wenmo.inference.annotating import annotate_file, make_annotator

    annotator = make_annotator(lexica=lexicon or (), phrases=phrases or (), tagger=tagger, tell=print_note)
    if out is None and results().is_terminal and not as_json:
        from wenmo.cli.spans import print_annotated

        print_annotated(texts, annotator, text_column=text_column, encoding=encoding)
        return
    file_format = "jsonl" if out is None and as_json else ""
    written = annotate_file(
        texts, out or "-", annotator, file_format=file_format, text_column=text_column, encoding=encoding
    )
    if out is not None:
        print_json(written) if as_json else print_message(f"{written['spans']:,} spans in {out}")
