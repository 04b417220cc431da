"""The texts of a run: read, split, and turned into stores of ids."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from wenmo.data.batching import FIRST, SECOND
from wenmo.data.check import look_like_measurements
from wenmo.data.long_texts import LongTexts
from wenmo.data.readers import read_rows
from wenmo.data.rows import Row
from wenmo.data.splits import split_rows
from wenmo.data.store import TokenStore, TokenStoreWriter
from wenmo.errors import InputError
from wenmo.tasks.classification import ClassificationConfig, find_labels, label_ids
from wenmo.tasks.pairs import COLUMNS, encode_texts, refuse_other_kind, single_texts, text_of
from wenmo.text.tokenizers import Tokenizer
from wenmo.training.recipe import DataSettings

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
                digest.update(repr((row.text, row.text_b, row.label)).encode("utf-8", "surrogatepass"))
            digest.update(b"\0")
        return digest.hexdigest()


def read_corpus(data: DataSettings) -> Corpus:
    """Read the files of a recipe; parts that no file gives are shares of train.

    Raises:
        InputError: a file cannot be read as what it should be, or a part would be empty.
    """
    if not data.train:
        raise InputError("no training data is named; give a file, for example wenmo train reviews.tsv")
    notes: list[str] = []
    train = _read(data.train, data, notes)
    named = ("dev", "test", "calibration")
    given = {name: _read(source, data, notes) for name in named if (source := getattr(data, name))}
    wanted = {"dev": data.dev_share, "calibration": data.calibration_share, "test": data.test_share}
    shares = {name: share for name, share in wanted.items() if name not in given and share > 0}
    if shares:
        parts = _split(train, list(shares.values()), data)
        train = parts[0]
        given |= dict(zip(shares, parts[1:], strict=True))
    labels, _ = find_labels(train)
    if message := look_like_measurements(labels):
        notes.append(f"{data.train}: {message}")
    corpus = Corpus(train=train, notes=notes, **{name: given.get(name, []) for name in named})
    for name in ("train", *given):
        if not getattr(corpus, name):
            raise InputError(f"{data.train}: no row is left for {name}; bring more data or another {name} share")
    return corpus


def located(source: str) -> str:
    """A relative path that is not here, but below the folder that WENMO_DATA names, as it stands there.

    So a recipe can name a published data set without saying where it lies on one machine.
    """
    folder = os.environ.get("WENMO_DATA", "")
    there = Path(folder) / source
    return str(there) if folder and not Path(source).exists() and there.exists() else source


def encode(
    rows: Sequence[Row],
    tokenizer: Tokenizer,
    task: ClassificationConfig,
    reading: LongTexts,
    place: Path | None = None,
) -> TokenStore:
    """Rows as ids of tokens and labels; of long texts, what ``reading`` keeps.

    A pair has the columns that ``task.pair`` wants (`wenmo.tasks.pairs.encode_texts`).

    A store of many characters goes to the file ``place``, where one is named, and is mapped into memory.
    """
    labels = label_ids(rows, task)
    for row in rows:
        refuse_other_kind(text_of(row), task.pair, row.source)
    windows = (rows[start : start + _ENCODED_AT_ONCE] for start in range(0, len(rows), _ENCODED_AT_ONCE))
    ids = (encode_texts([text_of(row) for row in part], tokenizer, task.pair, reading).columns for part in windows)
    names = COLUMNS[task.pair]
    if place is None or sum(len(text) for text in single_texts(rows)) < _CHARACTERS_IN_MEMORY:
        parts = list(ids)
        columns = {name: list(chain.from_iterable(part[name] for part in parts)) for name in names}
        return TokenStore.from_rows(**columns, labels=labels)
    place.parent.mkdir(parents=True, exist_ok=True)
    with TokenStoreWriter(place, dict.fromkeys((*names, "labels"), np.int32)) as writer:
        encoded = chain.from_iterable(zip(*(part[name] for name in names), strict=True) for part in ids)
        for row_ids, row_labels in zip(encoded, labels, strict=True):
            writer.append({**dict(zip(names, row_ids, strict=True)), "labels": row_labels})
    return TokenStore.open(place)


def count_cut(store: TokenStore, reading: LongTexts) -> int:
    """Texts that fill the limit; those were cut, or just fit."""
    if not reading.max_length:
        return 0
    lengths = [store[name].lengths for name in (FIRST, SECOND) if name in store.columns]
    return int((np.max(lengths, axis=0) >= reading.max_length).sum())


def _read(source: str, data: DataSettings, notes: list[str]) -> list[Row]:
    found = read_rows(
        located(source),
        text_column=data.text_column or None,
        text_b_column=data.text_b_column or None,
        label_column=data.label_column or None,
        group_column=data.group_column or None,
        time_column=data.time_column or None,
        label_separator=data.label_separator or None,
        encoding=data.encoding or None,
    )
    notes += found.notes
    if found.dropped:
        first = found.dropped[0]
        notes.append(f"{source}: {len(found.dropped)} rows were left out; the first is {first.source}: {first.reason}")
    return found.rows


def _split(rows: list[Row], shares: list[float], data: DataSettings) -> list[list[Row]]:
    # Groups stay together in a split by time too.
    by: Literal["random", "group", "time"] = "time" if data.time_column else "group" if data.group_column else "random"
    parts = split_rows(rows, [1 - sum(shares), *shares], seed=data.split_seed, by=by)
    return [[rows[i] for i in part] for part in parts]
