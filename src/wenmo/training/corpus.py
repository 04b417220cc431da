"""The texts of a run: read, split, and turned into stores of ids."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from wenmo.data.check import look_like_measurements
from wenmo.data.long_texts import LongTexts, Reading
from wenmo.data.readers import read_rows
from wenmo.data.rows import Row
from wenmo.data.splits import split_rows
from wenmo.data.store import TokenStore, TokenStoreWriter
from wenmo.errors import InputError
from wenmo.tasks.classification import ClassificationConfig, find_labels, label_ids
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
    max_length: int,
    place: Path | None = None,
    *,
    long_texts: Reading = "head",
) -> TokenStore:
    """Rows as ids of tokens and labels; of texts over ``max_length`` tokens (0: no limit), what ``long_texts`` keeps.

    A store of many characters goes to the file ``place``, where one is named, and is mapped into memory.
    """
    labels = label_ids(rows, task)
    reading = LongTexts(max_length, long_texts)
    ids = (reading.cut(text_ids) for text_ids in _encoded(rows, tokenizer))
    if place is None or sum(len(row.text) for row in rows) < _CHARACTERS_IN_MEMORY:
        return TokenStore.from_rows(input_ids=list(ids), labels=labels)
    place.parent.mkdir(parents=True, exist_ok=True)
    with TokenStoreWriter(place, {"input_ids": np.int32, "labels": np.int32}) as writer:
        for text_ids, text_labels in zip(ids, labels, strict=True):
            writer.append({"input_ids": text_ids, "labels": text_labels})
    return TokenStore.open(place)


def count_cut(store: TokenStore, max_length: int) -> int:
    """Texts that fill the limit; those were cut, or just fit."""
    return int((store["input_ids"].lengths >= max_length).sum()) if max_length else 0


def _encoded(rows: Sequence[Row], tokenizer: Tokenizer) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _ENCODED_AT_ONCE):
        yield from tokenizer.encode_batch([row.text for row in rows[start : start + _ENCODED_AT_ONCE]])


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
    pair = next((row for row in found.rows if row.text_b is not None), None)
    if pair is not None:
        raise InputError(
            f"{pair.source}: the rows are pairs of texts, and the models here read one; "
            "join the two in one column, or name one of them with --text-column"
        )
    if found.dropped:
        first = found.dropped[0]
        notes.append(f"{source}: {len(found.dropped)} rows were left out; the first is {first.source}: {first.reason}")
    return found.rows


def _split(rows: list[Row], shares: list[float], data: DataSettings) -> list[list[Row]]:
    # Groups stay together in a split by time too.
    by: Literal["random", "group", "time"] = "time" if data.time_column else "group" if data.group_column else "random"
    parts = split_rows(rows, [1 - sum(shares), *shares], seed=data.split_seed, by=by)
    return [[rows[i] for i in part] for part in parts]
