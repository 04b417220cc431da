"""A finished model made trustworthy with texts that it has not seen."""

from pathlib import Path

import numpy as np
import pytest
import torch

import wenmo
from wenmo.errors import InputError
from wenmo.folder import load_folder


@pytest.fixture
def labelled(make_folder, some_texts, tmp_path):
    """A model with random weights, and texts whose labels it gets right in three of four cases."""
    folder = make_folder(labels=("bad", "good"))
    rng = np.random.default_rng(0)
    texts = some_texts(400)
    other = {"bad": "good", "good": "bad"}
    rows = [
        (each.label if rng.uniform() < 0.5 + each.probability / 3 else other[each.label], text)
        for each, text in zip(wenmo.load(folder).predict(texts), texts, strict=True)
    ]
    path = tmp_path / "labelled.tsv"
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows), encoding="utf-8")
    return folder, path


def test_half_of_the_texts_finds_the_temperature_and_half_is_kept(labelled, tmp_path):
    folder, data = labelled
    result = wenmo.calibrate(folder, data, out=tmp_path / "out")
    assert result["rows"] + result["kept"] == 400 and abs(result["rows"] - result["kept"]) <= 20
    assert result["calibration"]["ece_after"] < result["calibration"]["ece_before"]
    before, after = load_folder(Path(folder)), load_folder(tmp_path / "out")
    scale = torch.tensor(result["calibration"]["scale"])
    torch.testing.assert_close(after.task.classifier.weight, before.task.classifier.weight * scale[:, None])
    assert after.calibration is not None and len(after.calibration.confidence) == result["kept"]
    assert before.calibration is None
    assert "## Calibrated afterwards" in after.card
    for promised in result["promises"]:
        assert wenmo.load(tmp_path / "out").promise(promised["risk"]).to_dict() == promised


def test_rows_that_cannot_be_used_are_named(labelled, tmp_path):
    folder, data = labelled
    data.write_text(data.read_text(encoding="utf-8") + "\tno label\n", encoding="utf-8")
    notes = wenmo.calibrate(folder, data, out=tmp_path / "out")["notes"]
    assert any("1 row was left out; the first is" in note and "labelled.tsv:402" in note for note in notes)


def test_thresholds_of_a_finished_model_are_chosen_without_touching_its_weights(labelled, tmp_path):
    folder, data = labelled
    overrides = ["task.calibrate=false", "task.threshold_for=macro_f1"]
    result = wenmo.calibrate(folder, data, out=tmp_path / "out", overrides=overrides, promise_share=0)
    before, after = load_folder(Path(folder)), load_folder(tmp_path / "out")
    assert torch.equal(before.task.classifier.weight, after.task.classifier.weight)
    assert after.task.config.thresholds == tuple(result["thresholds"]) != ()
    assert after.calibration is None and result["promises"] == [] and result["calibration"] is None


def test_thresholds_that_were_chosen_do_not_outlive_their_probabilities(labelled, tmp_path):
    folder, data = labelled
    wenmo.calibrate(folder, data, out=tmp_path / "chosen", overrides=["task.threshold_for=macro_f1"])
    assert load_folder(tmp_path / "chosen").task.config.thresholds
    for name, overrides in (("none", []), ("costs", ["task.costs=[[0, 1], [5, 0]]"])):
        overrides = ["task.threshold_for=none", *overrides]
        wenmo.calibrate(tmp_path / "chosen", data, out=tmp_path / name, overrides=overrides)
        assert load_folder(tmp_path / name).task.config.thresholds == ()


def test_costs_are_decisions_too(labelled, tmp_path):
    folder, data = labelled
    wenmo.calibrate(folder, data, out=tmp_path / "out", overrides=["task.costs=[[0, 1], [100, 0]]"])
    labels = {each.label for each in wenmo.load(tmp_path / "out").predict(["good film", "bad plot", "the acting"])}
    assert labels == {"good"}  # missing one is a hundred times as dear


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"promise_share": 1.0}, "--promise-share"),
        ({"overrides": ["training.seed=3"]}, "of a finished model, only task.calibrate"),
        ({"overrides": ["task.labels=[]"]}, "of a finished model, only task.calibrate"),
        ({"overrides": ["task.threshold_for=precision"]}, "two settings"),
    ],
)
def test_what_cannot_be_chosen_anew_is_refused(labelled, tmp_path, settings, message):
    folder, data = labelled
    with pytest.raises(InputError, match=message):
        wenmo.calibrate(folder, data, out=tmp_path / "out", **settings)


def test_a_model_is_never_overwritten(labelled):
    folder, data = labelled
    with pytest.raises(InputError, match="stands there already"):
        wenmo.calibrate(folder, data, out=folder)


def test_an_evaluation_tells_of_calibration_promise_and_another_model(labelled, tmp_path):
    folder, data = labelled
    wenmo.calibrate(folder, data, out=tmp_path / "out")
    result = wenmo.evaluate(tmp_path / "out", data, abstain=0.4, against=folder)
    found = result["calibration"]
    plain = wenmo.evaluate(folder, data)
    assert found["before"]["width"]["value"] == pytest.approx(plain["calibration"]["width"]["value"], abs=1e-5)
    assert plain["calibration"]["before"] is None and plain["abstention"] is None and plain["against"] is None
    assert result["metrics"]["ece"]["value"] == found["width"]["value"] < plain["metrics"]["ece"]["value"]
    kept = result["abstention"]
    assert kept["answered"] == sum(
        each.label is not None
        for each in wenmo.load(tmp_path / "out").predict(
            [line.split("\t")[1] for line in data.read_text(encoding="utf-8").splitlines()[1:]], abstain=0.4
        )
    )
    assert kept["error"]["value"] == pytest.approx(kept["wrong"] / kept["answered"])
    assert kept["held"] == (kept["error"]["value"] <= 0.4)
    # A temperature changes no answer, so the two models do not differ.
    assert result["against"]["differences"]["accuracy"] == {"value": 0.0, "p": 1.0}
    assert result["against"]["only_this_right"] == result["against"]["only_other_right"] == 0


def test_models_of_other_labels_are_not_compared(labelled, make_folder):
    folder, data = labelled
    with pytest.raises(InputError, match="its labels are not those of the first model"):
        wenmo.evaluate(folder, data, against=make_folder(labels=("bad", "fine"), name="other"))
