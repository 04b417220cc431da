"""Contexts with several answers to choose from: a JSON object a line, with a list of choices.

``{"context": "Tom was hungry.", "choices": ["He ate.", "He flew."], "label": 0}``. The label is the place of the right
answer, counted from 0, or its text; it may be left out where answers are wanted.
"""

import json
from pathlib import Path
from typing import Any

from wenmo.data.encoding import read_lines, source_name
from wenmo.data.readers import column_names
from wenmo.data.rows import Row, RowSet
from wenmo.errors import InputError

CONTEXT, CHOICES, LABEL = "context", "choices", "label"
_FORM = '{"context": "...", "choices": ["...", "..."], "label": 0}'


def holds_choices(source: str | Path) -> bool:
    """Whether a source is one of contexts with their choices."""
    return {CONTEXT, CHOICES} <= set(column_names(source))


def read_choices(source: str | Path, encoding: str | None = None) -> RowSet:
    """Read contexts with their choices, and which is right where that is known.

    Raises:
        InputError: a line is no such object, has fewer than two choices, or a label that is none of them.
    """
    notes: list[str] = []
    rows = []
    for number, line in enumerate(read_lines(source, encoding=encoding, tell=notes.append), 1):
        if line.strip():
            rows.append(_row(line, f"{source_name(source)}:{number}"))
    if not rows:
        raise InputError(f"{source_name(source)}: there is nothing in it; a line is {_FORM}")
    return RowSet(rows, columns={name: name for name in (CONTEXT, CHOICES, LABEL)}, notes=notes)


def _row(line: str, place: str) -> Row:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON ({error.msg}); a line is {_FORM}") from None
    context = values.get(CONTEXT) if isinstance(values, dict) else None
    choices = values.get(CHOICES) if isinstance(values, dict) else None
    if not isinstance(context, str) or not isinstance(choices, list) or len(choices) < 2:
        raise InputError(f"{place}: a context with two choices or more is wanted; a line is {_FORM}")
    if not all(isinstance(choice, str) for choice in choices) or len(set(choices)) < len(choices):
        raise InputError(f"{place}: choices are different texts; got {choices!r:.80}")
    return Row(context, choices=tuple(choices), right=_right(values.get(LABEL), choices, place), source=place)


def _right(label: Any, choices: list[str], place: str) -> int | None:
    """The place of the right answer."""
    if label is None:
        return None
    if isinstance(label, str) and label in choices:
        return choices.index(label)
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(choices):
        return label
    raise InputError(f"{place}: the label {label!r} is none of the choices, nor a place from 0 to {len(choices) - 1}")
