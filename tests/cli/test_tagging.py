"""Tagging as a person does it: train, evaluate, predict and compare on CoNLL files, good ones and broken ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Wenmo = Callable[..., Any]
TaggedFile = Callable[..., Path]

TINY = [
    *("-o", "model.embedding_size=12", "-o", "model.num_units=12", "-o", "training.batch_size=8"),
    *("-o", "training.max_epochs=8", "-o", "training.learning_rate=0.03", "-o", "model.embedding_dropout_prob=0.1"),
    *("-o", "task.dropout_prob=0.1", "-o", "training.patience=0"),
]


@pytest.fixture
def model(wenmo: Wenmo, tagged_file: TaggedFile, tmp_path: Path) -> Path:
    """A tagger that has learnt the names of the files."""
    train, dev = tagged_file(), tagged_file("dev.conll", 20, seed=1)
    trained = wenmo("train", train, "--dev", dev, "--model", "bilstm", "--out", tmp_path / "model", *TINY, "--json")
    assert trained.code == 0, trained.stderr
    told = json.loads(trained.stdout)
    assert told["task"] == "tag" and told["dev"]["f1"]["value"] > 0.9
    return tmp_path / "model"


def test_the_task_is_read_off_the_file_and_the_model_is_used(
    model: Path, wenmo: Wenmo, tagged_file: TaggedFile, tmp_path: Path
) -> None:
    test = tagged_file("test.conll", 20, seed=2)
    evaluated = json.loads(wenmo("evaluate", model, test, "--json").stdout)
    assert evaluated["metrics"]["f1"]["value"] > 0.9 and set(evaluated["per_type"]) == {"PER", "LOC"}
    shown = wenmo("evaluate", model, test).stdout
    assert "entities" in shown and "PER" in shown

    (tmp_path / "texts.txt").write_text("n1 near Carl Smith met Anna.\n")
    answer = json.loads(wenmo("predict", model, tmp_path / "texts.txt", "--json").stdout)
    assert answer["tokens"] == ["n1", "near", "Carl", "Smith", "met", "Anna", "."]
    assert {"start": 8, "end": 18, "type": "PER", "text": "Carl Smith"} in answer["spans"]
    told = wenmo("predict", model, test, "--out", tmp_path / "said.conll")
    assert told.code == 0 and "20 answers" in told.stderr
    again = json.loads(wenmo("evaluate", model, tmp_path / "said.conll", "--json").stdout)
    assert again["metrics"]["accuracy"]["value"] == 1
    card = (model / "README.md").read_text()
    assert "entities in the scheme BIO" in card and "`B-PER`" in card


def test_what_is_for_classifiers_is_refused(model: Path, wenmo: Wenmo, tagged_file: TaggedFile, tmp_path: Path) -> None:
    data = tagged_file("test.conll", 5, seed=2)
    for arguments in (
        ("predict", model, data, "--abstain", "0.1"),
        ("evaluate", model, data, "--abstain", "0.1"),
        ("evaluate", model, data, "--label-column", "ner"),
        ("embed", model, data, "--out", tmp_path / "x.npy"),
        ("train", data, "--model", "tfidf", "--out", tmp_path / "linear"),
        ("train", data, "--model", "bilstm", "--out", tmp_path / "b", "--text-column", "text", "--task", "tag"),
    ):
        answer = wenmo(*arguments)
        assert answer.code == 2, arguments
        assert answer.stderr.startswith("error: "), answer.stderr


def test_an_evaluation_has_a_page(model: Path, wenmo: Wenmo, tagged_file: TaggedFile, tmp_path: Path) -> None:
    answer = wenmo("evaluate", model, tagged_file("test.conll", 5, seed=2), "--out", tmp_path / "page.html")
    assert answer.code == 0, answer.stderr
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Each type" in page and ">PER<" in page and "sentences" in page and ">F1<" in page


def test_a_recipe_that_was_saved_gives_the_same_model(model: Path, wenmo: Wenmo, tmp_path: Path) -> None:
    again = wenmo("train", "--recipe", model / "recipe.toml", "--out", tmp_path / "again", "--json")
    assert again.code == 0, again.stderr
    assert (model / "model.safetensors").read_bytes() == (tmp_path / "again/model.safetensors").read_bytes()


def test_going_on_with_new_data_knows_the_old_tags(model: Path, wenmo: Wenmo, tmp_path: Path) -> None:
    lines = [f"n{i} O\nEU B-ORG\nmet O\nAnna B-PER\n" for i in range(20)]
    (tmp_path / "more.conll").write_text("\n".join(lines))
    done = wenmo(
        "train", tmp_path / "more.conll", "--from", model, "--out", tmp_path / "more", "-o", "training.max_epochs=2"
    )
    assert done.code == 0, done.stderr
    labels = json.loads((tmp_path / "more/config.json").read_text())["label2id"]
    assert list(labels) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER", "B-ORG", "I-ORG"]


def test_models_are_compared_beside_the_majority_tag(wenmo: Wenmo, tagged_file: TaggedFile, tmp_path: Path) -> None:
    train, dev, test = tagged_file(), tagged_file("dev.conll", 20, seed=1), tagged_file("test.conll", 20, seed=2)
    parts = (train, "--dev", dev, "--test", test)
    compared = wenmo("compare", *parts, "--models", "bilstm", "--out", tmp_path / "cmp", *TINY, "--json")
    assert compared.code == 0, compared.stderr
    rows = {row["model"]: row for row in json.loads(compared.stdout)["rows"]}
    assert list(rows) == ["majority", "bilstm"]
    assert all(row["metric"] == "f1" and row["failed"] is None for row in rows.values())
    assert (tmp_path / "cmp/report.html").is_file()
    assert wenmo("predict", tmp_path / "cmp/winner", test, "--out", tmp_path / "said.jsonl").code == 0


def test_plain_tags_are_scored_by_accuracy(wenmo: Wenmo, tmp_path: Path) -> None:
    lines = [f"n{i} NN\nsees VBZ\nthe DT\n{word} NN\n" for i, word in enumerate(["dog", "cat", "bird"] * 10)]
    (tmp_path / "pos.conll").write_text("\n".join(lines))
    done = wenmo("train", tmp_path / "pos.conll", "--model", "bilstm", "--out", tmp_path / "pos", *TINY, "--json")
    assert done.code == 0, done.stderr
    assert list(json.loads(done.stdout)["dev"]) == ["accuracy"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a O\nb I-PER\n\nc B-PER\n", "bad.conll:2: I-PER stands behind O, where it cannot go on"),
        ("a O\nb\n", "bad.conll:2: 1 column, but the first token's line has 2"),
        ("a O\nb B-PER extra\n", "bad.conll:2: 3 columns, but the first token's line has 2"),
        ("a\nb\n", "bad.conll:1: one column"),
        ("a O\n\nb O\n", "every tag is 'O'"),
        ("", "bad.conll holds no token"),
    ],
)
def test_broken_files_are_wrong_calls_that_name_the_line(text: str, message: str, wenmo: Wenmo, tmp_path: Path) -> None:
    (tmp_path / "bad.conll").write_text(text)
    answer = wenmo(
        "train", tmp_path / "bad.conll", "--dev", tmp_path / "bad.conll", "--model", "bilstm", "--out", tmp_path / "m"
    )
    assert answer.code == 2
    assert message in answer.stderr


def test_bytes_that_are_no_text_are_a_wrong_call(wenmo: Wenmo, tmp_path: Path) -> None:
    (tmp_path / "bad.conll").write_bytes(b"caf\xe9 O\nna\xefve B-PER\n")
    answer = wenmo("train", tmp_path / "bad.conll", "--model", "bilstm", "--out", tmp_path / "m")
    assert answer.code == 2 and "bad.conll:1: the byte 0xE9" in answer.stderr


def test_broken_tags_can_be_repaired(wenmo: Wenmo, tagged_file: TaggedFile, tmp_path: Path) -> None:
    path = tagged_file()
    path.write_text(path.read_text().replace("B-PER", "I-PER", 1))
    call = ("train", path, "--model", "bilstm", "--out", tmp_path / "m", *TINY, "-o", "training.max_epochs=1")
    refused = wenmo(*call)
    assert refused.code == 2 and "--repair" in refused.stderr
    assert wenmo(*call, "--repair").code == 0
