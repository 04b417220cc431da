"""Where a model looked while it wrote, as a page: a square for each two tokens, the darker the more it looked."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from wenmo.data.parallel import stream_texts
from wenmo.errors import InputError, JobError
from wenmo.inference.translating import Alignment, Translated, Translator
from wenmo.reports.markup import Markup, element, joined, quoted
from wenmo.reports.page import page, section, write_page

_CELL, _LETTER = 22, 8
"""Pixels of a square's side, and about those of a letter."""
_MOST_LETTERS = 16
_MOST_TEXTS = 20
"""A page of more is nothing to look at."""


def write_alignments(answers: Sequence[tuple[str, Translated, Alignment]], path: Path) -> None:
    """Write a page with a picture for each text, what was written to it and where the model looked.

    Raises:
        OSError: the folder cannot be written to.
    """
    sections = [
        section(
            f"text-{number}",
            f"Text {number}",
            element("p", quoted(text), " → ", quoted(answer.target)),
            alignment_chart(alignment),
        )
        for number, (text, answer, alignment) in enumerate(answers, start=1)
    ]
    header = joined(
        [
            element("h1", "Alignments"),
            element("p", "Each row is a token that was written; the darker a square, the more of its weight is there."),
        ]
    )
    write_page(page("Alignments", header, sections, element("p", "Made by wenmo.")), path)


def write_alignments_of_file(
    model: Translator, source: str | Path, path: str | Path, *, text_column: str | None, encoding: str | None
) -> int:
    """Translate the first texts of a source and draw where the model looked; how many they are.

    Raises:
        InputError: the source cannot be read twice, or the model has no attention.
        JobError: the page could not be written.
    """
    if str(source) == "-":
        raise InputError("--alignments reads the texts twice, which standard input does not allow; name a file")
    read = stream_texts(source, text_column=text_column, encoding=encoding)
    texts = list(islice((text for text in read if text.strip()), _MOST_TEXTS))
    try:
        write_alignments([(text, *model.align(text)) for text in texts], Path(path))
    except OSError as error:
        raise JobError(f"{path}: could not be written ({error}); free some space or choose another file") from error
    return len(texts)


def alignment_chart(alignment: Alignment) -> Markup:
    """The picture: the text above, what was written at the left."""
    left, top = (_room(tokens) for tokens in (alignment.target, alignment.source))
    columns = [
        element(
            "text",
            _short(token),
            transform=f"translate({left + _CELL * (i + 0.7):.0f} {top - 6}) rotate(-60)",
        )
        for i, token in enumerate(alignment.source)
    ]
    rows = [
        element("text", _short(token), x=left - 6, y=top + _CELL * (i + 0.7), text_anchor="end")
        for i, token in enumerate(alignment.target)
    ]
    width, height = left + _CELL * len(columns) + top // 2, top + _CELL * len(rows)
    return element(
        "svg",
        *columns,
        *rows,
        *(_square(alignment, i, j, left, top) for i in range(len(rows)) for j in range(len(columns))),
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label=f"Weights of attention: {len(rows)} tokens written, {len(columns)} tokens read",
    )


def _square(alignment: Alignment, row: int, column: int, left: int, top: int) -> Markup:
    weight = float(alignment.weights[row, column])
    said = f"{alignment.target[row]} ← {alignment.source[column]}: {100 * weight:.1f} %"
    return element(
        "rect",
        element("title", said),
        x=left + _CELL * column,
        y=top + _CELL * row,
        width=_CELL - 1,
        height=_CELL - 1,
        fill="currentColor",
        fill_opacity=f"{0.04 + 0.96 * weight:.3f}",
    )


def _room(tokens: Sequence[str]) -> int:
    return 12 + _LETTER * max(len(_short(token)) for token in tokens)


def _short(token: str) -> str:
    return token if len(token) <= _MOST_LETTERS else token[: _MOST_LETTERS - 1] + "…"
