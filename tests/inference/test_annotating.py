"""Words, phrases and entities in texts: lists, taggers and parts of speech together."""

import json
import pickle
from pathlib import Path

import pytest

import wenmo
from wenmo.errors import InputError
from wenmo.inference.annotating import FolderTagger, annotate_file, make_annotator
from wenmo.text.spans import ENTITY, PHRASE, WORD

TEXT = "张华在北京大学学习。"


def found(text: str, **asked) -> list[tuple[str, int, str]]:
    (annotated,) = wenmo.annotate(text, **asked)
    return [(text[unit.start : unit.end], unit.level, unit.kind) for unit in annotated.units]


def tagger_on(sentences: str, folder: Path) -> Path:
    """A tagger that knows some sentences by heart."""
    path = folder / "train.conll"
    path.write_text(sentences * 8, encoding="utf-8")
    overrides = ["model.embedding_size=12", "model.num_units=12", "training.max_epochs=12", "training.batch_size=4"]
    overrides.append("training.learning_rate=0.05")
    wenmo.train(path, dev=path, model="bilstm", out=folder / "tagger", overrides=overrides)
    return folder / "tagger"


def conll(tagged: str) -> str:
    return "".join(f"{token.replace('/', ' ')}\n" for token in tagged.split()) + "\n"


def test_without_anything_parts_of_speech_tell():
    entities = [(text, kind) for text, level, kind in found(TEXT) if level == ENTITY]
    assert entities == [("张华", "person"), ("北京大学", "organisation")]
    assert {level for _, level, _ in found(TEXT)} == {WORD, ENTITY}


def test_lists_are_right_before_parts_of_speech(tmp_path: Path):
    pytest.importorskip("ahocorasick")
    (tmp_path / "clubs.txt").write_text("在北京大学\n学\n", encoding="utf-8")
    (tmp_path / "sayings.txt").write_text("北京大学学习\n", encoding="utf-8")
    notes: list[str] = []
    units = found(TEXT, lexica=[tmp_path / "clubs.txt"], phrases=[tmp_path / "sayings.txt"], tell=notes.append)
    assert [unit for unit in units if unit[1] != WORD] == [
        ("张华", ENTITY, "person"),
        ("在北京大学", ENTITY, "clubs"),
        ("北京大学学习", PHRASE, "sayings"),
    ]
    assert len(notes) == 1 and "one character" in notes[0]


def test_a_tagger_finds_entities_and_travels_to_other_processes(tmp_path: Path):
    folder = tagger_on(conll("我/O 去/O 宁/B-SHOP 波/I-SHOP 吃/O") + conll("好/O 吃/O"), tmp_path)
    units = found("我去宁波吃", tagger=folder)
    assert [unit for unit in units if unit[1] == ENTITY] == [("宁波", ENTITY, "SHOP")]  # and not the place
    annotator = make_annotator(tagger=folder)
    there = pickle.loads(pickle.dumps(annotator))
    assert there.fingerprint() == annotator.fingerprint() != make_annotator().fingerprint()
    assert there.annotate(["我去宁波吃"]) == annotator.annotate(["我去宁波吃"])


def test_a_tagger_of_words_takes_the_place_of_the_segmenter(tmp_path: Path):
    folder = tagger_on(conll("我/S-r 去/S-v 宁/B-ns 波/E-ns 街/B-n 上/E-n 的/S-u 张/B-nr 三/E-nr"), tmp_path)
    assert FolderTagger(str(folder)).knows_words
    units = found("我去宁波街上的张三", tagger=folder)
    assert [text for text, level, _ in units if level == WORD] == ["我", "去", "宁波", "街上", "的", "张三"]
    assert ("宁波街上", PHRASE, "noun phrase") in units and ("张三", ENTITY, "person") in units


def test_files_have_a_line_for_each_text_or_each_span(tmp_path: Path):
    source = tmp_path / "a.txt"
    source.write_text(f"{TEXT}\n\n好\n", encoding="utf-8")
    annotator = make_annotator()
    written = annotate_file(source, tmp_path / "a.jsonl", annotator)
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["text"] for line in lines] == [TEXT, "", "好"]
    spans = [span for line in lines for span in line["spans"]]
    assert written == {"rows": 3, "spans": len(spans), "file": str(tmp_path / "a.jsonl")}
    assert {"start": 0, "end": 2, "level": "entity", "kind": "person", "text": "张华"} in lines[0]["spans"]
    annotate_file(source, tmp_path / "a.tsv", annotator)
    table = (tmp_path / "a.tsv").read_text(encoding="utf-8").splitlines()
    assert table[0] == "row\tstart\tend\tlevel\tkind\ttext" and len(table) == 1 + len(spans)
    assert table[-1].startswith("3\t0\t1\tword\t") and table[-1].endswith("\t好")


def test_what_a_source_marks_itself_is_shown_and_right(tmp_path: Path):
    source = tmp_path / "a.conll"
    source.write_text(conll("我/O 在/O 北/B-SHOP 京/I-SHOP 学/O 习/O"), encoding="utf-8")
    annotate_file(source, tmp_path / "a.jsonl", make_annotator())
    line = json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8"))
    assert [(span["text"], span["kind"]) for span in line["spans"] if span["level"] == "entity"] == [("北京", "SHOP")]
    assert ("学习", "v") in [(span["text"], span["kind"]) for span in line["spans"]]


def test_calls_that_cannot_work_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        wenmo.annotate("好", lexica=[tmp_path / "no.txt"])
    with pytest.raises(InputError, match=r"a\.csv: spans go to"):
        annotate_file("-", tmp_path / "a.csv", make_annotator())
