"""What a corpus in the making is made of, and which of its shards are finished: a file that outlives a kill."""

import json
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from wenmo.errors import InputError, JobError
from wenmo.files import write_aside
from wenmo.pretraining.making import ShardInfo


class Journal:
    """A line of JSON says what the corpus is made of, each further one which shard is finished."""

    def __init__(self, path: Path, file: IO[str], finished: dict[str, ShardInfo]) -> None:
        """Use `open`."""
        self._path = path
        self._file = file
        self.finished = finished
        """By their names."""

    @classmethod
    def open(cls, path: Path, identity: dict[str, Any]) -> Self:
        """Begin a journal, or go on with one.

        Raises:
            InputError: it is there, and of a corpus that is made of something else.
            JobError: it cannot be written.
        """
        lines = _whole_lines(path)
        finished: dict[str, ShardInfo] = {}
        if lines:
            refuse_other(path.parent, lines[0], identity, "is in the making with")
            finished = {values["name"]: ShardInfo.from_dict(values) for values in lines[1:]}
        # Written anew: the last line may be cut short, and nothing may follow it.
        known = (identity, *(info.to_dict() for info in finished.values()))
        write_whole(path, "".join(map(_line, known)))
        return cls(path, open(path, "a", encoding="utf-8"), finished)

    def add(self, info: ShardInfo) -> None:
        """A shard is finished.

        Raises:
            JobError: the disk is full.
        """
        try:
            self._file.write(_line(info.to_dict()))
            self._file.flush()
        except OSError as error:
            raise no_room(self._path, error) from error

    def remove(self) -> None:
        """The corpus is finished."""
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what a full disk did not take is not there, and was told already
            self._file.close()


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all.

    Raises:
        JobError: the disk is full.
    """
    try:
        write_aside(path, text)
    except OSError as error:
        raise no_room(path, error) from error


def no_room(path: Path, error: OSError) -> JobError:
    """What to say where a file of a corpus cannot be written."""
    return JobError(
        f"{path}: could not be written ({error}); free some space and run the same again: finished shards are kept"
    )


def refuse_other(folder: Path, there: dict[str, Any], wanted: dict[str, Any], what: str) -> None:
    """Refuse to go on with a corpus that is made of something else.

    Raises:
        InputError: sources, tokenizer, settings or annotator differ; the message says which.
    """
    for name, value in wanted.items():
        if _compared(name, there.get(name)) != _compared(name, value):
            raise InputError(
                f"{folder} {what} other {name}: {_difference(name, there.get(name), value)}; choose another folder, or "
                "remove this one"
            )


def _compared(name: str, value: Any) -> Any:
    """What counts of a part of the identity: of files what is in them, wherever they stand."""
    return [source["sha256"] or source["path"] for source in value or []] if name == "sources" else value


def _difference(name: str, there: Any, wanted: Any) -> str:
    if name == "sources":
        before = {source["path"]: source for source in there or []}
        after = {source["path"]: source for source in wanted}
        changed = [path for path in after if path in before and before[path] != after[path]]
        if changed:
            return f"{changed[0]} holds other text now than when it began"
        only = sorted(before.keys() ^ after.keys())
        return f"{only[0]} is in one of them alone" if only else "they stand in another order"
    if isinstance(there, dict):
        field = next(field for field in {**there, **wanted} if there.get(field) != wanted.get(field))
        return f"{field} is {there.get(field)!r} there and {wanted.get(field)!r} now"
    return "it is not the same"


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); remove {path.parent} and make the corpus again") from error


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"
