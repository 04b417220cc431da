import gzip
import io
import logging
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from wenmo.data.readers import read_rows, stream_rows
from wenmo.data.rows import Dropped, Row
from wenmo.errors import InputError

REVIEWS = [("pos", "好看，下次再买"), ("neg", "太差了"), ("pos", "very good, really")]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def labelled(rows: list[Row]) -> list[tuple[Any, str]]:
    return [(row.label, row.text) for row in rows]


def write_reviews(path: Path) -> Path:
    """The same three reviews in the format that the name of the file asks for."""
    ending = "".join(path.suffixes)
    if ending.startswith(".csv"):
        content = "label,text\r\n" + "".join(f'{label},"{text}"\r\n' for label, text in REVIEWS)
    elif ending.startswith(".tsv"):
        content = "label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in REVIEWS)
    elif ending.startswith(".jsonl"):
        content = "".join(f'{{"label": "{label}", "text": "{text}"}}\n' for label, text in REVIEWS)
    elif ending == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        labels, texts = zip(*REVIEWS, strict=True)
        parquet.write_table(pa.table({"label": labels, "text": texts}), path)
        return path
    else:
        import openpyxl

        workbook = openpyxl.Workbook()
        for row in [("label", "text"), *REVIEWS]:
            workbook.active.append(row)
        workbook.save(path)
        return path
    packed = content.encode()
    if ending.endswith(".gz"):
        packed = gzip.compress(packed)
    if ending.endswith(".zst"):
        import zstandard

        packed = zstandard.ZstdCompressor().compress(packed)
    path.write_bytes(packed)
    return path


ENDINGS = ["csv", "tsv", "jsonl", "csv.gz", "tsv.gz", "jsonl.gz", "csv.zst", "tsv.zst", "jsonl.zst", "parquet", "xlsx"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_gives_the_same_rows(tmp_path: Path, ending: str):
    path = write_reviews(tmp_path / f"reviews.{ending}")
    result = read_rows(path)
    assert labelled(result.rows) == REVIEWS
    assert result.columns == {"text": "text", "label": "label"}
    assert (result.notes, result.dropped) == ([], [])
    first_line = 1 if ending.startswith(("jsonl", "parquet")) else 2
    assert [row.source for row in result.rows] == [f"{path}:{first_line + number}" for number in range(3)]
    assert list(stream_rows(path)) == result.rows


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "gb18030"])
def test_a_csv_file_of_a_chinese_spreadsheet_is_read_with_its_chinese_column_names(tmp_path: Path, codec: str):
    result = read_rows(write(tmp_path / "a.csv", "标签,评论\r\n好评,很好\r\n差评,不好\r\n", codec))
    assert labelled(result.rows) == [("好评", "很好"), ("差评", "不好")]
    assert result.columns == {"text": "评论", "label": "标签"}
    assert any("GB18030" in note for note in result.notes) == (codec == "gb18030")


def test_column_names_are_found_whatever_their_case(tmp_path: Path):
    result = read_rows(write(tmp_path / "a.csv", "ID,Sentiment,Review\n7,pos,good\n8,neg,bad\n"))
    assert result.columns == {"text": "Review", "label": "Sentiment"}
    assert labelled(result.rows) == [("pos", "good"), ("neg", "bad")]


def test_columns_can_be_named(tmp_path: Path):
    path = write(tmp_path / "a.tsv", "text\tlabel\tstars\tbody\tshop\tday\nx\ty\t5\tgood\tA\t2024-01-01\n")
    result = read_rows(path, text_column="BODY", label_column="stars", group_column="shop", time_column="day")
    assert result.rows == [Row("good", "5", None, "A", "2024-01-01", f"{path}:2")]
    assert result.columns == {"text": "body", "label": "stars", "group": "shop", "time": "day"}


