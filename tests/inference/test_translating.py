"""Translations: the same alone and in company, in order, in every format; and where the model looked."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import wenmo
from wenmo.errors import InputError
from wenmo.inference.translating import Translator

TEXTS = ["a dog runs", "two cats", "", "the grass is green and the dog runs over it", "日本 ok", "a dog"]
SIZES = ("model.embedding_size=16", "model.num_units=16", "data.tokenizer.vocab_size=290", "training.max_epochs=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("translating")
    nouns = ["dog:Hund", "cat:Kater", "man:Mann", "ball:Ball", "tree:Baum"]
    pairs = [f"the {a.split(':')[0]} sees the {b.split(':')[0]}\tder {a.split(':')[1]} sieht den {b.split(':')[1]}"
             for a in nouns for b in nouns]  # fmt: skip
    (place / "train.tsv").write_text("\n".join(["source\ttarget", *pairs]) + "\n", encoding="utf-8")
    wenmo.train(place / "train.tsv", model="seq2seq", out=place / "model", overrides=SIZES)
    return place / "model"


@pytest.fixture(scope="module")
def model(folder: Path) -> Translator:
    loaded = wenmo.load(folder)
    assert isinstance(loaded, Translator)
    return loaded


def test_a_text_has_the_same_translation_alone_and_in_company(model):
    together = model.predict(TEXTS)
    for text, answer in zip(TEXTS, together, strict=True):
        (alone,) = model.predict(text)
        assert alone.target == answer.target
        assert alone.score == pytest.approx(answer.score, abs=1e-5)
    assert together[2].target == ""


def test_more_answers_are_the_next_best(model):
    best, several = model.predict(TEXTS[:1])[0], model.predict(TEXTS[:1], num_answers=4)[0]
    assert several.target == best.target
    scores = [several.score, *(each.score for each in several.others)]
    assert len(scores) == 4 and scores == sorted(scores, reverse=True)
    assert len({several.target, *(each.target for each in several.others)}) > 1
    assert model.predict(TEXTS[:1], num_answers=6)[0].target, "so many answers take as many beams"
    assert model.predict(TEXTS[0], num_beams=1)[0].others == ()


@pytest.mark.parametrize("settings", [{"num_answers": 3, "num_beams": 2}, {"num_beams": 0}, {"length_penalty": -1.0}])
def test_a_search_that_cannot_work_is_refused(settings, model):
    with pytest.raises(InputError):
        model.predict(TEXTS, **settings)
    with pytest.raises(InputError, match="of type int"):
        model.predict(["a", 3])


def on_one_line(target: str) -> str:
    return " ".join(target.split()) if len(target.splitlines()) > 1 or "\t" in target else target


@pytest.mark.parametrize("ending", ["jsonl", "tsv", "txt", "tsv.gz"])
def test_a_file_has_a_row_for_every_text(ending, model, tmp_path):
    source, out = tmp_path / "texts.txt", tmp_path / f"out.{ending}"
    source.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    written = model.predict_file(source, out)
    assert written == {"rows": len(TEXTS), "file": str(out), "without_text": 1}
    raw = gzip.decompress(out.read_bytes()) if ending.endswith("gz") else out.read_bytes()
    lines = raw.decode().splitlines()
    wanted = [answer.target for answer in model.predict(TEXTS)]
    if ending == "jsonl":
        assert [json.loads(line)["target"] for line in lines] == wanted
        assert set(json.loads(lines[0])) == {"target", "score"}
    elif ending == "txt":
        assert lines == [on_one_line(target) for target in wanted]
    else:
        assert lines[0] == "target\tscore"
        assert [line.split("\t")[0] for line in lines[1:]] == [on_one_line(target) for target in wanted]


def test_several_answers_stand_beside_each_other(model, tmp_path):
    table = tmp_path / "texts.tsv"
    table.write_text("source\ttarget\na dog\tein Hund\ntwo cats\tzwei Katzen\n", encoding="utf-8")
    model.predict_file(table, tmp_path / "out.tsv", num_answers=2)
    lines = [line.split("\t") for line in (tmp_path / "out.tsv").read_text(encoding="utf-8").splitlines()]
    assert lines[0] == ["target", "score", "target_2", "score_2"]
    assert [len(line) for line in lines] == [4, 4, 4]
    with pytest.raises(InputError, match="one answer a line"):
        model.predict_file(table, tmp_path / "out.txt", num_answers=2)
    with pytest.raises(InputError, match="name --out so"):
        model.predict_file(table, tmp_path / "out.parquet")
    with pytest.raises(InputError, match="the place of the texts"):
        model.predict_file(table, table)


def test_an_evaluation_compares_raw_texts(model, tmp_path):
    (tmp_path / "a.en").write_text("the dog sees the cat\nthe man sees the tree\n", encoding="utf-8")
    said = [answer.target for answer in model.predict(["the dog sees the cat", "the man sees the tree"])]
    (tmp_path / "a.de").write_text("\n".join(said) + "\n", encoding="utf-8")
    result = wenmo.evaluate(model, tmp_path / "a.en", target=tmp_path / "a.de")
    assert (result["task"], result["rows"]) == ("translate", 2)
    assert result["metrics"]["chrf"]["value"] == pytest.approx(100.0)
    assert result["signatures"]["bleu"].startswith("nrefs:1|case:mixed")


def test_an_alignment_has_a_row_for_every_token_that_is_written(model):
    answer, alignment = model.align("the dog sees\tthe cat")
    assert answer == model.predict("the dog sees\tthe cat")[0]
    assert alignment.weights.shape == (len(alignment.target), len(alignment.source))
    np.testing.assert_allclose(alignment.weights.sum(axis=1), 1, atol=1e-5)
    assert "".join("".join(alignment.source[:-1]).split()) == "thedogseesthecat"


def test_what_does_not_run_it_is_refused(folder):
    with pytest.raises(InputError, match="runtime='packed'"):
        wenmo.load(folder, runtime="packed")
    with pytest.raises(InputError, match="float32, bfloat16"):
        wenmo.load(folder, precision="float8")
    assert wenmo.load(folder, precision="bfloat16").predict("the dog")[0].score < 0
