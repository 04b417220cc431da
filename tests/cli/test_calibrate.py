"""``wenmo calibrate``, and the promises that follow from it, as a person meets them."""

import json

import pytest


@pytest.fixture
def calibrated(wenmo, trained, tmp_path):
    answer = wenmo("calibrate", trained, trained.parent / "train.tsv", "--out", tmp_path / "sure")
    assert answer.code == 0, answer.stderr
    return tmp_path / "sure", answer


def test_calibrate_says_what_it_did_and_what_can_be_promised(calibrated):
    folder, answer = calibrated
    assert "calibrated on 60 texts: logits divided by a temperature of" in answer.stdout
    assert "--abstain" in answer.stdout and "coverage" in answer.stdout
    assert str(folder) in answer.stdout
    assert (folder / "calibration.json").exists()


def test_json_has_the_promises(wenmo, trained, tmp_path):
    data = trained.parent / "train.tsv"
    answer = wenmo("calibrate", trained, data, "--out", tmp_path / "sure", "--promise-share", "0.4", "--json")
    told = json.loads(answer.stdout)
    assert (told["rows"], told["kept"]) == (72, 48)
    assert list(told) == ["model", "rows", "kept", "calibration", "thresholds", "promises", "notes"]


def test_predict_abstains_under_the_promise_and_says_so(wenmo, calibrated, trained, tmp_path):
    folder, _ = calibrated
    answer = wenmo("predict", folder, trained.parent / "test.tsv", "--abstain", "0.2", "--json")
    assert "error among the answered at most 20 %, with 95 % confidence" in answer.stderr
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(lines) == 40
    assert all(list(line) == ["label", "probability", "probabilities"] for line in lines)
    told = wenmo(
        "predict", folder, trained.parent / "test.tsv", "--abstain", "0.2", "--out", tmp_path / "a.tsv", "--json"
    )
    written = json.loads(told.stdout)
    assert written["promise"]["risk"] == 0.2
    assert written["abstained"] == sum(line["label"] is None for line in lines)


def test_what_cannot_be_promised_ends_with_2(wenmo, calibrated, trained):
    folder, _ = calibrated
    answer = wenmo("predict", folder, trained.parent / "test.tsv", "--abstain", "0.001")
    assert (answer.code, answer.stdout) == (2, "")
    assert "the least that they can is about" in answer.stderr


def test_evaluate_has_a_page_and_tries_the_promise(wenmo, calibrated, trained, tmp_path):
    folder, _ = calibrated
    arguments = ["--abstain", "0.2", "--against", trained, "--out", tmp_path / "page.html"]
    answer = wenmo("evaluate", folder, trained.parent / "test.tsv", *arguments)
    assert answer.code == 0, answer.stderr
    assert "Calibration error" in answer.stdout and "before calibration" in answer.stdout
    assert "Promised: at most 20.0 %" in answer.stdout
    assert "Only this model is right on " in answer.stdout
    assert "<svg" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_use_that_is_proposed_is_one_that_works(wenmo, trained, tmp_path):
    few = tmp_path / "few.tsv"
    few.write_text("".join((trained.parent / "train.tsv").read_text(encoding="utf-8").splitlines(True)[:25]), "utf-8")
    answer = wenmo("calibrate", trained, few, "--out", tmp_path / "sure")
    proposed = answer.stdout.partition(" FILE")[2].split()
    assert wenmo("predict", tmp_path / "sure", trained.parent / "test.tsv", *proposed).code == 0


def test_a_confidence_without_a_promise_is_a_mistake(wenmo, trained):
    for verb in ("predict", "evaluate"):
        answer = wenmo(verb, trained, trained.parent / "test.tsv", "--confidence", "0.9")
        assert answer.code == 2
        assert "--confidence is that of --abstain" in answer.stderr
