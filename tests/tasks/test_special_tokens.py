"""Rows of a store with the special tokens of a checkpoint: cut around them, asked about without them."""

from pathlib import Path

import pytest

from wenmo.data.long_texts import LongTexts
from wenmo.errors import InputError
from wenmo.tasks.pairs import encode_texts, unknown_shares
from wenmo.text.pretrained import PretrainedTokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d", "e", "f"]


@pytest.fixture
def bert(tmp_path: Path) -> PretrainedTokenizer:
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES))
    return PretrainedTokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("how", "kept"), [("head", [5, 6, 7, 8]), ("tail", [7, 8, 9, 10]), ("head+tail", [5, 8, 9, 10]), ("windows", None)]
)
def test_what_is_cut_leaves_room_for_special_tokens(bert: PretrainedTokenizer, how: str, kept: list[int]) -> None:
    encoded = encode_texts(["a b c d e f", "a b c d"], bert, "none", LongTexts(6, how))  # type: ignore[arg-type]
    rows = [row.tolist() for row in encoded.columns["input_ids"]]
    assert rows == [[2, *(kept or range(5, 11)), 3], [2, 5, 6, 7, 8, 3]]
    assert encoded.cut == [0]


def test_of_a_joined_pair_the_longer_text_gives_way_first(bert: PretrainedTokenizer) -> None:
    encoded = encode_texts([("a b c d e", "f a")], bert, "joined", LongTexts(8))
    assert encoded.columns["input_ids"][0].tolist() == [2, 5, 6, 7, 3, 10, 5, 3]
    assert encoded.columns["token_type_ids"][0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert encoded.cut == [0]


def test_each_text_of_a_siamese_pair_has_its_own(bert: PretrainedTokenizer) -> None:
    columns = encode_texts([("a", "b c")], bert, "siamese", LongTexts()).columns
    assert {name: rows[0].tolist() for name, rows in columns.items()} == {
        "input_ids": [2, 5, 3],
        "input_ids_b": [2, 6, 7, 3],
    }


def test_special_tokens_make_no_text_known(bert: PretrainedTokenizer) -> None:
    single = encode_texts(["a", "", "x y", "x a"], bert, "none", LongTexts())
    assert single.unknown.tolist() == [1, 2]
    assert unknown_shares(single.columns, bert).tolist() == [0, 1, 1, 0.5]
    assert encode_texts([("a", "b"), ("a", "")], bert, "joined", LongTexts()).unknown.tolist() == [1]


def test_a_limit_without_room_for_a_text_is_a_wrong_call(bert: PretrainedTokenizer) -> None:
    with pytest.raises(InputError, match="max_length=2 leaves no room"):
        encode_texts(["a"], bert, "none", LongTexts(2))
