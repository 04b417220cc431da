"""The JSON of model folders, read or named for what it is; and files that are there whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

from wenmo.errors import InputError


def read_json(path: Path) -> Any:
    """The value that a JSON file holds.

    Raises:
        InputError: it is missing, damaged or cut short.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; the folder is not a model, or not a whole one; copy it again") from None
    except ValueError as error:  # no JSON, or no UTF-8
        raise InputError(f"{path}: not JSON; it is damaged or cut short ({error}); copy it again") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        InputError: as `read_json`, or it holds another value.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a JSON object but a {type(value).__name__}; copy it again")
    return value


def write_aside(path: Path, text: str) -> None:
    """Write a file aside and rename it into place."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON that people read, aside and into place."""
    write_aside(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")
