"""Words and their characters as tensors."""

import pytest

from wenmo.data.conll import place_of
from wenmo.data.rows import Row
from wenmo.errors import InputError
from wenmo.tasks.tag_sets import choose_word_segmenter, labels_of, words_of
from wenmo.tasks.words import MOST_CHARACTERS, Characters, known_characters


def test_characters_have_ids_and_unknown_ones_share_one() -> None:
    characters = Characters("ba𠮷")
    ids, sizes = characters.encode(["ab", "", "a𠮷x"])
    assert ids.tolist() == [3, 2, 3, 4, 1] and sizes.tolist() == [2, 0, 3]
    assert Characters("").encode(["ab"])[0].tolist() == [1, 1]


def test_a_word_is_looked_at_up_to_a_limit() -> None:
    ids, sizes = Characters("a").encode(["a" * (MOST_CHARACTERS + 9)])
    assert len(ids) == sizes.tolist()[0] == MOST_CHARACTERS


def test_rare_characters_are_not_known() -> None:
    assert known_characters([("banana", "b"), ("x",)]) == "abn"


def row(words: list[str], between: str = " ") -> Row:
    return Row(text=between.join(words), words=tuple(words), source="f.conll:7")


@pytest.mark.parametrize(
    ("words", "between", "name"),
    [
        (["Mr.", "Smith", "won", "6-2", "on", "1996-08-31"], " ", "treebank"),
        (["It", "'s", "well", "-", "known"], " ", "words"),
        (["在", "2", "0", "2", "1", "年"], "", "graphemes"),
        (["在", "2021", "年"], "", "words"),
    ],
)
def test_raw_texts_will_be_cut_as_the_data_is(words: list[str], between: str, name: str) -> None:
    assert choose_word_segmenter([row(words, between)] * 3) == name


def test_a_token_has_a_line() -> None:
    assert place_of(row(["a", "b"]), 1) == "f.conll:8"
    assert place_of(Row(text="a", source="standard input"), 3) == "standard input"


def test_labels_are_those_of_the_types_or_the_plain_tags() -> None:
    assert labels_of([["O", "B-PER"]], "BIO") == ("O", "B-PER", "I-PER")
    assert labels_of([["NN", "DT"]], "none") == ("DT", "NN")


def test_a_text_without_words_is_refused() -> None:
    with pytest.raises(InputError, match=r"f\.conll:1: no words"):
        words_of(Row(text="a", source="f.conll:1"))
