"""Labelled texts answered and compared with their labels."""

import json
import math

import pytest
import torch

import wenmo
from wenmo.errors import InputError
from wenmo.inference.loading import load


def write_rows(path, rows):
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows), encoding="utf-8")
    return path


@pytest.fixture
def folder(make_folder):
    return make_folder(labels=("bad", "good"), data={"max_length": 10})


def test_metrics_are_those_of_the_answers_counted_by_hand(folder, some_texts, tmp_path):
    texts = some_texts(100)
    answers = [prediction.label for prediction in load(folder).predict(texts)]
    opposite = {"bad": "good", "good": "bad"}
    # The answers with the first 20 turned round are the right labels: 80 of 100 are answered right.
    gold = [opposite[label] if number < 20 else label for number, label in enumerate(answers)]
    result = wenmo.evaluate(folder, write_rows(tmp_path / "data.tsv", zip(gold, texts, strict=True)))
    assert (result["task"], result["rows"]) == ("classify", 100)
    assert set(result["metrics"]) == {"accuracy", "macro_f1", "micro_f1", "ece", "ece_equal_mass"}
    accuracy = result["metrics"]["accuracy"]
    assert accuracy["value"] == pytest.approx(0.8)
    # Wilson's interval of 80 of 100.
    assert (accuracy["low"], accuracy["high"]) == pytest.approx((0.7112, 0.8666), abs=1e-4)
    count = {
        (a, b): sum(pair == (a, b) for pair in zip(gold, answers, strict=True)) for a in opposite for b in opposite
    }
    assert result["labels"] == ["bad", "good"]
    assert result["confusion"] == [[count[a, b] for b in ("bad", "good")] for a in ("bad", "good")]
    good = result["per_class"]["good"]
    assert good["support"] == gold.count("good")
    assert good["precision"] == pytest.approx(count["good", "good"] / answers.count("good"))
    assert good["recall"] == pytest.approx(count["good", "good"] / gold.count("good"))
    assert json.loads(json.dumps(result)) == result


def test_what_is_remarkable_about_the_texts_is_said(folder, tmp_path):
    rows = [("bad", "good film"), ("good", "entirely unheard"), ("good", "fun " * 11), ("good", ""), ("", "no label")]
    result = wenmo.evaluate(folder, write_rows(tmp_path / "data.tsv", rows))
    assert (result["rows"], result["dropped"], result["cut"], result["unknown"]) == (3, 2, 1, 1)
    assert any("cut behind 10 tokens" in note for note in result["notes"])


def test_a_label_the_model_does_not_know_is_refused_with_its_line(folder, tmp_path):
    data = write_rows(tmp_path / "data.tsv", [("bad", "a film"), ("great", "a film")])
    with pytest.raises(InputError, match=r"data.tsv:3: the label 'great' was not seen in training"):
        wenmo.evaluate(folder, data)


def test_columns_can_be_named(folder, tmp_path):
    (tmp_path / "data.tsv").write_text("a\tb\tc\n1\tbad\tgood film\n2\tgood\tbad film\n")
    assert wenmo.evaluate(folder, tmp_path / "data.tsv", text_column="c", label_column="b")["rows"] == 2


def test_several_labels_are_separated_as_in_training(make_folder, tmp_path):
    model = load(make_folder(labels=("fun", "plot"), multi_label=True, data={"label_separator": ","}))
    with torch.no_grad():  # every answer is ("fun",)
        model.task.classifier.weight.zero_()
        model.task.classifier.bias.copy_(torch.tensor([2.0, -2.0]))
    rows = [("fun", "good film"), ("fun,plot", "bad film"), ("plot", "no acting"), ("fun", "all good")]
    result = wenmo.evaluate(model, write_rows(tmp_path / "data.tsv", rows))
    assert result["rows"] == 4
    assert result["confusion"] is None
    assert result["metrics"]["accuracy"]["value"] == 0.5
    assert result["per_class"]["fun"] == {"precision": 0.75, "recall": 1.0, "f1": pytest.approx(6 / 7), "support": 3}
    assert result["per_class"]["plot"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 2}
    assert all(math.isfinite(value) for metric in result["metrics"].values() for value in metric.values())
