"""Raw files to documents, one after the other in flat memory.

A source is a text file, a table with a column of texts (csv, tsv, jsonl, parquet, xlsx; a row is a document), a data
set on the hub (``hf://``), or a folder with any of these; text formats also with ``.gz`` or ``.zst``. CoNLL files and
the People's Daily bring what is marked in them (`wenmo.pretraining.labelled`). Two more kinds of files hold more than
running text and are told by themselves:

- dialogues: ``*.dialogues.txt``, a turn a line, blank lines between dialogues; two speakers take turns;
- titles that were found for queries: a table with the columns ``query``, ``title`` and ``clicked`` (0 or 1). Rows that
  stand together and have one query are one document.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Literal

from wenmo.data.conll import ENDINGS
from wenmo.data.encoding import STANDARD_INPUT, Skip, Tell, read_lines
from wenmo.data.peoples_daily import is_peoples_daily
from wenmo.data.readers import PACKED, column_names, stream_rows
from wenmo.data.rows import Row
from wenmo.errors import InputError
from wenmo.pretraining.labelled import Sentences, is_labelled, labelled_documents
from wenmo.pretraining.settings import CorpusSettings
from wenmo.text.spans import Unit

DocumentKind = Literal["text", "dialogue", "query"]
KINDS: tuple[DocumentKind, ...] = ("text", "dialogue", "query")

QUERY_COLUMNS = ("query", "title", "clicked")
"""Of a table of titles that were found for queries."""

QUERY_ROLE = -1
"""Of the query among the roles of its titles."""

_TYPED = (".parquet", ".pq", ".xlsx", ".xlsm")
_TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", *_TYPED)
_TEXTS = (".txt", ".text", ".md")
_NOT_CLICKED, _CLICKED = ("0", "false", "no"), ("1", "true", "yes")


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its lines, and who speaks in them or how they were met."""

    lines: tuple[str, ...]
    kind: DocumentKind = "text"
    roles: tuple[int, ...] = ()
    """Of each line of a dialogue 0 for the speaker who began, else 1; of titles 0 if they were clicked, else 1, and -1
    for the query, which is the first line. Empty in running text."""
    units: tuple[tuple[Unit, ...], ...] = ()
    """Of each line the words, phrases and entities that the source marks; empty where it marks none."""

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines)


def corpus_files(sources: Sequence[str]) -> list[str]:
    """The single files, and hub names, that the sources are; of a folder all files in their order by name.

    Raises:
        InputError: there is no such file, or nothing in a folder that can be read.
    """
    if not sources:
        raise InputError("no text is named; give files, for example wenmo pretrain books.txt")
    return list(chain.from_iterable(map(_files_of, map(str, sources))))


def _files_of(source: str) -> list[str]:
    if not is_file_name(source):
        return [source]
    if source == STANDARD_INPUT:
        raise InputError("a corpus is read more than once, so it cannot be standard input; write it to a file")
    path = Path(source)
    if not path.is_dir():
        if not path.is_file():
            raise InputError(f"{source} does not exist, or is no file")
        return [source]
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and not file.name.startswith(".")]
    endings = (*_TEXTS, *_TABLES, *ENDINGS)
    readable = [str(file) for file in files if _ending(file) in endings]
    if not readable:
        raise InputError(f"{source} holds no file of text; wenmo reads {', '.join(endings)}, also packed")
    return readable


def is_file_name(source: str) -> bool:
    """Whether a source is a file, and not a data set on the hub or in an installed package."""
    return not source.startswith("hf://") and not is_peoples_daily(source)


def read_documents(
    sources: Sequence[str], settings: CorpusSettings, tell: Tell, counts: Counter[str]
) -> Iterator[Document]:
    """All documents in the order of the sources; those without text are left out.

    Args:
        sources: files, folders and hub names.
        settings: what parts documents, and what to do about damaged lines.
        tell: hears of guesses that were made.
        counts: gets how many lines were skipped, and how many documents were cut because they are too long.

    Raises:
        InputError: a file cannot be read as what it is; the message has the place.
    """

    def skip(place: str) -> None:
        if not counts["bad lines"]:
            tell(f"{place}: the first line that is not text in its encoding, and is skipped")
        counts["bad lines"] += 1

    noted: Counter[str] = Counter()
    for file in corpus_files(sources):

        def tell_once(note: str, file: str = file) -> None:
            what = note.removeprefix(file)
            noted[what] += 1
            if noted[what] == 1:
                tell(note)

        yield from _of_file(file, settings, tell_once, skip if settings.on_bad_line == "skip" else None, counts)
    for what, times in noted.items():
        if times > 1:
            tell(f"{times - 1:,} more files{what}")


