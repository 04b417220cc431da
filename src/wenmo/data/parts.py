"""Which file is which part of a data set, and the check of all of them: ``wenmo.check``."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from wenmo.data.check import CheckReport, check_data
from wenmo.data.check_tags import broken_sentences, labelled_by_types
from wenmo.data.choices import holds_choices, read_choices
from wenmo.data.conll import ENDINGS as CONLL_ENDINGS
from wenmo.data.conll import is_conll, read_conll
from wenmo.data.encoding import STANDARD_INPUT
from wenmo.data.parallel import is_parallel, read_parallel
from wenmo.data.readers import Asked, read_rows
from wenmo.data.rows import RowSet
from wenmo.data.tag_schemes import infer_scheme
from wenmo.errors import InputError
from wenmo.text.loading import AnyTokenizer, train_tokenizer
from wenmo.text.tokenizers import TokenizerConfig

_TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".xlsx", ".xlsm", ".txt")
_ENDINGS = (*_TABLES, *CONLL_ENDINGS)
_PACKED = (".gz", ".zst")
_WORDS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "valid": "dev",
    "validation": "dev",
    "val": "dev",
    "test": "test",
}
_ORDER = ("train", "dev", "test")


def check(
    *sources: str | Path,
    train: str | Path | None = None,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    text_column: str | None = None,
    text_b_column: str | None = None,
    label_column: str | None = None,
    label_separator: str | None = None,
    group_column: str | None = None,
    encoding: str | None = None,
    tokenizer: AnyTokenizer | TokenizerConfig | None = None,
) -> CheckReport:
    """Read the parts of a data set and say what is odd about each of them and about all of them together.

    Args:
        sources: files whose names tell which part they are, or a folder of such files; a first file whose name says
            nothing is train.
        train: the part that models would learn from, given by name; likewise ``dev`` and ``test``.
        text_column: the column of the texts, if the reader does not find it; likewise ``text_b_column``, the second
            texts of pairs, and ``label_column``.
        label_separator: what stands between several labels in one cell.
        group_column: rows with the same value belong together.
        encoding: of text files, if the reader does not find it.
        tokenizer: counts the lengths; settings are trained on train; None: the ordinary ones.

    Raises:
        InputError: a source cannot be read, or nothing or one part twice is given.
    """
    named = {name: source for name, source in (("train", train), ("dev", dev), ("test", test)) if source is not None}
    parts = name_parts(sources, named)
    asked: Asked = {
        "text_column": text_column,
        "text_b_column": text_b_column,
        "label_column": label_column,
        "label_separator": label_separator,
        "group_column": group_column,
        "encoding": encoding,
    }
    rows = {name: _read(source, asked) for name, source in parts.items()}
    if not isinstance(tokenizer, AnyTokenizer):
        learnt_from = rows.get("train") or next(iter(rows.values()))
        texts = (text for row in learnt_from.rows for text in (row.text, row.text_b) if text)
        tokenizer = train_tokenizer(texts, tokenizer or TokenizerConfig())
    report = check_data(rows, tokenizer)
    learnt = rows.get("train") or next(iter(rows.values()))
    scheme = infer_scheme([row.tags for row in learnt.rows if row.tags])
    broken = [finding for name, part in rows.items() for finding in broken_sentences(name, part.rows, scheme)]
    return replace(report, findings=[*broken, *report.findings])


def _read(source: str | Path, asked: Asked) -> RowSet:
    """The rows of a part; what stands in a column of its own in another kind of data has its like here."""
    if is_conll(source):
        return labelled_by_types(read_conll(source, encoding=asked.get("encoding")))
    if not any(asked.values()) and is_parallel(source):
        found = read_parallel(source)
        return replace(found, rows=[replace(row, text_b=row.target) for row in found.rows])
    if not any(asked.values()) and holds_choices(source):
        found = read_choices(source)
        return replace(found, rows=[replace(row, text_b=(row.choices or ("",))[row.right or 0]) for row in found.rows])
    plain = Path(source).name.removesuffix(".gz").removesuffix(".zst").endswith(".txt")
    return read_rows(source, **asked, require_label=not plain)


def name_parts(sources: tuple[str | Path, ...], named: Mapping[str, str | Path]) -> dict[str, str | Path]:
    """The parts of a data set by name, train first.

    A file is train, dev or test if that word stands in its name (``reviews_dev.tsv``), the first file is train if
    nothing speaks against it, and every further one has the name of its file. A folder that holds files of these names
    stands for all of them.

    Raises:
        InputError: there is no source, or two are the same part.
    """
    parts = dict(named)
    for source in _expanded(sources):
        stem = _stem(source)
        word = next((_WORDS[word] for word in re.split(r"[^a-z]+", stem.casefold()) if word in _WORDS), None)
        name = word or ("train" if not parts else stem)
        if name in parts and name in named:
            raise InputError(f"{source}: --{name} {named[name]} is given too; leave one of them out")
        name = stem if name in parts else name
        if name in parts:
            raise InputError(
                f"{source}: a second part of the name {name!r}; say which is which: --train, --dev, --test"
            )
        parts[name] = source
    if not parts:
        raise InputError("no data is named; give files or a folder, for example: wenmo check train.tsv test.tsv")
    return {name: parts[name] for name in sorted(parts, key=_rank)}


def _expanded(sources: tuple[str | Path, ...]) -> Iterator[str | Path]:
    for source in sources:
        folder = Path(source)
        files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
        parts = [path for path in files if _is_data(path) and _stem(path).casefold() in _WORDS]
        if parts:
            yield from parts
        else:  # a file, or a folder with a sub-folder for each label
            yield source


def _is_data(path: Path) -> bool:
    return any(path.name.casefold().endswith((ending, *(ending + packed for packed in _PACKED))) for ending in _ENDINGS)


def _stem(source: str | Path) -> str:
    """The name without the endings that say how it is written."""
    if str(source) == STANDARD_INPUT:
        return "standard input"
    path = Path(source)
    while path.suffix.casefold() in (*_ENDINGS, *_PACKED):
        path = path.with_suffix("")
    return path.name


def _rank(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)
