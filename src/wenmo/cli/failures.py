"""What goes wrong in a verb becomes one line on standard error and an exit code."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec

import typer

from wenmo.cli.output import print_error
from wenmo.errors import InputError, JobError

JOB_FAILED, WRONG_CALL, INTERRUPTED = 1, 2, 130

_Arguments = ParamSpec("_Arguments")


def guarded(verb: Callable[_Arguments, None]) -> Callable[_Arguments, None]:
    """A verb that ends with an exit code and not with an exception; it has to have the option ``debug``."""

    @wraps(verb)
    def run(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        with failures_as_exit_codes(debug=bool(kwargs["debug"])):
            verb(*args, **kwargs)
            sys.stdout.flush()  # here, where somebody can still be told of a full disk

    return run


@contextmanager
def failures_as_exit_codes(*, debug: bool) -> Iterator[None]:
    """Say in one line what went wrong and exit: 1 the job failed, 2 the call is wrong, 130 after Ctrl-C."""
    try:
        yield
    except BrokenPipeError:
        # The reader has enough, as in `| head`.
        _forget_standard_output()
        raise typer.Exit(0) from None
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, typer.Exit):
            raise
        if debug:
            traceback.print_exc()
        code, message = explain(error)
        print_error(message)
        if isinstance(error, OSError):
            _forget_standard_output()
        raise typer.Exit(code) from None


def explain(error: BaseException) -> tuple[int, str]:
    """The exit code that belongs to a failure, and what to say about it."""
    match error:
        case InputError():
            return WRONG_CALL, str(error)
        case JobError():
            return JOB_FAILED, str(error)
        case KeyboardInterrupt():
            return INTERRUPTED, str(error) or "stopped"
        case MemoryError():
            return JOB_FAILED, "the memory is full; use smaller batches (-o training.batch_size=16) or fewer texts"
        case OSError() if error.strerror:
            place = f"{error.filename}: " if error.filename else ""
            return JOB_FAILED, f"{place}{error.strerror}; nothing more was written there"
        case _:
            what = f"{type(error).__name__}: {error}"
            return JOB_FAILED, f"wenmo itself failed, {what}; with --debug it shows where, for a report to its makers"


def _forget_standard_output() -> None:
    """What could not be written goes nowhere; else Python tries again at the very end, and complains."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except OSError:  # standard output is no file, as in a notebook
        return
