"""The JSON of model folders, read or named for what it is; files that are there whole or not at all; and folders in
which one process works at a time."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


@contextmanager
def only_one(folder: Path, lock_name: str, busy: str, instead: str) -> Iterator[None]:
    """Keep every other process out of a folder, which is made if need be. The lock of a dead process is no lock.

    Args:
        folder: in which one process shall work.
        lock_name: of the file that says so.
        busy: what another process does there, in words.
        instead: what a person may choose in its place.

    Raises:
        InputError: a living process works in the folder, or there is a file in its place.
    """
    from filelock import FileLock, Timeout  # which nobody needs who reads a model alone

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{folder}: a file stands in the way of this folder; choose {instead}") from error
    lock = FileLock(folder / lock_name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder}: {busy}; wait for it, or choose {instead}") from None
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):
            (folder / lock_name).unlink()  # Windows refuses while another process looks at it
            folder.rmdir()  # only when it is empty: what could not begin leaves nothing behind
