"""Answers in files: row for row, whole or not at all."""

import csv
import gzip
import io
import json
import logging
import subprocess
import sys
import tracemalloc

import pyarrow.parquet as pq
import pytest

from wenmo.errors import InputError, JobError
from wenmo.inference.loading import load
from wenmo.inference.writers import predict_file
from wenmo.tasks.abstention import Promise


@pytest.fixture
def model(make_folder):
    return load(make_folder(labels=("bad", "good")))


def write_texts(path, texts):
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_of_jsonl_is_a_prediction(model, some_texts, tmp_path):
    texts = some_texts(100)
    source = write_texts(tmp_path / "texts.txt", texts)
    result = predict_file(model, source, tmp_path / "out" / "answers.jsonl")
    file = tmp_path / "out" / "answers.jsonl"
    nothing_special = {"without_text": 0, "abstained": 0, "cut": 0, "unknown": 0, "promise": None}
    assert result == {"rows": 100, "file": str(file)} | nothing_special
    for answer, prediction in zip(read_jsonl(file), model.predict(texts), strict=True):
        assert list(answer) == ["label", "probability", "probabilities"]
        assert answer["label"] == prediction.label
        assert answer["probability"] == pytest.approx(prediction.probability, rel=1e-5)
        assert answer["probabilities"] == pytest.approx(prediction.probabilities, rel=1e-5)
        assert len(str(answer["probability"])) <= len("0.123456e-12")


