"""Saying things: results to standard output, everything else to standard error."""

import json
import math
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Rich is imported where something is shown: the verbs answer `--help` without it, and so do programs that want JSON.


@cache
def results() -> "Console":
    """Standard output, for people."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


@cache
def messages() -> "Console":
    """Standard error; one console for all, so that a message never tears a progress bar."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_json(value: Any) -> None:
    """One JSON document on one line; what JSON cannot say (NaN, infinity) is null."""
    sys.stdout.write(json.dumps(_json_able(value), ensure_ascii=False, allow_nan=False) + "\n")


def print_error(message: str) -> None:
    """Why the verb ends here, on one line."""
    _print_line("error", "bold red", message)


def print_note(message: str) -> None:
    """Something a person should know, on one line."""
    _print_line("note", "yellow", message)


def print_message(message: str) -> None:
    """What is going on."""
    messages().print(visible(message), soft_wrap=True)


def print_notes(notes: Iterable[str]) -> None:
    """Several notes."""
    for note in notes:
        print_note(note)


def plain_table() -> "Table":
    """A table with a line under its header and room between its columns, and no other lines."""
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")


def visible(text: str) -> str:
    """A text as it can stand in a terminal: white space is one space, other control characters are escapes.

    A text from a file could otherwise move the cursor, change the title of the window or ring the bell.
    """
    spaced = " ".join(text.split())
    return "".join(ascii(c)[1:-1] if _is_harmful(c) else c for c in spaced)


def _is_harmful(character: str) -> bool:
    """Control characters, halves of characters, and what turns the direction of the text that follows."""
    return unicodedata.category(character) in ("Cc", "Cs") or character in "\u202a\u202b\u202c\u202d\u202e"


def _print_line(kind: str, style: str, message: str) -> None:
    from rich.text import Text

    messages().print(Text.assemble((f"{kind}: ", style), visible(message)), soft_wrap=True)


def _json_able(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _json_able(inner) for name, inner in value.items()}
    return [_json_able(inner) for inner in value] if isinstance(value, list | tuple) else value
