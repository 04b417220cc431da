"""Answers in a terminal: the label, how sure the model is, and the text."""

import sys
from collections import deque
from collections.abc import Iterator

from rich.cells import cell_len
from rich.text import Text

from wenmo.cli.output import print_message, results, visible
from wenmo.data.encoding import STANDARD_INPUT
from wenmo.data.readers import stream_rows
from wenmo.inference.predictor import Prediction, Predictor, TextCounts
from wenmo.tasks.abstention import Promise

_WIDEST_LABEL = 24


def print_answers(
    model: Predictor,
    source: str,
    *,
    text_column: str | None,
    encoding: str | None = None,
    promise: Promise | None = None,
) -> None:
    """Answer every text of a source; a person at the keyboard gets each answer at once.

    Raises:
        InputError: the source cannot be read.
    """
    if source == STANDARD_INPUT and sys.stdin.isatty():
        print_message("Type a text and press Enter; Ctrl-D (on Windows Ctrl-Z, Enter) ends.")
        for line in sys.stdin:
            if line.strip():
                (answer,) = model.stream(line, promise=promise)
                print_answer(model, answer, line)
        return
    counts = TextCounts()
    waiting: deque[str] = deque()
    for answer in model.stream(_texts(source, text_column, encoding, waiting), counts=counts, promise=promise):
        print_answer(model, answer, waiting.popleft())
    counts.log(model.max_length)


def print_answer(model: Predictor, answer: Prediction, text: str) -> None:
    """One line, cut to the width of the terminal."""
    labels = answer.label if isinstance(answer.label, tuple) else (answer.label or "",)
    known = bool(text.strip()) and answer.label is not None
    label = Text(visible(", ".join(labels)) if known else "–", "bold" if known else "dim")
    widest = max(cell_len(label) for label in model.labels)
    label.truncate(min(widest, _WIDEST_LABEL), overflow="ellipsis", pad=True)
    probability = f"{100 * answer.probability:5.1f} %" if text.strip() else " " * 7
    line = Text.assemble(label, "  ", (probability, "cyan"), "  ", visible(text))
    line.truncate(results().width, overflow="ellipsis")
    results().print(line, no_wrap=True)


def _texts(source: str, text_column: str | None, encoding: str | None, waiting: deque[str]) -> Iterator[str]:
    for row in stream_rows(source, text_column=text_column, encoding=encoding):
        waiting.append(row.text)
        yield row.text
