"""The texts of a run: read, split, and turned into stores of ids."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from wenmo.data.check import look_like_measurements
from wenmo.data.long_texts import LongTexts
from wenmo.data.readers import Asked
from wenmo.data.rows import Row
from wenmo.data.splits import SplitBy
from wenmo.data.store import TokenStore, TokenStoreWriter
from wenmo.errors import InputError
from wenmo.tasks.labels import find_labels
from wenmo.tasks.task import TaskConfig
from wenmo.text.loading import AnyTokenizer
from wenmo.training.recipe import located
from wenmo.training.settings import DataSettings

_ENCODED_AT_ONCE = 4096
_CHARACTERS_IN_MEMORY = 100_000_000
"""Of a part; the ids of more are kept in a file."""


@dataclass
class Corpus:
    """The labelled texts of a run, in parts."""

    train: list[Row]
    dev: list[Row] = field(default_factory=list)
    test: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    calibration: list[Row] = field(default_factory=list)
    """Rows that nothing is chosen by; see `wenmo.tasks.abstention`."""

    def digest(self) -> str:
        """SHA-256 over every text and label, in their order."""
        digest = hashlib.sha256()
        kept = (self.calibration,) if self.calibration else ()  # without them, the digest of older folders
        for part in (self.train, self.dev, self.test, *kept):
            for row in part:
                digest.update(repr(_told(row)).encode("utf-8", "surrogatepass"))
            digest.update(b"\0")
        return digest.hexdigest()


def _told(row: Row) -> tuple[object, ...]:
    """What a row says; what only other tasks know is left out, so that older folders keep their digest."""
    said: tuple[object, ...] = (row.text, row.text_b, row.label)
    if row.choices is not None:
        said = (*said, row.choices, row.right)
    more = (row.words, row.tags, row.target)
    return said if more == (None, None, None) else (*said, *more)


def read_corpus(data: DataSettings, task: TaskConfig) -> Corpus:
    """Read the files of a recipe; parts that no file gives are shares of train.

    Raises:
        InputError: a file cannot be read as what it should be, or a part would be empty.
    """
    if not data.train:
        raise InputError("no training data is named; give a file, for example wenmo train reviews.tsv")
    notes: list[str] = []
    train = _read(data.train, data, task, notes)
    named = ("dev", "test", "calibration")
    given = {name: _read(source, data, task, notes, name) for name in named if (source := getattr(data, name))}
    wanted = {"dev": data.dev_share, "calibration": data.calibration_share, "test": data.test_share}
    shares = {name: share for name, share in wanted.items() if name not in given and share > 0}
    if sum(shares.values()) >= 1:
        told = " and ".join(f"data.{name}_share={share:g}" for name, share in shares.items())
        raise InputError(f"{data.train}: {told} leave nothing to learn from; together they are below 1")
    if shares:
        parts = _split(train, list(shares.values()), data, task)
        train = parts[0]
        given |= dict(zip(shares, parts[1:], strict=True))
    labels = () if task.labels_are_numbers else find_labels(train)[0]
    if message := look_like_measurements(labels):
        notes.append(f"{data.train}: {message}")
    corpus = Corpus(train=train, notes=notes, **{name: given.get(name, []) for name in named})
    for name in ("train", *given):
        if not getattr(corpus, name):
            raise InputError(f"{data.train}: no row is left for {name}; bring more data or another {name} share")
    return corpus


def encode(
    rows: Sequence[Row],
    tokenizer: AnyTokenizer,
    task: TaskConfig,
    reading: LongTexts,
    place: Path | None = None,
) -> TokenStore:
    """Rows as the columns that their task wants; of long texts, what ``reading`` keeps.

    A store of many characters goes to the file ``place``, where one is named, and is mapped into memory.
    """
    spans = (rows[start : start + _ENCODED_AT_ONCE] for start in range(0, len(rows), _ENCODED_AT_ONCE))
    parts = (task.columns(span, tokenizer, reading) for span in spans)
    if place is None or sum(len(text) for text in task.texts(rows)) < _CHARACTERS_IN_MEMORY:
        kept = list(parts) or [task.columns([], tokenizer, reading)]
        return TokenStore.from_rows(
            **{name: list(chain.from_iterable(part[name] for part in kept)) for name in kept[0]}
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    first = next(parts)
    with TokenStoreWriter(place, dict.fromkeys(first, np.int32)) as writer:
        for part in chain([first], parts):
            for values in zip(*part.values(), strict=True):
                writer.append(dict(zip(part, values, strict=True)))
    return TokenStore.open(place)


def _read(source: str, data: DataSettings, task: TaskConfig, notes: list[str], part: str = "train") -> list[Row]:
    target = {"train": data.target, "dev": data.dev_target, "test": data.test_target}.get(part)
    asked: Asked = {
        "text_column": data.text_column or None,
        "text_b_column": data.text_b_column or None,
        "label_column": data.label_column or None,
        "group_column": data.group_column or None,
        "time_column": data.time_column or None,
        "label_separator": data.label_separator or None,
        "encoding": data.encoding or None,
    }
    place = located(source)
    found = task.read_files(place, located(target), **asked) if target else task.read(place, **asked)
    notes += [*found.notes, *found.left_out(source)]
    return found.rows


def _split(rows: list[Row], shares: list[float], data: DataSettings, task: TaskConfig) -> list[list[Row]]:
    # Groups stay together in a split by time too.
    by: SplitBy = "time" if data.time_column else "group" if data.group_column else "random"
    return task.split(rows, [1 - sum(shares), *shares], seed=data.split_seed, by=by)
