"""Similarity in every verb: trained, by the vectors of any model, on features, from a checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wenmo
from wenmo.errors import InputError
from wenmo.inference.similarity import SimilarityScorer
from wenmo.tasks.correlation import spearman

WORDS = ["good", "bad", "great", "poor"]
QUICK = ["training.max_epochs=2", "training.patience=0", "training.batch_size=8"]


def write_pairs(path: Path, labels: str = "01") -> Path:
    """Pairs that share their deciding word, or do not; labels of 0 and 1 or from 0 to 5."""
    rng = np.random.default_rng(len(labels))
    lines = []
    for n in range(60):
        a, b = rng.choice(4, 2)
        alike = a == b if labels == "01" else 5 * (a == b) + 0.0 if n % 3 else 2.5
        fill = "bcdefghij"[n % 9]
        number = int(alike) if labels == "01" else alike
        lines.append(f"the {WORDS[a]} film {fill}{n}\ta {WORDS[b]} plot {fill}{n}\t{number}\n")
    path.write_text("text_a\ttext_b\tlabel\n" + "".join(lines))
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.tsv")


@pytest.fixture
def bert(tmp_path: Path, save_bert: Callable[..., Any]) -> Path:
    save_bert(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.mark.parametrize("pair", ["siamese", "joined"])
def test_trained_saved_asked_and_scored(pair: str, pairs: Path, tmp_path: Path, run_wenmo: Callable[..., Any]) -> None:
    result = wenmo.train(
        pairs, model="bag", task="similarity", out=tmp_path / "run", overrides=[*QUICK, f"task.pair={pair}"]
    )
    assert set(result.dev) == {"spearman", "pearson", "accuracy"}
    model = wenmo.load(tmp_path / "run")
    assert isinstance(model, SimilarityScorer)
    asked = [("the good film", "a good plot"), ("the bad film", "a great plot"), ("", "x")]
    answers = model.predict(asked)
    assert [a.same for a in answers] == [a.similarity >= model.task.config.threshold for a in answers]
    assert [model.predict(each)[0].similarity for each in asked] == pytest.approx(
        [a.similarity for a in answers], abs=1e-6
    )
    told = run_wenmo("evaluate", "run", "pairs.tsv", "--json")
    assert told.code == 0, told.stderr
    found = json.loads(told.stdout)
    assert (found["task"], found["rows"]) == ("similarity", 60)
    read = [line.split("\t") for line in pairs.read_text().splitlines()[1:]]
    said = [a.similarity for a in model.predict([(a, b) for a, b, _ in read])]
    assert found["metrics"]["spearman"]["value"] == pytest.approx(spearman([float(y) for *_, y in read], said))
    written = run_wenmo("predict", "run", "pairs.tsv", "--text-b-column", "text_b", "--out", "x.tsv")
    assert written.code == 0, written.stderr
    lines = (tmp_path / "x.tsv").read_text().splitlines()
    assert lines[0] == "similarity\tsame" and len(lines) == 61
    assert float(lines[1].split("\t")[0]) == pytest.approx(said[0], abs=1e-5)


def test_siamese_vectors_are_those_that_are_compared(pairs: Path, tmp_path: Path) -> None:
    wenmo.train(pairs, model="bilstm", task="similarity", out=tmp_path / "run", overrides=[*QUICK, "task.pooling=mean"])
    model = wenmo.load(tmp_path / "run")
    first, second = model.embed(["the good film", "a bad plot"], normalize=True)
    (answer,) = model.predict(("the good film", "a bad plot"))
    assert first @ second == pytest.approx(answer.similarity, abs=1e-5)
    by_model = model.task.answer_store(_store(model, ("the good film", "a bad plot")), model._device)
    assert by_model[0] == pytest.approx(answer.similarity, abs=1e-5)


def _store(model: SimilarityScorer, pair: tuple[str, str]) -> Any:
    from wenmo.data.store import TokenStore
    from wenmo.tasks.pairs import encode_texts

    columns = encode_texts([pair], model.embedder.tokenizer, "siamese", model.embedder.long_texts).columns
    return TokenStore.from_rows(**columns)


def test_numbers_of_any_scale_have_no_accuracy(tmp_path: Path) -> None:
    graded = write_pairs(tmp_path / "graded.tsv", "0-5")
    result = wenmo.train(graded, model="bag", task="similarity", out=tmp_path / "run", overrides=QUICK)
    assert set(result.dev) == {"spearman", "pearson"}
    assert "5 for the same" in (tmp_path / "run" / "README.md").read_text()


def test_any_embedder_is_scored_without_training(
    pairs: Path, bert: Path, tmp_path: Path, run_wenmo: Callable[..., Any]
) -> None:
    dev = write_pairs(tmp_path / "dev.tsv")
    call = ("evaluate", "bert", "pairs.tsv", "--task", "similarity", "--pooling", "layer:1")
    answer = run_wenmo(*call, "--dev", "dev.tsv", "--json")
    assert answer.code == 0, answer.stderr
    found = json.loads(answer.stdout)
    model = wenmo.load(bert)
    read = [line.split("\t") for line in pairs.read_text().splitlines()[1:]]
    first, second = (model.embed([each[i] for each in read], "layer:1", True) for i in (0, 1))
    said = (first.astype(np.float64) * second).sum(axis=1)
    assert found["metrics"]["spearman"]["value"] == pytest.approx(
        spearman([float(y) for *_, y in read], said), abs=1e-3
    )
    right = (said >= found["threshold"]) == np.array([y == "1" for *_, y in read])
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(right.mean(), abs=0.02)
    assert "Spearman" in run_wenmo(*call).stdout
    assert dev.exists()


def test_a_checkpoint_and_its_features_learn_similarity(pairs: Path, bert: Path, tmp_path: Path) -> None:
    wenmo.train(pairs, model=f"bert:{bert}", task="similarity", out=tmp_path / "tuned", overrides=QUICK)
    tuned = wenmo.load(tmp_path / "tuned")
    assert (tuned.task.config.pooling, tuned.task.config.pair) == ("mean", "siamese")
    assert len(tuned.predict([("good film", "bad plot")])) == 1
    how = {"features": f"bert:{bert}", "task": "similarity", "out": tmp_path / "on", "overrides": QUICK}
    wenmo.train(pairs, model="bag", **how)  # type: ignore[arg-type]
    assert len(wenmo.load(tmp_path / "on").predict([("good film", "bad plot")])) == 1


def test_models_of_similarity_are_compared(pairs: Path, tmp_path: Path) -> None:
    result = wenmo.compare(
        pairs, models=["bag", "gru"], task="similarity", out=tmp_path / "cmp", overrides=[*QUICK, "model.num_units=4"]
    )
    assert {row["model"] for row in result.values["rows"]} == {"bag", "gru"}
    assert not any(row["failed"] for row in result.values["rows"])
    assert result.report.exists()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"task": "classify"}, "any gives vectors for similarity"),
        ({"pooling": "mean"}, "are for --task similarity"),
        ({"task": "similarity", "repair": True}, "leave --abstain"),
    ],
)
def test_what_cannot_be_scored_is_said(pairs: Path, bert: Path, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        wenmo.evaluate(bert, pairs, **asked)