def is_dialogues(file: str) -> bool:
    """Whether a file says by its name that it holds dialogues."""
    return ".dialogues." in Path(file).name.lower() and _ending(Path(file)) in _TEXTS


def _of_file(
    file: str, settings: CorpusSettings, tell: Tell, skip: Skip | None, counts: Counter[str]
) -> Iterator[Document]:
    encoding = settings.encoding or None
    if is_labelled(file):
        marked = labelled_documents(file, encoding if is_file_name(file) else None, tell)
        return (piece for document in marked for piece in _marked_pieces(document, settings, counts))
    texts: Iterable[Iterable[str]]
    if not _is_table(file):
        lines = read_lines(file, encoding=encoding, tell=tell, skip=skip)
        if is_dialogues(file):
            return map(_dialogue, _blocks(lines))
        texts = _parted(lines, settings)
    else:
        if file.startswith("hf://") or _ending(Path(file)) in _TYPED:
            encoding = None
        if not settings.text_column and set(QUERY_COLUMNS) <= {name.casefold() for name in column_names(file)}:
            query, title, clicked = QUERY_COLUMNS
            return _queries(
                stream_rows(
                    file, text_column=query, text_b_column=title, label_column=clicked, encoding=encoding, skip=skip
                )
            )
        rows = stream_rows(file, text_column=settings.text_column or None, encoding=encoding, skip=skip, streaming=True)
        texts = map(_lines_of_row, rows)
    pieces = (piece for text in texts for piece in _pieces(text, settings.document_characters, counts))
    return map(Document, pieces)


def _is_table(file: str) -> bool:
    # Whatever else it is called, a file is plain text.
    return file.startswith("hf://") or _ending(Path(file)) in _TABLES


def _ending(path: Path) -> str:
    packed = path.suffix.lower() in PACKED
    return (path.with_suffix("") if packed else path).suffix.lower()


def _parted(lines: Iterable[str], settings: CorpusSettings) -> Iterable[Iterable[str]]:
    """The documents of a text file, each of which is read line by line."""
    if settings.documents == "files":
        return [lines]
    return ([line] for line in lines) if settings.documents == "lines" else _blocks(lines)


def _blocks(lines: Iterable[str]) -> Iterator[Iterator[str]]:
    """What stands between blank lines, line by line."""
    return (block for filled, block in groupby(map(str.strip, lines), bool) if filled)


def _pieces(lines: Iterable[str], most: int, counts: Counter[str]) -> Iterator[tuple[str, ...]]:
    """The lines of a document that hold text; of one with more characters than ``most``, several times some of them."""
    piece: list[str] = []
    size = pieces = 0
    for line in map(str.strip, lines):
        if piece and size + len(line) > most:
            yield tuple(piece)
            pieces += 1
            piece, size = [], 0
        if line:
            piece.append(line)
            size += len(line)
    if piece:
        yield tuple(piece)
    counts["documents cut for their length"] += pieces > 0


def _marked_pieces(document: Sentences, settings: CorpusSettings, counts: Counter[str]) -> Iterator[Document]:
    """A document whose sentences stand as they are, with what is marked in them; in several where it is too long."""
    units = iter(units for text, units in document if text.strip())
    for lines in _pieces((text for text, _ in document), settings.document_characters, counts):
        yield Document(lines, units=tuple(next(units) for _ in lines))


def _lines_of_row(row: Row) -> list[str]:
    return "\n".join(filter(None, (row.text, row.text_b))).splitlines()


def _dialogue(turns: Iterable[str]) -> Document:
    lines = tuple(turns)
    return Document(lines, "dialogue", tuple(turn % 2 for turn in range(len(lines))))


def _queries(rows: Iterable[Row]) -> Iterator[Document]:
    for query, found in groupby(rows, lambda row: _one_line(row.text)):
        titles = [(_one_line(row.text_b or ""), _clicked(row)) for row in found]
        kept = [(title, role) for title, role in titles if title]
        if query and kept:
            lines, roles = zip(*kept, strict=True)
            yield Document((query, *lines), "query", (QUERY_ROLE, *roles))


def _clicked(row: Row) -> int:
    label = str(row.label).strip().lower()
    if label not in (*_CLICKED, *_NOT_CLICKED):
        raise InputError(f"{row.source}: clicked is 1 or 0; got {row.label!r}")
    return int(label in _NOT_CLICKED)


def _one_line(text: str) -> str:
    return " ".join(text.split())
