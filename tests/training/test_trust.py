"""What a run does behind its last epoch: it calibrates, chooses thresholds and keeps rows for promises."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

import wenmo
from wenmo.errors import InputError
from wenmo.folder import load_folder

LINEAR = {"model": "tfidf", "seed": 0}


def reviews(path: Path, rows: int, seed: int) -> Path:
    """Short texts whose label their words give away, but not always."""
    rng = np.random.default_rng(seed)
    lines = {}
    while len(lines) < rows:
        label = "good" if rng.uniform() < 0.4 else "bad"
        words = {"good": ["fine", "warm", "great"], "bad": ["dull", "long", "poor"]}
        told = label if rng.uniform() < 0.85 else {"good": "bad", "bad": "good"}[label]
        text = " ".join([*rng.choice(["the", "a", "film", "plot", "and", "story", "cast"], 6), rng.choice(words[told])])
        lines[text + f" {len(lines) % 9}"] = label
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for text, label in lines.items()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trust")
    reviews(folder / "train.tsv", 600, 0)
    reviews(folder / "more.tsv", 300, 1)
    return folder


def test_the_temperature_is_in_the_weights_and_changes_no_answer(data: Path, tmp_path: Path) -> None:
    plain = wenmo.train(data / "train.tsv", out=tmp_path / "plain", **LINEAR)
    found = wenmo.train(data / "train.tsv", out=tmp_path / "calibrated", overrides=["task.calibrate=true"], **LINEAR)
    assert plain.calibration is None and found.calibration is not None
    assert found.calibration["method"] == "temperature"
    before, after = (load_folder(tmp_path / name).task for name in ("plain", "calibrated"))
    scale = found.calibration["scale"][0]
    torch.testing.assert_close(after.classifier.weight, before.classifier.weight * scale)
    torch.testing.assert_close(after.classifier.bias, before.classifier.bias * scale)
    assert found.calibration["loss_after"] <= found.calibration["loss_before"]
    assert found.dev["accuracy"] == plain.dev["accuracy"]
    kept = json.loads((tmp_path / "calibrated" / "metrics.json").read_text(encoding="utf-8"))
    assert kept["calibration"] == found.calibration
    card = (tmp_path / "calibrated" / "README.md").read_text(encoding="utf-8")
    assert "were calibrated on" in card and "not calibrated" not in card


def test_thresholds_are_kept_and_used_and_chosen_anew_by_the_saved_recipe(data: Path, tmp_path: Path) -> None:
    overrides = ["task.threshold_for=f1", "task.positive=good", "data.calibration_share=0.2", "task.calibrate=true"]
    first = wenmo.train(data / "train.tsv", out=tmp_path / "first", overrides=overrides, **LINEAR)
    recipe = tomllib.loads((tmp_path / "first" / "recipe.toml").read_text(encoding="utf-8"))
    low = recipe["task"]["thresholds"]
    assert sum(low) == pytest.approx(1) and low != [0.5, 0.5]
    model = wenmo.load(tmp_path / "first")
    chance = np.array([each.probabilities["good"] for each in model.predict(["fine film", "dull film", "the plot 3"])])
    said = [each.label for each in model.predict(["fine film", "dull film", "the plot 3"])]
    assert said == ["good" if p >= low[1] else "bad" for p in chance]
    again = wenmo.train(recipe=tmp_path / "first" / "recipe.toml", out=tmp_path / "again")
    assert again.dev == first.dev
    for name in ("model.safetensors", "calibration.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_calibration_rows_are_seen_by_nothing_else_and_carry_promises(data: Path, tmp_path: Path) -> None:
    overrides = [f"data.calibration={data / 'more.tsv'}"]
    wenmo.train(data / "train.tsv", out=tmp_path / "model", overrides=overrides, **LINEAR)
    wenmo.train(data / "train.tsv", out=tmp_path / "plain", **LINEAR)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("model", "plain")]
    assert weights[0] == weights[1]
    model = wenmo.load(tmp_path / "model")
    kept = model.folder.calibration
    assert kept is not None and len(kept.confidence) == 300
    rows = [line.split("\t") for line in (data / "more.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    answers = model.predict(text for _, text in rows)
    assert sorted(each.probability for each in answers) == pytest.approx(kept.confidence.tolist(), rel=1e-5)
    assert sum(each.label == label for each, (label, _) in zip(answers, rows, strict=True)) == kept.right.sum()
    promise = model.promise(0.3)
    abstaining = model.predict([text for _, text in rows], abstain=0.3)
    assert sum(each.label is not None for each in abstaining) == pytest.approx(promise.answered, abs=1)
    assert all(each.probabilities for each in abstaining)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.calibrate=true", "task.calibrate: there are no dev texts"),
        ("data.calibration_share=0.2", "data.calibration: there are no dev texts"),
    ],
)
def test_what_needs_dev_says_so_before_training(data: Path, tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        wenmo.train(data / "train.tsv", out=tmp_path / "model", overrides=["data.dev_share=0.0", override], **LINEAR)
    assert not (tmp_path / "model" / "config.json").exists()


def test_a_folder_without_calibration_rows_loads_and_a_broken_file_is_named(data: Path, tmp_path: Path) -> None:
    wenmo.train(data / "train.tsv", out=tmp_path / "model", **LINEAR)
    assert load_folder(tmp_path / "model").calibration is None
    (tmp_path / "model" / "calibration.json").write_text('{"version": 1}', encoding="utf-8")
    with pytest.raises(InputError, match=r"calibration.json: not what a model keeps"):
        load_folder(tmp_path / "model")