def test_a_wrong_column_name_names_the_nearest_and_lists_all(tmp_path: Path):
    path = write(tmp_path / "a.csv", "text,label,id\na,b,1\n")
    with pytest.raises(
        InputError, match=r"has no column 'lable'; did you mean 'label'\? There are 'text', 'label', 'id'"
    ):
        read_rows(path, label_column="lable")
    with pytest.raises(InputError, match="has no column '分类'"):
        read_rows(path, group_column="分类")


def test_columns_that_cannot_be_found_are_listed_with_the_option_that_names_them(tmp_path: Path):
    with pytest.raises(InputError, match=r"which column is the text.*'a', 'b', 'c'; name it with text_column"):
        read_rows(write(tmp_path / "a.csv", "a,b,c\n1,2,3\n"))
    with pytest.raises(InputError, match=r"which column is the label.*--label-column"):
        read_rows(write(tmp_path / "b.csv", "text,b,c\n1,2,3\n"))
    with pytest.raises(InputError, match="two columns are named 'text'"):
        read_rows(write(tmp_path / "c.csv", "text,text,label\n1,2,3\n"))


def test_several_columns_that_could_be_the_label_are_noted(tmp_path: Path):
    result = read_rows(write(tmp_path / "a.csv", "category,label,text\nbook,pos,good\n"))
    assert result.columns["label"] == "label"
    assert "'label' is read as the label, not 'category'" in result.notes[0]


def test_the_only_column_left_is_taken_and_noted(tmp_path: Path):
    result = read_rows(write(tmp_path / "a.csv", "label,what they wrote\npos,good\n"))
    assert result.rows[0].text == "good"
    assert "only one left" in result.notes[0]


def test_pairs_are_found_and_can_be_named(tmp_path: Path):
    path = write(tmp_path / "a.tsv", "label\tsentence1\tsentence2\n1\ta\tb\n0\tc\td\n")
    assert [(row.text, row.text_b) for row in read_rows(path).rows] == [("a", "b"), ("c", "d")]
    swapped = read_rows(path, text_column="sentence2", text_b_column="sentence1")
    assert [(row.text, row.text_b) for row in swapped.rows] == [("b", "a"), ("d", "c")]
    alone = read_rows(path, text_column="sentence2")
    assert [(row.text, row.text_b) for row in alone.rows] == [("b", None), ("d", None)]


def test_a_file_without_column_names_loses_no_row_and_is_noted(tmp_path: Path):
    path = write(tmp_path / "a.tsv", "positive\t很好\nnegative\t太差\npositive\t不错\n")
    result = read_rows(path)
    assert labelled(result.rows) == [("positive", "很好"), ("negative", "太差"), ("positive", "不错")]
    assert "taken for label and text" in result.notes[0]
    turned = read_rows(write(tmp_path / "b.tsv", "很好\tpositive\n太差\tnegative\n不错\tpositive\n"))
    assert labelled(turned.rows) == labelled(result.rows)


def test_names_that_are_unknown_are_not_mistaken_for_a_row(tmp_path: Path):
    with pytest.raises(InputError, match=r"'stars', 'what they wrote'.*add a first line with names"):
        read_rows(write(tmp_path / "a.csv", "stars,what they wrote,id\n5,good,1\n4,well,2\n5,better,3\n"))


def test_three_columns_without_names_want_names(tmp_path: Path):
    path = write(tmp_path / "a.tsv", "a\tb\t1\nc\td\t0\ne\tf\t1\n")
    with pytest.raises(InputError, match=r"a\.tsv:1: this line seems to be data.*add a first line"):
        read_rows(path)


