from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from wenmo.data.formats import Table, csv_table, folder_table, jsonl_table, sniffed_table, text_table, tsv_table
from wenmo.data.typed_formats import HubName, hub_table, parquet_table, parse_hub_name, xlsx_table
from wenmo.errors import InputError

TableOf = Callable[[Iterable[str], str, Callable[[str], None]], Table]


def records_of(table: Table) -> list[tuple[str, list[object]]]:
    return [(record.source, list(record.cells)) for record in table.records]


def read(make: TableOf, text: str, notes: list[str] | None = None) -> list[tuple[str, list[object]]]:
    return records_of(make(text.split("\n"), "f", [].append if notes is None else notes.append))


def test_csv_lines_are_counted_true_behind_quoted_line_breaks():
    text = 'label,text\r\npos,"first\nsecond ""third"""\r\nneg,"a, b"\nneg,plain'
    assert read(csv_table, text) == [
        ("f:1", ["label", "text"]),
        ("f:2", ["pos", 'first\nsecond "third"']),
        ("f:4", ["neg", "a, b"]),
        ("f:5", ["neg", "plain"]),
    ]


def test_a_quote_that_is_never_closed_names_the_line_it_begins_on():
    with pytest.raises(InputError, match="f:3: the row that begins here is not csv"):
        read(csv_table, 'label,text\npos,good\nneg,"never closed\npos,x\npos,y')
    with pytest.raises(InputError, match="f:2: the row that begins here is not csv"):
        read(csv_table, 'label,text\npos,"Great" movie\n')


def test_tsv_knows_no_quotes():
    assert read(tsv_table, 'label\ttext\npos\t"quoted, "" text\nneg\t\'\r') == [
        ("f:1", ["label", "text"]),
        ("f:2", ["pos", '"quoted, "" text']),
        ("f:3", ["neg", "'"]),
    ]


def test_blank_lines_are_left_out_and_those_in_the_middle_are_told():
    notes: list[str] = []
    assert [source for source, _ in read(tsv_table, "label\ttext\n\npos\ta\n\n\nneg\tb\n\n", notes)] == [
        "f:1",
        "f:3",
        "f:6",
    ]
    assert notes == ["f:2: the first of 3 blank lines"]
    notes.clear()
    read(tsv_table, "label\ttext\npos\ta\n\n\n", notes)
    assert notes == []


@pytest.mark.parametrize(
    ("make", "text", "said"),
    [
        (csv_table, "label\ttext\npos\tgood, really\nneg\tbad", "commas were expected.*tabs; name the file .tsv"),
        (csv_table, "positive\tgood\nnegative\tbad, so bad", "tabs; name the file .tsv"),
        (csv_table, "label;text\npos;good\nneg;bad", "semicolons; save it again with commas"),
        (csv_table, "label\ttext", "tabs"),
        (tsv_table, "label,text\npos,good\nneg,bad", "tabs were expected.*commas; name the file .csv"),
        (tsv_table, 'label,text\npos,"good, ""really"""\nneg,bad', "commas; name the file .csv"),
    ],
)
def test_a_wrong_delimiter_is_named_with_the_way_out(make: TableOf, text: str, said: str):
    with pytest.raises(InputError, match=f"f:1: .*{said}"):
        read(make, text)


def test_one_column_of_sentences_is_not_taken_for_another_delimiter():
    text = "text\nwell, it was good\nno comma\na, b, c"
    assert len(read(tsv_table, text)) == 4
    assert len(read(csv_table, "text\nno comma\nnone\ta tab")) == 3


def test_old_macintosh_line_ends_are_named():
    with pytest.raises(InputError, match="old Macintosh"):
        read(tsv_table, "label\ttext\rpos\tgood\rneg\tbad")


def test_jsonl_numbers_and_words_keep_their_spelling():
    line = '{"a": 01, "b": "01"}'
    with pytest.raises(InputError, match="f:1: one JSON object a line"):
        read(jsonl_table, line)
    text = '{"a": 1.50, "b": 12345678901234567890, "c": true, "d": null, "e": NaN, "f": "None", "g": [1, "x", null]}'
    assert read(jsonl_table, text) == [
        ("f:1", ["1.50", "12345678901234567890", "true", None, "NaN", "None", ("1", "x")]),
    ]


def test_jsonl_columns_are_those_of_all_the_first_rows():
    assert read(jsonl_table, '{"text": "a"}\n\n{"label": "x", "text": "b"}') == [
        ("f:1", ["a", None]),
        ("f:3", ["b", "x"]),
    ]


