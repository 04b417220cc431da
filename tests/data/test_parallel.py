"""Texts and what they shall become: tables with two columns, and files whose lines belong together."""

from pathlib import Path

import pytest

from wenmo.data.parallel import read_parallel, stream_texts
from wenmo.errors import InputError


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_table_has_source_and_target(tmp_path):
    table = write(tmp_path / "t.tsv", 'source\ttarget\nA dog.\t["Ein Hund."]\nNo target\t\nA cat.\tEine Katze.\n')
    found = read_parallel(table)
    assert [(row.text, row.target, row.label, row.text_b) for row in found.rows] == [
        ("A dog.", '["Ein Hund."]', None, None),
        ("A cat.", "Eine Katze.", None, None),
    ]
    assert found.rows[1].source == f"{table}:4"
    assert [each.source for each in found.dropped] == [f"{table}:3"]


def test_columns_may_have_other_names(tmp_path):
    table = write(tmp_path / "t.csv", "en,de,id\nA dog.,Ein Hund.,1\n")
    found = read_parallel(table, text_column="en", text_b_column="de")
    assert (found.rows[0].text, found.rows[0].target) == ("A dog.", "Ein Hund.")
    with pytest.raises(InputError, match="no column 'source'"):
        read_parallel(table)


def test_the_nth_lines_of_two_files_belong_together(tmp_path):
    english = write(tmp_path / "a.en", "A dog.\r\n\nA cat.\u2028So\n")
    chinese = write(tmp_path / "a.zh", "一只狗。\n空\n一只猫。\n")
    found = read_parallel(english, chinese)
    assert [(row.text, row.target) for row in found.rows] == [("A dog.", "一只狗。"), ("A cat.\u2028So", "一只猫。")]
    assert [(each.source, each.reason) for each in found.dropped] == [(f"{english}:2", "the text is empty")]


@pytest.mark.parametrize(("lines", "place"), [((3, 2), "a.en:3"), ((1, 2), "a.de:2")])
def test_files_of_unequal_length_are_refused_with_the_line(lines, place, tmp_path):
    files = [write(tmp_path / f"a.{end}", "x\n" * count) for end, count in zip(("en", "de"), lines, strict=True)]
    with pytest.raises(InputError, match=f"{place}: .* has only {min(lines)} lines"):
        read_parallel(*files)


def test_bytes_that_are_no_text_are_refused_with_the_line(tmp_path):
    target = write(tmp_path / "a.de", b"gut\n\xff\xfe\xfa\x80\n")
    with pytest.raises(InputError, match=r"a\.de.*(encoding|UTF-8)"):
        read_parallel(write(tmp_path / "a.en", "a\nb\n"), target, encoding="utf-8")


@pytest.mark.parametrize("name", ["a.en", "a.txt", "a.txt.gz"])
def test_a_file_of_texts_alone_is_asked_for_its_targets(name, tmp_path):
    with pytest.raises(InputError, match="where are its targets"):
        read_parallel(write(tmp_path / name, "a\n"))


def test_texts_are_the_lines_of_a_file_or_the_column_of_a_table(tmp_path):
    lines = write(tmp_path / "a.en", "one\ttwo\r\n\nthree\n")
    assert list(stream_texts(lines)) == ["one\ttwo", "", "three"]
    table = write(tmp_path / "a.tsv", "target\tsource\tother\nein\tone\t1\nzwei\ttwo\t2\n")
    assert list(stream_texts(table)) == ["one", "two"]
    assert list(stream_texts(table, text_column="other")) == ["1", "2"]
    with pytest.raises(InputError, match="is no table"):
        list(stream_texts(lines, text_column="source"))


def test_files_without_a_pair_are_refused(tmp_path):
    with pytest.raises(InputError, match="has a text on both sides"):
        read_parallel(write(tmp_path / "a.en", "a\n\n"), write(tmp_path / "a.de", "\nb\n"))
    with pytest.raises(InputError, match="standard input"):
        read_parallel("-", "-")
