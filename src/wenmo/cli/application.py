"""The command itself: its verbs, and what every one of them can rely on."""

import io
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from wenmo import __version__
from wenmo.cli.annotate import annotate
from wenmo.cli.calibrate import calibrate
from wenmo.cli.compare import compare
from wenmo.cli.data import check
from wenmo.cli.failures import INTERRUPTED, guarded
from wenmo.cli.generate import generate
from wenmo.cli.interchange import export, import_
from wenmo.cli.models import models
from wenmo.cli.output import messages, print_note, results
from wenmo.cli.predict import embed, evaluate, predict
from wenmo.cli.pretrain import pretrain
from wenmo.cli.train import train

app = typer.Typer(
    name="wenmo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
# In the order in which a person meets them.
for each in (
    check, compare, train, calibrate, evaluate, predict, embed, generate, annotate, pretrain, import_, export, models,
):  # fmt: skip
    app.command(each.__name__.rstrip("_"))(guarded(each))


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"wenmo {__version__}\n")
        raise typer.Exit


@app.callback(epilog="`wenmo VERB --help` tells more. Results go to standard output, all else to standard error.")
def wenmo(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From labelled texts, Chinese or English, to a model that is compared, chosen and used."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: what stands behind ``wenmo`` on the command line; None: that of this process.
    """
    _speak_utf8()
    messages.cache_clear()
    results.cache_clear()
    try:
        with _library_messages():
            app(args=list(sys.argv[1:] if argv is None else argv), prog_name="wenmo")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _speak_utf8() -> None:
    """A Windows console or a C locale would refuse Chinese; what even UTF-8 cannot hold is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


class _AsNotes(logging.Handler):
    """Shows what the library has to say."""

    def emit(self, record: logging.LogRecord) -> None:
        print_note(record.getMessage())


@contextmanager
def _library_messages() -> Iterator[None]:
    logger, handler = logging.getLogger("wenmo"), _AsNotes(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
