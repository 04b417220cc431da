"""``wenmo predict``, ``wenmo embed`` and ``wenmo evaluate`` from the command line."""

import json

import numpy as np
import pytest

from wenmo.cli import answers, output

TEXTS = ["a lovely and charming film", "", "an awful and boring film"]


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")
    return path


def test_a_json_line_for_each_text_in_their_order_and_nothing_else(wenmo, trained, texts):
    answer = wenmo("predict", trained, texts, "--json")
    assert answer.code == 0
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [line["label"] for line in lines] == ["pos", None, "neg"]
    assert lines[0]["probability"] == lines[0]["probabilities"]["pos"]
    assert set(lines[0]) == {"label", "probability", "probabilities"}


def test_a_pipe_gets_columns_with_the_labels_first(wenmo, trained, texts):
    answer = wenmo("predict", trained, texts)
    header, *rows = answer.stdout.splitlines()
    assert header.split("\t") == ["label", "probability", "probabilities.neg", "probabilities.pos"]
    assert [row.split("\t")[0] for row in rows] == ["pos", "", "neg"]


def test_standard_input_is_read_when_no_file_is_named(run_wenmo, trained):
    answer = run_wenmo("predict", trained, "--json", stdin="lovely charming film\nawful boring film\n")
    assert answer.code == 0
    assert [json.loads(line)["label"] for line in answer.stdout.splitlines()] == ["pos", "neg"]


def test_a_terminal_shows_label_probability_and_text_within_its_width(trained, texts, monkeypatch):
    import io

    from rich.console import Console

    terminal = Console(file=io.StringIO(), force_terminal=True, width=30, color_system=None)
    monkeypatch.setattr(answers, "results", lambda: terminal)
    model = __import__("wenmo").load(trained)
    answers.print_answers(model, str(texts), text_column=None)
    first, second, third = terminal.file.getvalue().splitlines()
    assert first.startswith("pos  ")
    assert first.endswith("…")
    assert len(first) == 30
    assert second.split() == ["–"]
    assert third.startswith("neg  ")


def test_an_unsure_answer_is_withheld_when_asked(wenmo, trained, texts):
    answer = wenmo("predict", trained, texts, "--abstain", "0.1")
    assert answer.code == 2 and answer.stdout == ""
    assert "keeps no calibration rows" in answer.stderr and "data.calibration_share" in answer.stderr


@pytest.mark.parametrize("ending", ["tsv", "jsonl", "jsonl.gz", "parquet"])
def test_out_writes_a_file_and_says_so_on_standard_error(wenmo, trained, texts, tmp_path, ending):
    out = tmp_path / f"answers.{ending}"
    answer = wenmo("predict", trained, texts, "--out", out)
    assert (answer.code, answer.stdout) == (0, "")
    assert f"3 answers in {out}" in answer.stderr
    assert out.stat().st_size > 0


def test_out_and_json_tell_what_was_written(wenmo, trained, texts, tmp_path):
    answer = wenmo("predict", trained, texts, "--out", tmp_path / "answers.tsv", "--json")
    told = json.loads(answer.stdout)
    assert (told["rows"], told["without_text"]) == (3, 1)


def test_an_unknown_ending_is_refused_before_anything_is_answered(wenmo, trained, texts, tmp_path):
    answer = wenmo("predict", trained, texts, "--out", tmp_path / "answers.doc")
    assert answer.code == 2
    assert ".tsv, .jsonl" in answer.stderr
    assert not (tmp_path / "answers.doc").exists()


@pytest.mark.parametrize("runtime", ["auto", "torch", "packed"])
def test_every_runtime_gives_the_same_labels(wenmo, trained, runtime):
    answer = wenmo("predict", trained, trained.parent / "test.tsv", "--json", "--runtime", runtime)
    labels = [json.loads(line)["label"] for line in answer.stdout.splitlines()]
    assert answer.code == 0, answer.stderr
    expected = [line.split("\t")[0] for line in (trained.parent / "test.tsv").read_text().splitlines()[1:]]
    assert sum(a == b for a, b in zip(labels, expected, strict=True)) >= 0.95 * len(expected)


