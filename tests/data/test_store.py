"""The ragged store in memory and on disk."""

from pathlib import Path

import numpy as np
import pytest

from wenmo.data import store as store_module
from wenmo.data.store import RaggedColumn, TokenStore, TokenStoreWriter
from wenmo.errors import InputError

ROWS = [[5, 6, 7], [], [8], [9, 10]]


def as_lists(column: RaggedColumn) -> list[list[int]]:
    return [column[row].tolist() for row in range(len(column))]


def test_rows_come_back_as_they_went_in() -> None:
    store = TokenStore.from_rows(input_ids=ROWS, labels=[[0], [1], [0], [1]])
    assert as_lists(store["input_ids"]) == ROWS
    assert store["input_ids"].lengths.tolist() == [3, 0, 1, 2]
    assert [row.tolist() for row in store["labels"].take([3, 0])] == [[1], [0]]


def test_a_saved_store_is_mapped_into_memory_and_equal(tmp_path: Path) -> None:
    store = TokenStore.from_rows(input_ids=ROWS, labels=[[0], [1], [0], [1]])
    store.save(tmp_path / "train.arrow")
    opened = TokenStore.open(tmp_path / "train.arrow")
    assert as_lists(opened["input_ids"]) == ROWS
    values = opened["input_ids"].pieces[0][0]
    assert not values.flags.owndata and not values.flags.writeable, "the values were copied into memory"


def test_a_store_written_in_pieces_reads_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_FLUSH_VALUES", 4)
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 99, rng.integers(0, 5)).tolist() for _ in range(50)]
    with TokenStoreWriter(tmp_path / "big.arrow", {"input_ids": np.int32}) as writer:
        for row in rows:
            writer.append({"input_ids": row})
    opened = TokenStore.open(tmp_path / "big.arrow")
    assert len(opened["input_ids"].pieces) > 5
    assert as_lists(opened["input_ids"]) == rows
    assert opened["input_ids"].lengths.tolist() == [len(row) for row in rows]
    with pytest.raises(IndexError, match="row 50 of 50"):
        opened["input_ids"][50]


def test_a_writer_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyError),
        TokenStoreWriter(tmp_path / "half.arrow", {"input_ids": np.int32, "labels": np.int32}) as writer,
    ):
        writer.append({"input_ids": [1]})
    assert list(tmp_path.iterdir()) == []


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="same number of rows"):
        TokenStore.from_rows(input_ids=ROWS, labels=[[0]])


def test_a_file_cut_short_is_refused_by_name(tmp_path: Path) -> None:
    TokenStore.from_rows(input_ids=ROWS).save(tmp_path / "train.arrow")
    whole = (tmp_path / "train.arrow").read_bytes()
    (tmp_path / "train.arrow").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"train\.arrow"):
        TokenStore.open(tmp_path / "train.arrow")