@pytest.mark.parametrize("line", ['{"text": "a"', '["a", "b"]', '"a"', "a", "[" * 100_000])
def test_jsonl_names_the_line_that_is_no_object(line: str):
    with pytest.raises(InputError, match="f:2: one JSON object a line is wanted"):
        read(jsonl_table, '{"text": "a"}\n' + line)


def test_half_a_character_in_jsonl_becomes_u_fffd_and_is_told():
    notes: list[str] = []
    rows = read(jsonl_table, '{"text": "cut \\ud83d"}\n{"text": "\\ud83d\\ude00"}', notes)
    assert rows == [("f:1", ["cut \ufffd"]), ("f:2", ["😀"])]
    assert "1 row" in notes[0]
    rows[0][1][0].encode()  # type: ignore[attr-defined]


def test_plain_text_keeps_its_empty_lines_so_that_answers_stay_in_place():
    assert [cells for _, cells in records_of(text_table(["a", "", "b\r"], "f"))] == [["a"], [""], ["b"]]


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ('{"text": "a"}\n{"text": "b"}', ["text"], "jsonl"),
        ("label\ttext\npos\ta", None, "tsv"),
        ("pos\tgood\nneg\tbad", None, "tsv"),
        ("text\ngood\nbad", None, "tsv"),
        ("text,label\ngood,pos", None, "csv"),
        ("well, yes\nwell, no", ["text"], ""),
        ("one\ttab\nnone", ["text"], ""),
        ("{not json", None, "jsonl"),
    ],
)
def test_a_pipe_is_sniffed(text: str, columns: list[str] | None, said: str):
    notes: list[str] = []
    if text == "{not json":
        with pytest.raises(InputError):
            sniffed_table(text.split("\n"), "f", [], notes.append)
    else:
        table = sniffed_table(text.split("\n"), "f", [], notes.append)
        assert table.columns == columns
        assert len(records_of(table)) == len(text.split("\n"))
    assert notes == ([f"f is read as {said}"] if said else [])


def test_a_pipe_is_csv_when_a_column_of_it_is_asked_for():
    table = sniffed_table(["stars,what they wrote", "5,good"], "f", ["what they wrote"], [].append)
    assert [cells for _, cells in records_of(table)] == [["stars", "what they wrote"], ["5", "good"]]