@pytest.mark.parametrize(
    ("option", "value"), [("--runtime", "steam"), ("--precision", "int3"), ("--device", "quantum")]
)
def test_a_runtime_precision_or_device_that_is_not_there_is_named(wenmo, trained, texts, option, value):
    answer = wenmo("predict", trained, texts, option, value)
    assert (answer.code, answer.stdout) == (2, "")
    assert value in answer.stderr


def test_embed_writes_a_vector_for_each_text(wenmo, trained, texts, tmp_path):
    answer = wenmo("embed", trained, texts, "--out", tmp_path / "vectors.npy", "--normalize", "--json")
    told = json.loads(answer.stdout)
    assert told == {"rows": 3, "hidden_size": 12, "file": str(tmp_path / "vectors.npy")}
    vectors = np.load(tmp_path / "vectors.npy")
    assert vectors.shape == (3, 12)
    lengths = np.linalg.norm(vectors, axis=1)
    # So small a model may say nothing at all to a text; 0 cannot be scaled.
    assert lengths.any()
    np.testing.assert_allclose(lengths[lengths > 0], 1, atol=1e-6)
    said = wenmo("embed", trained, texts, "--out", tmp_path / "vectors.parquet", "--pooling", "mean")
    assert (said.code, said.stdout) == (0, "")
    assert "3 vectors of width 12" in said.stderr


@pytest.mark.parametrize("wrong", [["--out", "vectors.csv"], ["--out", "v.npy", "--pooling", "sum"]])
def test_embed_refuses_what_it_cannot_write(wenmo, trained, texts, wrong, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = wenmo("embed", trained, texts, *wrong)
    assert (answer.code, answer.stdout) == (2, "")
    assert wrong[-1] in answer.stderr
    assert not (tmp_path / wrong[1]).exists()


def test_evaluate_gives_metrics_with_intervals(wenmo, trained):
    answer = wenmo("evaluate", trained, trained.parent / "test.tsv", "--json")
    result = json.loads(answer.stdout)
    assert answer.stdout.count("\n") == 1
    assert (result["task"], result["rows"]) == ("classify", 40)
    assert set(result["metrics"]["accuracy"]) == {"value", "low", "high"}


def test_evaluate_shows_every_label_and_the_commonest_mistakes(wenmo, trained, tmp_path):
    data = tmp_path / "data.tsv"
    data.write_text("label\ttext\n" + "neg\tlovely charming film\n" * 3 + "pos\tlovely film\n", encoding="utf-8")
    answer = wenmo("evaluate", trained, data)
    assert answer.code == 0
    assert "3 times neg was taken for pos" in answer.stdout
    assert "in %" in answer.stdout
    assert "micro" not in answer.stdout  # with one label a text it is the accuracy


def test_evaluate_names_the_line_of_a_label_the_model_does_not_know(wenmo, trained, tmp_path):
    data = tmp_path / "data.tsv"
    data.write_text("label\ttext\npos\tlovely\nmixed\tso so\n", encoding="utf-8")
    answer = wenmo("evaluate", trained, data)
    assert (answer.code, answer.stdout) == (2, "")
    assert "data.tsv:3" in answer.stderr and "'mixed'" in answer.stderr


def test_python_gives_the_same_answers_as_the_command(wenmo, trained, texts):
    import wenmo as library

    lines = [json.loads(line) for line in wenmo("predict", trained, texts, "--json").stdout.splitlines()]
    for line, prediction in zip(lines, library.load(trained).predict(TEXTS), strict=True):
        if line["label"] is not None:
            assert line["label"] == prediction.label
            assert line["probability"] == pytest.approx(prediction.probability, rel=1e-5)


def test_the_terminal_is_asked_and_not_the_environment(trained):
    output.results.cache_clear()
    assert not output.results().is_terminal
