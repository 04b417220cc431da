"""Answers in a terminal: the label, how sure the model is, and the text."""

import sys
from collections import deque
from collections.abc import Iterator

from rich.cells import cell_len
from rich.text import Text

from wenmo.cli.output import print_message, results, visible
from wenmo.data import rows
from wenmo.data.encoding import STANDARD_INPUT
from wenmo.data.readers import stream_rows
from wenmo.inference.predictor import Prediction, Predictor, TextCounts
from wenmo.inference.texts import checked_texts
from wenmo.tasks.abstention import Promise

_WIDEST_LABEL = 24


def print_answers(
    model: Predictor,
    source: str,
    *,
    text_column: str | None,
    text_b_column: str | None = None,
    encoding: str | None = None,
    promise: Promise | None = None,
) -> None:
    """Answer every text of a source; a person at the keyboard gets each answer at once.

    Raises:
        InputError: the source cannot be read.
    """
    if source == STANDARD_INPUT and sys.stdin.isatty():
        _converse(model, promise)
        return
    counts = TextCounts()
    waiting: deque[rows.Text] = deque()
    read = stream_rows(source, text_column=text_column, text_b_column=text_b_column, encoding=encoding)
    for answer in model.stream(_noted(checked_texts(read, model.pair), waiting), counts=counts, promise=promise):
        print_answer(model, answer, waiting.popleft())
    counts.log(model.max_length)


def _converse(model: Predictor, promise: Promise | None) -> None:
    """Answer each line that a person types."""
    what = "two texts with a tab between them" if model.pair != "none" else "a text"
    print_message(f"Type {what} and press Enter; Ctrl-D (on Windows Ctrl-Z, Enter) ends.")
    for line in sys.stdin:
        first, tab, second = line.partition("\t")
        if model.pair != "none" and line.strip() and not tab:
            print_message("There is no tab in this line, so it is one text; this model reads pairs.")
        elif line.strip():
            text = (first, second) if model.pair != "none" else line
            (answer,) = model.stream([text], promise=promise)
            print_answer(model, answer, text)


def print_answer(model: Predictor, answer: Prediction, asked: rows.Text) -> None:
    """One line, cut to the width of the terminal."""
    has_text = all(text.strip() for text in ([asked] if isinstance(asked, str) else asked))
    text = asked if isinstance(asked, str) else " | ".join(asked)
    labels = answer.label if isinstance(answer.label, tuple) else (answer.label or "",)
    known = has_text and answer.label is not None
    label = Text(visible(", ".join(labels)) if known else "–", "bold" if known else "dim")
    widest = max(cell_len(label) for label in model.labels)
    label.truncate(min(widest, _WIDEST_LABEL), overflow="ellipsis", pad=True)
    probability = f"{100 * answer.probability:5.1f} %" if has_text else " " * 7
    line = Text.assemble(label, "  ", (probability, "cyan"), "  ", visible(text))
    line.truncate(results().width, overflow="ellipsis")
    results().print(line, no_wrap=True)


def _noted(texts: Iterator[rows.Text], waiting: deque[rows.Text]) -> Iterator[rows.Text]:
    for text in texts:
        waiting.append(text)
        yield text