def test_a_known_name_that_is_the_first_rows_label_is_data(tmp_path: Path):
    path = write(tmp_path / "a.tsv", "question\twho are you\nanswer\tI am\nquestion\twhy\n")
    assert labelled(read_rows(path).rows)[0] == ("question", "who are you")


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_ragged_row_is_an_error_with_its_line_and_the_way_out(tmp_path: Path, ending: str):
    separator = "," if ending == "csv" else "\t"
    lines = ["label,text", *["pos,good"] * 30, "pos,too,many"]
    path = write(tmp_path / f"a.{ending}", "\n".join(lines).replace(",", separator))
    fix = "between double quotes" if ending == "csv" else "replace the tab inside the text, or use csv or jsonl"
    with pytest.raises(InputError, match=rf":32: 3 columns, but the header has 2 \(label, text\); .*{fix}"):
        read_rows(path)
    path = write(tmp_path / f"b.{ending}", "\n".join([*lines[:-1], "few"]).replace(",", separator))
    with pytest.raises(InputError, match=":32: 1 column, but the header has 2"):
        read_rows(path)


LABELS = ["01", "1", "NA", "None", "0.5", "true", "null", "nan", "1e3", "-", "[1]", "1,000"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet", "xlsx"])
def test_labels_are_never_turned_into_something_else(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules[__name__], "REVIEWS", [(label, "text") for label in LABELS])
    if ending == "csv":
        text = "label,text\n" + "".join(f'"{label}",text\n' for label in LABELS)
        path = write(tmp_path / "a.csv", text)
    else:
        path = write_reviews(tmp_path / f"a.{ending}")
    assert [row.label for row in read_rows(path).rows] == LABELS


def test_numbers_of_jsonl_are_labels_as_they_are_written(tmp_path: Path):
    path = write(
        tmp_path / "a.jsonl", "".join(f'{{"text": "x", "label": {n}}}\n' for n in ("1", "1.0", "0.50", "true"))
    )
    assert [row.label for row in read_rows(path).rows] == ["1", "1.0", "0.50", "true"]


def test_white_space_around_a_label_is_cut_off_and_told(tmp_path: Path):
    result = read_rows(write(tmp_path / "a.tsv", "label\ttext\n pos \t a \npos\tb\n"))
    assert labelled(result.rows) == [("pos", " a "), ("pos", "b")]
    assert "a.tsv:2: the first of 1 label" in result.notes[0]


def test_several_labels_come_from_lists_and_separators(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", '{"text": "x", "label": ["a", "b", "a"]}\n{"text": "y", "label": "c"}\n'
                                       '{"text": "z", "label": []}\n')  # fmt: skip
    assert labelled(read_rows(path).rows) == [(("a", "b"), "x"), (("c",), "y"), ((), "z")]
    path = write(tmp_path / "a.tsv", 'label\ttext\n["a", "b"]\tx\nc\ty\n')
    assert labelled(read_rows(path).rows) == [(("a", "b"), "x"), (("c",), "y")]
    path = write(tmp_path / "b.tsv", "label\ttext\na; b;\tx\nc\ty\n;\tz\n")
    result = read_rows(path, label_separator=";")
    assert labelled(result.rows) == [(("a", "b"), "x"), (("c",), "y")]
    assert result.dropped == [Dropped(f"{path}:4", "no label")]


def test_rows_without_a_text_or_label_are_counted_and_named(tmp_path: Path):
    path = write(tmp_path / "a.csv", 'label,text\npos,a\n,b\nneg,\n"  ",c\nneg,　\nneg,d\n')
    result = read_rows(path)
    assert labelled(result.rows) == [("pos", "a"), ("neg", "d")]
    assert result.dropped == [
        Dropped(f"{path}:3", "no label"),
        Dropped(f"{path}:4", "no text"),
        Dropped(f"{path}:5", "no label"),
        Dropped(f"{path}:6", "no text"),
    ]
    without = read_rows(path, require_label=False)
    assert [row.text for row in without.rows] == ["a", "b", "c", "d"]


def test_missing_values_of_jsonl_and_parquet_are_dropped_rows(tmp_path: Path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = write(tmp_path / "a.jsonl", '{"text": "a", "label": "x"}\n{"text": null, "label": "x"}\n{"text": "b"}\n')
    assert [entry.reason for entry in read_rows(path).dropped] == ["no text", "no label"]
    parquet.write_table(pa.table({"text": ["a", None, "b"], "label": [1.0, 2.0, None]}), tmp_path / "a.parquet")
    result = read_rows(tmp_path / "a.parquet")
    assert labelled(result.rows) == [("1", "a")]
    assert [entry.reason for entry in result.dropped] == ["no text", "no label"]


def test_a_pair_without_its_second_text_is_dropped(tmp_path: Path):
    result = read_rows(write(tmp_path / "a.tsv", "label\ttext_a\ttext_b\n1\ta\t\n1\ta\tb\n"))
    assert [entry.reason for entry in result.dropped] == ["no second text"]


@pytest.mark.parametrize(("name", "text"), [("a.csv", ""), ("a.tsv", "\n\n"), ("a.jsonl", ""), ("a.txt", "")])
def test_an_empty_file_is_an_error(tmp_path: Path, name: str, text: str):
    path = write(tmp_path / name, text)
    with pytest.raises(InputError, match=f"{name} is empty"):
        read_rows(path)
    with pytest.raises(InputError, match=f"{name} is empty"):
        list(stream_rows(path))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_file_of_column_names_alone_is_an_error(tmp_path: Path, name: str):
    path = write(tmp_path / name, "label,text\n".replace(",", "," if "csv" in name else "\t"))
    with pytest.raises(InputError, match="has column names and no rows"):
        read_rows(path)
    with pytest.raises(InputError, match="has column names and no rows"):
        list(stream_rows(path))


def test_a_file_in_which_no_row_can_be_used_is_an_error(tmp_path: Path):
    with pytest.raises(InputError, match=r"none of its 2 rows can be used \(no label, no text\); the first is .*:2"):
        read_rows(write(tmp_path / "a.csv", "label,text\n,a\nb,\n"))


def test_a_text_that_is_a_list_or_an_object_is_refused_with_its_line(tmp_path: Path):
    for value in ('["a", "b"]', '{"zh": "a"}'):
        path = write(tmp_path / "a.jsonl", f'{{"text": "a", "label": "x"}}\n{{"text": {value}, "label": "x"}}\n')
        with pytest.raises(InputError, match=r"a\.jsonl:2: a string was expected"):
            read_rows(path)


def test_plain_text_has_no_labels_and_one_text_a_line(tmp_path: Path):
    path = write(tmp_path / "a.txt", "好看\n\n一\t二\n")
    assert [row.text for row in read_rows(path, require_label=False).rows] == ["好看", "一\t二"]
    with pytest.raises(InputError, match=r"has texts and no labels.*\.tsv"):
        read_rows(path)


def test_streams_keep_a_place_for_every_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = write(tmp_path / "a.txt", "a\n\n \nb\n")
    with caplog.at_level(logging.WARNING):
        assert [row.text for row in stream_rows(path)] == ["a", "", " ", "b"]
    assert "a.txt:2: the first of 2 rows without text" in caplog.text
    table = write(tmp_path / "a.csv", "id,text\n1,a\n2,\n3,b\n")
    assert [row.text for row in stream_rows(table)] == ["a", "", "b"]


def test_a_single_column_needs_no_name_for_prediction(tmp_path: Path):
    assert [row.text for row in stream_rows(write(tmp_path / "a.csv", "text\na\nb\n"))] == ["a", "b"]
    assert [row.text for row in stream_rows(write(tmp_path / "b.tsv", "first, one\nsecond\n"))] == [
        "first, one",
        "second",
    ]
    named = write(tmp_path / "c.tsv", "their words\na\nb\n")
    assert [row.text for row in stream_rows(named, text_column="their words")] == ["a", "b"]


def test_streaming_a_table_needs_flat_memory(tmp_path: Path):
    with gzip.open(tmp_path / "a.tsv.gz", "wt", compresslevel=1) as file:
        file.write("label\ttext\n")
        file.writelines(f"pos\tthe text of row {number}, and so on and on\n" for number in range(150_000))
    tracemalloc.start()
    try:
        count = sum(1 for _ in stream_rows(tmp_path / "a.tsv.gz"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 150_000
    assert peak < 12_000_000  # as a list, these rows take 50 MB


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("好看\n难看\n", [(None, "好看"), (None, "难看")]),
        ("label\ttext\npos\t好看\n", [("pos", "好看")]),
        ("text,label\n好看,pos\n", [("pos", "好看")]),
        ('{"text": "好看"}\n', [(None, "好看")]),
    ],
)
def test_standard_input_is_read_as_what_it_looks_like(monkeypatch: pytest.MonkeyPatch, content: str, wanted: list[Any]):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content.encode()))))  # type: ignore[type-var]
    rows = list(stream_rows("-"))
    assert labelled(rows) == wanted
    assert rows[0].source.startswith("standard input:")


