"""CoNLL files as they are found, and as they are not: every error names its line."""

import gzip
from pathlib import Path

import pytest

from wenmo.data.conll import is_conll, print_conll, read_conll, separator_of, write_conll
from wenmo.errors import InputError

ENGLISH = "EU B-ORG\nrejects O\n\nPeter B-PER\nBlackburn I-PER\n"


def file(folder: Path, text: str | bytes, name: str = "train.conll") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_words_tags_and_the_line_of_the_first_token(tmp_path: Path) -> None:
    path = file(tmp_path, ENGLISH)
    found = read_conll(path)
    assert [row.words for row in found.rows] == [("EU", "rejects"), ("Peter", "Blackburn")]
    assert [row.tags for row in found.rows] == [("B-ORG", "O"), ("B-PER", "I-PER")]
    assert [row.source for row in found.rows] == [f"{path}:1", f"{path}:4"]
    assert found.rows[0].text == "EU rejects"


def test_chinese_words_are_put_together_without_spaces(tmp_path: Path) -> None:
    found = read_conll(file(tmp_path, "北 B-LOC\n京 I-LOC\n1 O\n9 O\n"))
    assert found.rows[0].text == "北京19"
    assert separator_of([["I", "saw", "北"], ["Bonn"]]) == " "


@pytest.mark.parametrize(
    "text",
    [
        "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\nBlackburn\tI-PER\n",
        "EU B-ORG\r\nrejects O\r\n\r\nPeter B-PER\r\nBlackburn I-PER\r\n",
        "\n\nEU   B-ORG\nrejects \t O\n \n\nPeter B-PER\nBlackburn I-PER".replace("\t", " "),
        "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\nPeter NNP B-PER\nBlackburn NNP I-PER\n",
        "\ufeff" + ENGLISH,
    ],
)
def test_the_same_sentences_however_they_are_written(text: str, tmp_path: Path) -> None:
    wanted = read_conll(file(tmp_path, ENGLISH, "plain.conll")).rows
    found = read_conll(file(tmp_path, text)).rows
    assert [(row.words, row.tags) for row in found] == [(row.words, row.tags) for row in wanted]


def test_packed_files_are_read(tmp_path: Path) -> None:
    path = file(tmp_path, gzip.compress(ENGLISH.encode()), "train.conll.gz")
    assert len(read_conll(path).rows) == 2
    assert is_conll(path) and is_conll("a.BIO") and not is_conll("a.tsv.gz") and not is_conll("-")


def test_another_column_can_be_asked_for(tmp_path: Path) -> None:
    path = file(tmp_path, "EU NNP B-NP B-ORG\n")
    assert read_conll(path, tag_column=2).rows[0].tags == ("NNP",)
    with pytest.raises(InputError, match=r"train\.conll:1: data\.tag_column=5, but the line has 4 columns"):
        read_conll(path, tag_column=5)
    with pytest.raises(InputError, match="the first is the token"):
        read_conll(path, tag_column=1)


def test_tabs_keep_tokens_with_spaces_and_a_no_break_space_parts_nothing(tmp_path: Path) -> None:
    assert read_conll(file(tmp_path, "1 1/2\tCD\n")).rows[0].words == ("1 1/2",)
    assert read_conll(file(tmp_path, "1\u00a01/2 CD\n\u3000 O\n".replace("\u3000 O\n", ""))).rows[0].words == (
        "1\u00a01/2",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("EU B-ORG\nrejects\n", r"train\.conll:2: 1 column, but the first token's line has 2"),
        ("EU B-ORG\n\nthe new thing O\n", r"train\.conll:3: 4 columns, but the first token's line has 2"),
        ("EU\nrejects\n", r"train\.conll:1: one column, but a token and its tag are wanted"),
        ("EU\tB-ORG\n\tO\n", r"train\.conll:2: the token is empty"),
        ("EU\tB-ORG\nrejects\t\n", r"train\.conll:2: the tag is empty"),
        ("\n\n", "holds no token"),
        (b"caf\xe9 O\nna\xefve O\n", r"train\.conll:1: the byte 0xE9 at offset 3 is not UTF-8"),
        (b"a O\n\x00b O\n", r"train\.conll:2: a NUL byte"),
    ],
)
def test_what_cannot_be_read_says_where_and_why(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_conll(file(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.conll does not exist"):
        read_conll(tmp_path / "no.conll")


def test_tokens_alone_are_enough_where_nothing_is_learnt(tmp_path: Path) -> None:
    found = read_conll(file(tmp_path, "EU\nrejects\n\nBonn\n"), require_tags=False).rows
    assert [(row.words, row.tags) for row in found] == [(("EU", "rejects"), None), (("Bonn",), None)]


@pytest.mark.parametrize("name", ["out.conll", "out.conll.gz"])
def test_what_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    sentences = [(("北", "京"), ("B-LOC", "I-LOC")), (("👩‍🚀", "é"), ("O", "O"))]
    assert write_conll(tmp_path / name, sentences) == 2
    assert [(row.words, row.tags) for row in read_conll(tmp_path / name).rows] == sentences
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_white_space_in_a_token_cannot_break_the_columns(tmp_path: Path) -> None:
    with (tmp_path / "out.conll").open("w") as out:
        assert print_conll(out, [(("New York",), ("B-LOC",))]) == 1
    assert (tmp_path / "out.conll").read_text() == "New_York B-LOC\n\n"


def test_real_data_sets_have_as_many_sentences_as_they_should(data_folder: Path) -> None:
    assert len(read_conll(data_folder / "conll2003/dev.conll").rows) == 3250
    msra = read_conll(data_folder / "msra_ner/dev.conll").rows
    assert len(msra) == 4636 and " " not in msra[0].text