def test_parquet_numbers_are_what_a_person_sees(tmp_path: Path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table(
        {
            "text": ["好", None],
            "whole": pa.array([1.0, float("nan")]),
            "half": pa.array([0.1, 0.5], pa.float32()),
            "code": ["01", "NA"],
            "number": [7, 8],
            "truth": [True, False],
            "word": pa.array(["x", "y"]).dictionary_encode(),
            "several": [["a", None, "b"], []],
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    read_table = parquet_table(tmp_path / "a.parquet")
    assert read_table.columns == table.column_names
    assert [cells for _, cells in records_of(read_table)] == [
        ["好", "1", "0.1", "01", "7", "true", "x", ("a", "b")],
        [None, None, "0.5", "NA", "8", "false", "y", ()],
    ]


def test_a_file_that_is_no_parquet_is_an_input_error(tmp_path: Path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match="not a Parquet file"):
        parquet_table(tmp_path / "a.parquet")


def write_workbook(path: Path, rows: list[list[Any]], formats: dict[str, str] | None = None) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    for cell, number_format in (formats or {}).items():
        workbook.active[cell].number_format = number_format
    workbook.save(path)
    return path


def test_workbook_cells_are_what_a_person_sees(tmp_path: Path):
    import datetime

    rows: list[list[Any]] = [["label", "text"], [1.0, "a"], [1, "b"], ["01", "NA"], [0.5, "None"], [True, "c"]]
    rows += [[], [datetime.date(2024, 5, 31), "d"], [2.5, None], [3, "e"]]
    path = write_workbook(tmp_path / "a.xlsx", rows, {"A3": "00", "A9": "0.00"})
    notes: list[str] = []
    name = str(path)
    assert records_of(xlsx_table(path, notes.append)) == [
        (f"{name}:1", ["label", "text"]),
        (f"{name}:2", ["1", "a"]),
        (f"{name}:3", ["01", "b"]),
        (f"{name}:4", ["01", "NA"]),
        (f"{name}:5", ["0.5", "None"]),
        (f"{name}:6", ["TRUE", "c"]),
        (f"{name}:8", ["2024-05-31", "d"]),
        (f"{name}:9", ["2.50", None]),
        (f"{name}:10", ["3", "e"]),
    ]
    assert notes == [f"{name}:7: a blank line was skipped"]


def test_an_empty_workbook_and_a_false_one_are_input_errors(tmp_path: Path):
    with pytest.raises(InputError, match="is empty"):
        xlsx_table(write_workbook(tmp_path / "a.xlsx", []), [].append)
    (tmp_path / "b.xlsx").write_text("label,text")
    with pytest.raises(InputError, match=r"not an \.xlsx workbook"):
        xlsx_table(tmp_path / "b.xlsx", [].append)


def test_a_folder_for_each_label_gives_its_files_in_the_order_of_their_names(tmp_path: Path):
    for name, content in {"pos/b.txt": "好\n看\n", "pos/a.txt": "好", "neg/c.txt": "差", "neg/.hidden": "x"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="gb18030" if name == "neg/c.txt" else "utf-8")
    (tmp_path / "README").write_text("about")
    notes: list[str] = []
    assert records_of(folder_table(tmp_path, None, notes.append)) == [
        (str(tmp_path / "neg" / "c.txt"), ["neg", "差"]),
        (str(tmp_path / "pos" / "a.txt"), ["pos", "好"]),
        (str(tmp_path / "pos" / "b.txt"), ["pos", "好\n看"]),
    ]
    assert "README" in notes[0]
    assert "GB18030" in notes[1]


def test_folders_that_are_something_else_are_named_as_such(tmp_path: Path):
    with pytest.raises(InputError, match="is empty"):
        folder_table(tmp_path, None, [].append)
    for part in ("train", "test"):
        (tmp_path / "parts" / part / "pos").mkdir(parents=True)
    with pytest.raises(InputError, match=r"parts of a data set.*parts.test"):
        folder_table(tmp_path / "parts", None, [].append)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.tsv.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"data files.*train\.tsv"):
        folder_table(tmp_path / "data", None, [].append)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("hf://ag_news", HubName("ag_news", None, None)),
        ("hf://ag_news/test", HubName("ag_news", None, "test")),
        ("hf://owner/name", HubName("owner/name", None, None)),
        ("hf://owner/name/rare", HubName("owner/name", None, "rare")),
        ("hf://glue:sst2/validation", HubName("glue", "sst2", "validation")),
        ("hf://owner/name:config", HubName("owner/name", "config", None)),
        ("hf://ag_news/train[:100]", HubName("ag_news", None, "train[:100]")),
        ("hf://glue:sst2/train[:1%]", HubName("glue", "sst2", "train[:1%]")),
    ],
)
def test_hub_names_are_parsed(source: str, wanted: HubName):
    assert parse_hub_name(source) == wanted


@pytest.mark.parametrize("source", ["hf://", "hf://:config", "hf://name:"])
def test_a_hub_name_without_a_name_is_refused(source: str):
    with pytest.raises(InputError, match="names no data set"):
        parse_hub_name(source)


def test_a_local_data_set_is_read_through_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "reviews"
    features = datasets.Features(
        text=datasets.Value("string"),
        label=datasets.ClassLabel(names=["neg", "pos"]),
        tags=datasets.Sequence(datasets.ClassLabel(names=["a", "b"])),
    )
    rows = {"text": ["差", "好", "?"], "label": [0, 1, -1], "tags": [[0, 1], [], [1]]}
    parts = {"train": rows, "test": {key: values[:1] for key, values in rows.items()}}
    for part, columns in parts.items():
        folder.mkdir(exist_ok=True)
        datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / f"{part}.parquet")
    notes: list[str] = []
    table = hub_table(f"hf://{folder}", notes.append)
    assert table.columns == ["text", "label", "tags"]
    assert [cells for _, cells in records_of(table)] == [
        ["差", "neg", ("a", "b")],
        ["好", "pos", ()],
        ["?", None, ("b",)],
    ]
    assert "'train' is read" in notes[0]
    assert len(records_of(hub_table(f"hf://{folder}/test", notes.append))) == 1
    with pytest.raises(InputError, match="cannot be loaded"):
        hub_table(f"hf://{folder}/validation", notes.append)


def test_without_datasets_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(InputError, match=r'pip install "wenmo\[hf\]"'):
        hub_table("hf://ag_news", [].append)


def test_without_openpyxl_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(InputError, match=r'pip install "wenmo\[xlsx\]"'):
        xlsx_table(tmp_path / "a.xlsx", [].append)


def test_a_class_that_the_hub_does_not_know_is_no_label_also_in_a_list() -> None:
    import pyarrow as pa

    from wenmo.data.typed_formats import _class_names

    names = _class_names(["a", "b"])
    assert names(pa.array([1, -1])) == ["b", None]
    assert names(pa.array([[0, -1], [1], []])) == [("a",), ("b",), ()]