def test_a_tsv_has_a_column_for_each_probability(model, some_texts, tmp_path):
    texts = some_texts(20)
    predict_file(model, write_texts(tmp_path / "texts.txt", texts), tmp_path / "answers.tsv")
    with (tmp_path / "answers.tsv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    assert header == ["label", "probability", "probabilities.bad", "probabilities.good"]
    for row, prediction in zip(rows, model.predict(texts), strict=True):
        assert row[0] == prediction.label
        wanted = [prediction.probability, *prediction.probabilities.values()]
        assert list(map(float, row[1:])) == pytest.approx(wanted, rel=1e-5)


def test_parquet_has_the_same_in_columns(model, some_texts, tmp_path):
    texts = some_texts(20_000)
    predict_file(model, write_texts(tmp_path / "texts.txt", texts), tmp_path / "answers.parquet")
    table = pq.read_table(tmp_path / "answers.parquet")
    assert table.column_names == ["label", "probability", "probabilities"]
    assert table.column("label").to_pylist() == [prediction.label for prediction in model.predict(texts)]
    first, last = table.slice(0, 1).to_pylist()[0], table.slice(19_999).to_pylist()[0]
    assert first["probabilities"] == pytest.approx(model.predict(texts[0])[0].probabilities, abs=1e-5)
    assert last["probability"] == pytest.approx(model.predict(texts[-1])[0].probability, abs=1e-5)


@pytest.mark.parametrize("ending", ["jsonl", "tsv"])
def test_an_ending_of_gz_packs_the_same_text(model, some_texts, tmp_path, ending):
    source = write_texts(tmp_path / "texts.txt", some_texts(10))
    predict_file(model, source, tmp_path / f"answers.{ending}")
    predict_file(model, source, tmp_path / f"answers.{ending}.gz")
    packed = gzip.decompress((tmp_path / f"answers.{ending}.gz").read_bytes())
    assert packed == (tmp_path / f"answers.{ending}").read_bytes()


def test_a_row_without_text_keeps_its_place_and_is_counted(model, tmp_path, caplog):
    source = write_texts(tmp_path / "texts.txt", ["good film", "", "  ", "bad plot"])
    with caplog.at_level(logging.WARNING, logger="wenmo"):
        result = predict_file(model, source, tmp_path / "answers.jsonl")
    assert (result["rows"], result["without_text"]) == (4, 2)
    answers = read_jsonl(tmp_path / "answers.jsonl")
    assert [answer["label"] is None for answer in answers] == [False, True, True, False]
    assert answers[1] == {"label": None, "probability": None, "probabilities": None}
    assert answers[3]["label"] == model.predict("bad plot")[0].label
    assert any("2 rows without text" in record.getMessage() for record in caplog.records)

    predict_file(model, source, tmp_path / "answers.tsv")
    assert (tmp_path / "answers.tsv").read_text().split("\n")[2:4] == ["\t\t\t", "\t\t\t"]
    predict_file(model, source, tmp_path / "answers.parquet")
    assert pq.read_table(tmp_path / "answers.parquet").column("label").null_count == 2


def test_an_uncertain_answer_has_no_label_when_asked_to_abstain(model, some_texts, tmp_path):
    texts = some_texts(200)
    source = write_texts(tmp_path / "texts.txt", texts)
    promise = Promise(0.1, 0.95, threshold=0.9, rows=100, answered=50, wrong=1)
    result = predict_file(model, source, tmp_path / "answers.jsonl", promise=promise)
    predictions = model.predict(texts)
    assert 0 < result["abstained"] < 200, "nothing to see here"
    assert result["promise"]["coverage"] == 0.5
    for answer, prediction in zip(read_jsonl(tmp_path / "answers.jsonl"), predictions, strict=True):
        assert answer["label"] == (None if prediction.probability < 0.9 else prediction.label)
        assert answer["probability"] == pytest.approx(prediction.probability, rel=1e-5)


def test_several_labels_are_a_list_in_every_format(make_folder, some_texts, tmp_path):
    model = load(make_folder(labels=("acting", "fun", "plot"), multi_label=True))
    texts = some_texts(50)
    source = write_texts(tmp_path / "texts.txt", texts)
    wanted = [list(prediction.label) for prediction in model.predict(texts)]
    for ending in ("jsonl", "tsv", "parquet"):
        predict_file(model, source, tmp_path / f"answers.{ending}")
    assert [answer["label"] for answer in read_jsonl(tmp_path / "answers.jsonl")] == wanted
    lines = (tmp_path / "answers.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert [json.loads(line.split("\t")[0]) for line in lines] == wanted
    assert pq.read_table(tmp_path / "answers.parquet").column("label").to_pylist() == wanted


def test_a_tab_inside_a_label_does_not_shift_the_columns(make_folder, tmp_path):
    model = load(make_folder(labels=("so\tso", "好\n的")))
    predict_file(model, write_texts(tmp_path / "texts.txt", ["good"]), tmp_path / "answers.tsv")
    header, row = (tmp_path / "answers.tsv").read_text(encoding="utf-8").splitlines()
    assert header.split("\t") == ["label", "probability", "probabilities.so so", "probabilities.好 的"]
    assert len(row.split("\t")) == 4


def test_standard_input_becomes_standard_output(make_folder):
    program = """
import sys
from wenmo.inference.writers import predict_file
predict_file(sys.argv[1], "-", "-", file_format="jsonl")
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(make_folder())],
        input="good film\nbad plot\n",
        capture_output=True,
        text=True,
        check=True,
    )
    labels = [prediction.label for prediction in load(make_folder()).predict(["good film", "bad plot"])]
    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == labels


def test_standard_output_is_tsv_unless_asked_otherwise(model, tmp_path, capsys):
    source = write_texts(tmp_path / "texts.txt", ["good film"])
    predict_file(model, source, "-")
    assert capsys.readouterr().out.startswith("label\tprobability\tprobabilities.bad\tprobabilities.good\n")


@pytest.mark.parametrize(
    ("out", "settings", "message"),
    [
        ("answers.csv", {}, r"answers.csv: the result is .tsv, .jsonl"),
        ("answers.parquet.gz", {}, "name --out so"),
        ("-", {"file_format": "parquet"}, "parquet does not go to standard output"),
        ("answers.tsv", {"file_format": "xml"}, "the formats are tsv, jsonl, parquet"),
        ("texts.tsv", {}, "would take the place of the texts"),
        ("answers.tsv", {"text_column": "missing"}, "missing"),
    ],
)
def test_a_wrong_call_is_refused_and_leaves_no_file(model, tmp_path, out, settings, message):
    source = tmp_path / "texts.tsv"
    source.write_text("text\ngood\n")
    with pytest.raises(InputError, match=message):
        predict_file(model, source, out if out == "-" else tmp_path / out, **settings)
    assert source.read_text() == "text\ngood\n"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["texts.tsv"]


@pytest.mark.parametrize("ending", ["jsonl", "tsv", "parquet"])
def test_a_source_that_breaks_in_the_middle_leaves_the_old_file_alone(model, tmp_path, ending):
    out = tmp_path / f"answers.{ending}"
    out.write_text("what stood there")
    broken = tmp_path / "texts.tsv"
    broken.write_text("label\ttext\n" + "good\tgood film\n" * 20_000 + "three\tcolumns\there\n")
    with pytest.raises(InputError, match=r"texts.tsv:20002: 3 columns"):
        predict_file(model, broken, out)
    assert out.read_text() == "what stood there"
    assert {path.name for path in tmp_path.iterdir()} == {out.name, "texts.tsv", "model"}


@pytest.mark.parametrize("ending", ["jsonl", "tsv.gz", "parquet"])
def test_a_full_disk_is_said_and_leaves_no_half_a_file(model, some_texts, tmp_path, ending):
    resource = pytest.importorskip("resource", reason="limits of a process are those of POSIX")
    source = write_texts(tmp_path / "texts.txt", some_texts(40_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # no file may grow over 50 kB
    try:
        with pytest.raises(JobError, match=rf"answers.{ending}: could not be written .*; free some space"):
            predict_file(model, source, tmp_path / f"answers.{ending}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name for path in tmp_path.iterdir()} == {"texts.txt", "model"}


def test_any_number_of_rows_passes_through_in_flat_memory(model, tmp_path):
    text = f"a g{'o' * 400}d story\n"
    peaks = []
    for number in (9_000, 36_000):
        (tmp_path / "texts.txt").write_text(text * number)
        tracemalloc.start()
        predict_file(model, tmp_path / "texts.txt", tmp_path / "answers.jsonl")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 2  # of four times the texts


def test_standard_output_stays_open_for_the_caller(model, tmp_path, monkeypatch):
    standard_output = io.StringIO()
    monkeypatch.setattr("sys.stdout", standard_output)
    predict_file(model, write_texts(tmp_path / "texts.txt", ["good film"]), "-", file_format="jsonl")
    assert json.loads(standard_output.getvalue())["label"] in ("bad", "good")
