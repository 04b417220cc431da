"""Which file is which part of a data set."""

from pathlib import Path

import pytest

from wenmo.data.parts import check, name_parts
from wenmo.errors import InputError
from wenmo.text.tokenizers import TokenizerConfig


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["reviews.tsv"], ["train"]),
        (["train.tsv", "dev.tsv", "test.tsv"], ["train", "dev", "test"]),
        (["test.csv", "a_train.csv", "valid.csv"], ["train", "dev", "test"]),
        (["reviews.tsv", "reviews-dev.tsv.gz", "reviews.test.jsonl"], ["train", "dev", "test"]),
        (["latest.tsv", "devices.tsv"], ["train", "devices"]),  # "test" and "dev" only as words
        (["train.tsv", "test.tsv", "test_unseen.tsv"], ["train", "test", "test_unseen"]),
        (["dev.tsv", "more.tsv"], ["dev", "more"]),
        (["-"], ["train"]),
        (["hf://imdb/train", "hf://imdb/test"], ["train", "test"]),
    ],
)
def test_the_words_in_a_name_say_which_part_it_is(files, names):
    assert list(name_parts(tuple(files), {})) == names


def test_a_part_given_by_name_needs_no_telling_name():
    assert name_parts(("b.tsv",), {"train": "a.tsv"}) == {"train": "a.tsv", "b": "b.tsv"}


def test_two_files_for_one_part_are_refused():
    with pytest.raises(InputError, match=r"a/test\.tsv: --test b\.tsv is given too"):
        name_parts(("a/test.tsv",), {"test": "b.tsv"})
    with pytest.raises(InputError, match="say which is which"):
        name_parts(("a/train.tsv", "b/train.tsv"), {})


def test_a_folder_gives_its_parts_and_leaves_other_files_alone(tmp_path):
    for name in ("train.tsv", "dev.tsv.gz", "test.jsonl", "test_unseen.tsv", "README.md", "train.log"):
        (tmp_path / name).touch()
    parts = name_parts((tmp_path,), {})
    assert {name: Path(path).name for name, path in parts.items()} == {
        "train": "train.tsv",
        "dev": "dev.tsv.gz",
        "test": "test.jsonl",
    }


def test_a_folder_with_a_folder_for_each_label_is_one_source(tmp_path):
    folder = tmp_path / "reviews"
    for label in ("good", "bad"):
        (folder / label).mkdir(parents=True)
        (folder / label / "one.txt").write_text(f"a {label} film", encoding="utf-8")
    assert name_parts((folder,), {}) == {"train": folder}
    assert check(folder).parts["train"].labels == {"bad": 1, "good": 1}


def test_the_tokenizer_is_trained_on_train_and_can_be_chosen(tmp_path):
    train, test = tmp_path / "train.tsv", tmp_path / "test.tsv"
    train.write_text("label\ttext\n" + "a\tgood film\nb\tbad film\n" * 5, encoding="utf-8")
    test.write_text("label\ttext\na\txyzzy\n", encoding="utf-8")
    kinds = {finding.kind for finding in check(train, test).findings}
    assert "unknown_texts" in kinds
    characters = check(train, tokenizer=TokenizerConfig(segmenter="characters", character_ngrams=(1, 1)))
    words = check(train)
    assert characters.parts["train"].tokens.max > words.parts["train"].tokens.max == 2


def test_nothing_to_check_says_how_to_name_something():
    with pytest.raises(InputError, match=r"wenmo check train\.tsv test\.tsv"):
        check()


def test_texts_with_their_translation_are_checked_as_pairs(tmp_path):
    table = tmp_path / "pairs.tsv"
    table.write_text("source\ttarget\na dog\tein Hund\na cat\teine Katze\na dog\tein Hund\n", encoding="utf-8")
    report = check(table)
    assert report.parts["train"].rows == 3
    assert [(each.kind, each.count) for each in report.findings] == [("duplicates", 1)]


def test_a_text_without_labels_is_checked_line_by_line(tmp_path):
    text = tmp_path / "novel.txt"
    text.write_text("It was a dark night.\n\nIt rained.\n", encoding="utf-8")
    part = check(text).parts["train"]
    assert (part.rows, part.dropped, part.labels) == (2, 1, {})
