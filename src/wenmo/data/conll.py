"""CoNLL files: a token and its tag on each line, a blank line behind each sentence.

    EU B-ORG
    rejects O

Columns are separated by white space, or by single tabs where the first line has one; with more than two, the tag is the
last column unless another is asked for. Lines that begin with ``-DOCSTART-`` part documents and hold no token.
"""

import gzip
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import IO, NamedTuple, TextIO

from wenmo.data.encoding import Tell, read_lines, source_name
from wenmo.data.rows import Row, RowSet
from wenmo.errors import InputError, JobError
from wenmo.text.segmentation import choose_segmenter

ENDINGS = (".conll", ".bio", ".bmes", ".iob", ".iob2")
"""How the names of such files end, also with ``.gz`` or ``.zst`` behind it."""

DOCUMENT = "-DOCSTART-"

_BLANKS = re.compile(r"[ \t]+")


def is_conll(source: str | Path) -> bool:
    """Whether the name of a source says that it is a CoNLL file."""
    path = Path(str(source))
    if path.suffix.lower() in (".gz", ".zst"):
        path = path.with_suffix("")
    return path.suffix.lower() in ENDINGS


def read_conll(
    source: str | Path, *, tag_column: int = 0, require_tags: bool = True, encoding: str | None = None
) -> RowSet:
    """Read all sentences of a file into memory.

    Args:
        source: a path, also packed with gzip or Zstandard, or ``-`` for standard input.
        tag_column: which column holds the tags, counted from 1; 0: the last one.
        require_tags: a file of tokens alone is an error.
        encoding: of the file; None: found, as in `wenmo.data.encoding`.

    Returns:
        Rows with ``words`` and ``tags``. Their ``source`` is the line of the first token; each further token stands a
        line below the one before. The ``text`` is the words put together: with spaces between them, or without where
        over half of the letters of the file are Han.

    Raises:
        InputError: there is no sentence, a line has another number of columns than the first, or is not text.
    """
    if source != "-" and not Path(source).is_file():
        raise InputError(f"{source} does not exist, or is no file")
    notes: list[str] = []
    lines = read_lines(source, encoding=encoding, tell=notes.append)
    sentences = list(_sentences(lines, source_name(source), tag_column, require_tags, notes.append))
    if not sentences:
        raise InputError(f"{source_name(source)} holds no token; a line is a token and its tag")
    between = separator_of(sentence.words for sentence in sentences)
    rows = [
        Row(text=between.join(each.words), words=tuple(each.words), tags=each.tags, source=each.source)
        for each in sentences
    ]
    return RowSet(rows, {"text": "token", **({"label": "tag"} if sentences[0].tags else {})}, notes)


def write_conll(path: Path, sentences: Iterable[tuple[Sequence[str], Sequence[str]]]) -> int:
    """Write words with their tags, packed where the name ends in ``.gz``; the file appears whole or not at all.

    Returns:
        How many sentences there were.

    Raises:
        JobError: the file cannot be written.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with _open_to_write(aside, packed=path.suffix == ".gz") as file:
            number = print_conll(file, sentences)
        os.replace(aside, path)
    except OSError as error:
        raise JobError(f"{path}: cannot be written ({error}); free some space or choose another place") from error
    finally:
        aside.unlink(missing_ok=True)
    return number


def print_conll(file: IO[str], sentences: Iterable[tuple[Sequence[str], Sequence[str]]]) -> int:
    """As `write_conll`, into an open file. White space inside a token becomes ``_``."""
    written = 0
    for words, tags in sentences:
        lines = [f"{'_'.join(word.split())} {tag}\n" for word, tag in zip(words, tags, strict=True)]
        file.write("".join(lines) + "\n")
        written += 1
    return written


def separator_of(sentences: Iterable[Sequence[str]]) -> str:
    """What stands between words when they are put together: nothing in Chinese, else a space."""
    return "" if choose_segmenter(map("".join, sentences)) == "characters" else " "


def place_of(row: Row, token: int) -> str:
    """Where a token of a row stands, as ``file:line``."""
    file, _, line = row.source.rpartition(":")
    return f"{file}:{int(line) + token}" if line.isdecimal() else row.source


class _Sentence(NamedTuple):
    words: list[str]
    tags: tuple[str, ...] | None
    source: str


def _sentences(lines: Iterable[str], name: str, tag_column: int, require_tags: bool, tell: Tell) -> Iterator[_Sentence]:
    """Sentences with their tags; the first token's line decides how columns are separated and how many there are."""
    columns = _Columns(name, tag_column, require_tags)
    words: list[str] = []
    tags: list[str] = []
    first = documents = 0
    for number, line in enumerate(lines, start=1):
        line = line.removesuffix("\r")
        if line.startswith(DOCUMENT):
            documents += 1
        if line.startswith(DOCUMENT) or not line.strip(" \t"):
            if words:
                yield columns.sentence(words, tags, first)
                words, tags = [], []
            continue
        word, tag = columns.read(line, number)
        if not words:
            first = number
        words.append(word)
        tags.append(tag)
    if words:
        yield columns.sentence(words, tags, first)
    if documents:
        tell(f"{name}: {documents:,} documents, which are read as one")


class _Columns:
    """How the lines of a file are cut."""

    def __init__(self, name: str, tag_column: int, require_tags: bool) -> None:
        self._name, self._tag_column, self._require_tags = name, tag_column, require_tags
        self._separator: str | None = None
        self._width = 0

    def read(self, line: str, number: int) -> tuple[str, str]:
        """Token and tag of a line."""
        if not self._width:
            self._separator = "\t" if "\t" in line else None
        cells = line.split("\t") if self._separator else _BLANKS.split(line.strip(" "))
        if not self._width:
            self._settle(cells, number)
        place = f"{self._name}:{number}"
        if len(cells) != self._width:
            raise InputError(
                f"{place}: {len(cells)} column{'s' * (len(cells) != 1)}, but the first token's line has {self._width}; "
                "a token and its tag belong on one line, and a blank line behind a sentence"
            )
        tag = cells[self._tag_column - 1] if self._width > 1 else ""
        if not cells[0].strip() or (self._width > 1 and not tag.strip()):
            raise InputError(
                f"{place}: the {'token' if not cells[0].strip() else 'tag'} is empty; write it, or _ for it"
            )
        return cells[0], tag

    def sentence(self, words: list[str], tags: list[str], first: int) -> _Sentence:
        return _Sentence(words, tuple(tags) if self._width > 1 else None, f"{self._name}:{first}")

    def _settle(self, cells: list[str], number: int) -> None:
        self._width = len(cells)
        if self._width == 1 and self._require_tags:
            raise InputError(
                f"{self._name}:{number}: one column, but a token and its tag are wanted, separated by a space or a tab"
            )
        if self._tag_column > self._width or self._tag_column == 1:
            raise InputError(
                f"{self._name}:{number}: data.tag_column={self._tag_column}, but the line has {self._width} columns "
                f"and the first is the token; choose one from 2 to {self._width}, or 0 for the last"
            )


def _open_to_write(path: Path, *, packed: bool) -> TextIO:
    if packed:
        return TextIOWrapper(gzip.open(path, "wb"), encoding="utf-8", newline="\n")
    return path.open("w", encoding="utf-8", newline="\n")
