"""Translations to a file or to standard output, one row a text.

- ``.jsonl``: ``{"target": "Ein Hund.", "score": -0.4}``, and ``"others": [{"target", "score"}, ...]`` where more than
  one answer was asked for.
- ``.tsv``: the columns ``target`` and ``score``, then ``target_2`` and ``score_2`` and so on.
- ``.txt``: the best answer alone, line by line, as other tools want it.

Line breaks of any kind and tabs inside an answer become spaces in ``.tsv`` and ``.txt``. A text without characters has
an empty answer. Every format may end in ``.gz``.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from wenmo.errors import InputError
from wenmo.inference.writers import format_of, open_output

FORMATS = ("tsv", "jsonl", "txt")
Write = Callable[[dict[str, Any]], None]


@contextmanager
def open_translations(out: str | Path, file_format: str, num_answers: int) -> Iterator[Write]:
    """A function that writes the next answer; the file appears when all are written, or not at all.

    Raises:
        InputError: there is no such format, or it has no room for so many answers.
        JobError: the file could not be written.
    """
    file_format = file_format or format_of(out, FORMATS, "tsv", "translations")
    if file_format not in FORMATS:
        raise InputError(f"there is no format {file_format!r}; the formats are {', '.join(FORMATS)}")
    if file_format == "txt" and num_answers > 1:
        raise InputError(f"a .txt has one answer a line, and {num_answers} are asked for; write .tsv or .jsonl")
    with open_output(out) as file:
        yield _writer(file, file_format, num_answers)


def _writer(file: IO[str], file_format: str, num_answers: int) -> Write:
    if file_format == "jsonl":
        return lambda answer: _line(file, json.dumps(answer, ensure_ascii=False))
    if file_format == "txt":
        return lambda answer: _line(file, _flat(answer["target"]))
    names = ["target", "score", *(f"{name}_{i}" for i in range(2, num_answers + 1) for name in ("target", "score"))]
    _line(file, "\t".join(names))
    return lambda answer: _line(file, "\t".join(_cells(answer, len(names))))


def _cells(answer: dict[str, Any], count: int) -> list[str]:
    cells = [
        cell for each in (answer, *answer.get("others", ())) for cell in (_flat(each["target"]), f"{each['score']:.6g}")
    ]
    return cells + [""] * (count - len(cells))


def _flat(text: str) -> str:
    """On one line and in one cell."""
    return " ".join(text.split()) if "\t" in text or text.splitlines() != [text] else text


def _line(file: IO[str], text: str) -> None:
    file.write(text + "\n")