def test_a_folder_for_each_label_is_a_source(tmp_path: Path):
    for label, text in (("pos", "好"), ("neg", "差")):
        (tmp_path / label).mkdir()
        write(tmp_path / label / "1.txt", text)
    assert labelled(read_rows(tmp_path).rows) == [("neg", "差"), ("pos", "好")]


def test_sources_that_are_not_there_or_not_known_are_input_errors(tmp_path: Path):
    write(tmp_path / "reviews.tsv", "label\ttext\n")
    with pytest.raises(InputError, match=r"does not exist; did you mean .*reviews\.tsv"):
        read_rows(tmp_path / "review.tsv")
    with pytest.raises(InputError, match=r"the ending '\.doc' is not known; wenmo reads \.csv"):
        read_rows(write(tmp_path / "a.doc", ""))
    with pytest.raises(InputError, match="only text formats are read packed"):
        read_rows(write(tmp_path / "a.parquet.gz", ""))
    with pytest.raises(InputError, match="is for text files"):
        read_rows(write(tmp_path / "a.xlsx", ""), encoding="utf-8")


def test_a_nul_byte_and_a_wrong_delimiter_reach_the_reader(tmp_path: Path):
    with pytest.raises(InputError, match=r"a\.tsv:2: a NUL byte"):
        read_rows(write(tmp_path / "a.tsv", "label\ttext\npos\ta\0b\n"))
    with pytest.raises(InputError, match=r"tabs; name the file \.tsv"):
        read_rows(write(tmp_path / "a.csv", "label\ttext\npos\ta\nneg\tb\n"))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_a_row_of_ten_megabytes_is_read_whole_and_noted(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules[__name__], "REVIEWS", [("pos", "x" * 10_000_000), ("neg", "y")])
    result = read_rows(write_reviews(tmp_path / f"a.{ending}"))
    assert [len(row.text) for row in result.rows] == [10_000_000, 1]
    assert len(result.notes) == 1
    assert "characters" in result.notes[0]


def test_published_data_sets_are_read_to_the_last_row(data_folder: Path):
    for name, rows, labels in [
        ("chnsenticorp/train.tsv", 9_600, 2),
        ("mr/all.tsv", 10_662, 2),
        ("trec/train.tsv", 5_452, 6),
        ("online_shopping_10_cats/all.tsv.gz", 62_773, 2),
        ("afqmc/dev.tsv", 4_316, 2),
    ]:
        result = read_rows(data_folder / name)
        assert (len(result.rows), len({row.label for row in result.rows})) == (rows, labels)
        assert result.dropped == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("texts.jsonl", '{"text": "good"}\n{"text": ""}\n{"text": "bad"}\n'),
        ("texts.csv", 'text\ngood\n""\nbad\n'),
    ],
)
def test_an_empty_text_alone_in_its_row_keeps_its_place_among_the_others(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert [row.text for row in stream_rows(tmp_path / name)] == ["good", "", "bad"]
