"""A whole comparison on a small data set, with real models."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from wenmo.data.rows import Row
from wenmo.errors import InputError
from wenmo.experiments.entries import describe, folder_names
from wenmo.folder import load_folder
from wenmo.inference.loading import load
from wenmo.reports.compare import compare
from wenmo.training.corpus import Corpus
from wenmo.training.recipe import Recipe

SMALL = [
    "model.embedding_size=8", "model.num_filters=6", "model.num_buckets=64", "training.max_epochs=3",
    "training.batch_size=20", "training.learning_rate=0.03",
]  # fmt: skip


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """240 short reviews, one of them hostile."""
    rng = random.Random(0)
    words = {"good": ["干净", "满意", "推荐"], "bad": ["吵", "脏", "失望"]}
    lines = ["label\ttext", "bad\t<script>alert(1)</script> 太失望"]
    for i in range(239):
        label = ("good", "bad")[i % 2]
        plain = rng.choices(["房间", "的", "很", "服务", "早餐", "酒店", "位置"], k=5)
        plain.insert(rng.randint(0, 5), rng.choice(words[label]))
        lines.append(f"{label}\t{''.join(plain)}{i}")
    path = tmp_path / "reviews.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class Notes:
    """A watcher that writes down what it hears."""

    def __init__(self) -> None:
        self.plan: list[Mapping[str, Any]] = []
        self.rows: list[str] = []
        self.messages: list[str] = []

    def planned(self, plan: Sequence[Mapping[str, Any]]) -> None:
        self.plan = list(plan)

    def row(self, row: Mapping[str, Any]) -> None:
        self.rows.append(row["model"])

    def message(self, text: str) -> None:
        self.messages.append(text)

    def training(self, model: str, seed: int) -> None:
        return None


def test_a_comparison_trains_chooses_on_dev_and_scores_once_on_test(reviews: Path, tmp_path: Path) -> None:
    notes = Notes()
    result = compare(reviews, models=["textcnn", "bag"], out=tmp_path / "cmp", overrides=SMALL, watcher=notes)
    values = result.values
    assert notes.rows == ["tfidf", "nbsvm", "textcnn", "bag"], "the linear baselines come first"
    assert [line["model"] for line in notes.plan] == ["textcnn", "bag"]
    assert {row["model"] for row in values["rows"]} == {"tfidf", "nbsvm", "textcnn", "bag"}
    assert values["rows"] == sorted(values["rows"], key=lambda row: -row["value"])
    best = values["rows"][0]
    assert values["winners"]["accurate"] == best["model"] == values["test"]["model"]
    for row in values["rows"]:
        assert row["low"] <= row["value"] <= row["high"]
        assert row["bytes"] > 0 and row["latency_ms_p50"] <= row["latency_ms_p95"] and row["texts_per_second"] > 0
        assert load_folder(tmp_path / "cmp" / row["folder"]).metrics["test"] == {}, "test was looked at too early"
    assert load_folder(result.winner).metrics["test"] == values["test"]["metrics"]
    assert sum(values["data"]["sizes"].values()) == 240
    assert json.loads((tmp_path / "cmp" / "comparison.json").read_text(encoding="utf-8")) == values
    assert load(result.winner).predict(["房间很干净，推荐"])[0].label == "good"
    page = result.report.read_text(encoding="utf-8")
    assert "<script>alert" not in page
    with pytest.raises(InputError, match="a comparison stands there already"):
        compare(reviews, out=tmp_path / "cmp", overrides=SMALL)
    again = compare(reviews, models=["textcnn", "bag"], out=tmp_path / "cmp", overrides=SMALL, resume=True)
    assert again.values == values


def test_seeds_show_the_spread_and_the_best_on_dev_stands_for_the_model(reviews: Path, tmp_path: Path) -> None:
    result = compare(reviews, models=["bag"], out=tmp_path / "cmp", overrides=SMALL, seeds=2)
    row = next(row for row in result.values["rows"] if row["model"] == "bag")
    assert len(row["values"]) == 2 and row["spread"] is not None
    assert row["value"] == pytest.approx(sum(row["values"]) / 2)
    linear = next(row for row in result.values["rows"] if row["model"] == "tfidf")
    assert linear["values"] == [linear["value"]] and linear["spread"] is None


def test_folds_use_every_row_once_and_the_winner_is_trained_on_all(reviews: Path, tmp_path: Path) -> None:
    result = compare(reviews, models=["bag"], out=tmp_path / "cmp", overrides=SMALL, folds=3)
    for row in result.values["rows"]:
        assert len(row["values"]) == 3
    assert result.winner.is_dir() and result.values["settings"]["folds"] == 3


def test_a_label_of_one_text_and_several_seeds_do_not_stop_cross_validation(reviews: Path, tmp_path: Path) -> None:
    with reviews.open("a", encoding="utf-8") as file:
        file.write("odd\t就这样\n")
    overrides = [*SMALL, "training.max_epochs=1", "task.metric=macro_f1"]
    result = compare(reviews, models=["bag"], out=tmp_path / "cmp", overrides=overrides, folds=2, seeds=2)
    rows = {row["model"]: row for row in result.values["rows"]}
    assert [rows[name]["failed"] for name in rows] == [None] * 3
    assert len(rows["bag"]["values"]) == 4 and len(rows["tfidf"]["values"]) == 2
    assert rows["bag"]["value"] == pytest.approx(sum(rows["bag"]["values"]) / 4)
    assert all(0 <= row["low"] <= row["value"] <= row["high"] <= 1 for row in rows.values())
    assert all(row["paired_p"] is None or 0 < row["paired_p"] <= 1 for row in rows.values())


def test_what_cannot_be_compared_is_refused_before_anything_is_trained(reviews: Path, tmp_path: Path) -> None:
    notes = Notes()
    with pytest.raises(InputError, match="newer than those they test on"):
        compare(reviews, out=tmp_path / "cmp", overrides=SMALL, folds=2, time_column="year", watcher=notes)
    with pytest.raises(InputError, match="no dev texts to choose by"):
        compare(reviews, out=tmp_path / "cmp", overrides=[*SMALL, "data.dev_share=0"], watcher=notes)
    assert not notes.rows


def test_a_recipe_says_how_much_is_test_and_vectors_are_for_the_models_that_take_them(
    reviews: Path, tmp_path: Path
) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("吵 1 0\n脏 0 1\n", encoding="utf-8")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"[data]\ntest_share = 0.25\nvectors = '{vectors}'\n", encoding="utf-8")
    small = [override for override in SMALL if "embedding_size" not in override]
    result = compare(reviews, models=["bag"], out=tmp_path / "cmp", recipe=recipe, overrides=small)
    assert result.values["data"]["sizes"]["test"] == 60
    assert [row["failed"] for row in result.values["rows"]] == [None] * 3


def test_a_comparison_is_not_resumed_with_other_settings(reviews: Path, tmp_path: Path) -> None:
    out = tmp_path / "cmp"
    compare(reviews, models=["bag"], out=out, overrides=SMALL)
    (out / "comparison.json").unlink()  # as if it had been interrupted at the end
    for changed in ({"overrides": [*SMALL, "training.learning_rate=0.5"]}, {"seeds": 2, "overrides": SMALL}):
        with pytest.raises(InputError, match="--resume would change"):
            compare(reviews, models=["bag"], out=out, resume=True, **changed)  # type: ignore[arg-type]


def test_texts_that_are_not_to_be_shown_leave_a_finished_comparison(reviews: Path, tmp_path: Path) -> None:
    out = tmp_path / "cmp"
    lines = reviews.read_text(encoding="utf-8").splitlines()
    swapped = {"good": "bad", "bad": "good"}
    for i in range(1, len(lines), 5):  # a fifth of the labels is wrong, so that there are errors to show
        label, text = lines[i].split("\t")
        lines[i] = f"{swapped[label]}\t{text}"
    reviews.write_text("\n".join(lines) + "\n", encoding="utf-8")
    shown = compare(reviews, models=["bag"], out=out, overrides=SMALL).values["hardest"]
    assert shown and all(example["text"] for example in shown)
    compare(reviews, models=["bag"], out=out, overrides=SMALL, resume=True, no_texts=True)
    for name in ("comparison.json", "report.html"):
        written = (out / name).read_text(encoding="utf-8")
        assert not any(example["text"] in written for example in shown)


def test_a_comparison_is_not_resumed_on_other_texts(reviews: Path, tmp_path: Path) -> None:
    compare(reviews, models=["bag"], out=tmp_path / "cmp", overrides=SMALL)
    (tmp_path / "cmp" / "comparison.json").unlink()  # as if it had been stopped
    with reviews.open("a", encoding="utf-8") as file:
        file.write("good\t推荐\n")
    with pytest.raises(InputError, match="models of other texts"):
        compare(reviews, models=["bag"], out=tmp_path / "cmp", overrides=SMALL, resume=True)


def test_a_budget_makes_epochs_fewer_and_a_size_limit_keeps_large_models_from_winning(
    reviews: Path, tmp_path: Path
) -> None:
    notes = Notes()
    long = [override.replace("max_epochs=3", "max_epochs=4000") for override in SMALL]
    result = compare(reviews, models=["bag"], out=tmp_path / "cmp", overrides=long, budget="3s", watcher=notes)
    row = next(row for row in result.values["rows"] if row["model"] == "bag")
    assert row["epochs"] < 4000 and notes.plan[0]["epochs"] == row["epochs"]
    smallest = min(row["bytes"] for row in result.values["rows"])
    limited = compare(reviews, models=["bag"], out=tmp_path / "limited", overrides=SMALL, max_size=smallest)
    assert [row["model"] for row in limited.values["rows"] if not row["too_large"]] == [limited.values["test"]["model"]]
    with pytest.raises(InputError, match="the smallest has"):
        compare(reviews, models=["bag"], out=tmp_path / "none", overrides=SMALL, max_size=10)


def test_a_model_that_explodes_is_told_and_the_others_are_compared(reviews: Path, tmp_path: Path) -> None:
    notes = Notes()
    wild = [*SMALL, "training.optimizer=sgd", "training.learning_rate=1e9"]
    result = compare(reviews, models=["textcnn"], out=tmp_path / "cmp", overrides=wild, watcher=notes)
    failed = next(row for row in result.values["rows"] if row["model"] == "textcnn")
    assert "learning rate" in failed["failed"] and "textcnn" in notes.rows
    assert result.values["test"]["model"] in ("tfidf", "nbsvm")


@pytest.mark.parametrize("labels", [(None, None), ("a", None)])
def test_texts_without_labels_are_described_too(labels: tuple[str | None, ...]) -> None:
    rows = [Row(text, label=label, source="x:1") for text, label in zip(("one text", "two"), labels, strict=True)]
    recipe = Recipe.build(model="gpt2", values={"data": {"train": "x.tsv"}, "task": {"task": "generate"}})
    described = describe(Corpus(train=rows, dev=rows[:1]), recipe)
    known = [label for label in labels if label]
    assert (described["task"], described["labels"]) == ("generate", known)
    assert described["label_counts"]["train"] == dict.fromkeys(known, 1)
    assert described["sizes"] == {"train": 2, "dev": 1, "test": 0}
    assert described["character_lengths"] == {"p50": 8, "p95": 3, "max": 8}


def test_a_checkpoint_is_compared_under_its_name(reviews: Path, tmp_path: Path, save_bert: Any) -> None:
    save_bert(tmp_path / "my bert")
    name = f"bert:{tmp_path / 'my bert'}"
    overrides = [*SMALL, "data.tokenizer=characters"]
    found = compare(reviews, out=tmp_path / "out", models=["textcnn", name], overrides=overrides, budget="2s")
    row = next(row for row in found.values["rows"] if row["model"] == name)
    assert (row["failed"], row["value"] is not None) == (None, True)
    assert load_folder(tmp_path / "out" / row["folder"]).task.extractor_config.hidden_size == 16
    assert name in found.report.read_text()


def test_folders_of_models_have_names_of_their_own() -> None:
    names = folder_names(["textcnn", "bert:/a/b", "bert:/a-b", "bert::"])
    assert names == {"textcnn": "textcnn", "bert:/a/b": "bert-a-b", "bert:/a-b": "bert-a-b-1", "bert::": "bert"}
