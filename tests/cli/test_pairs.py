"""Pairs and trees of labels by the command line, from files to answers."""

import io
import json
import random
from pathlib import Path

import pytest
from rich.console import Console

from wenmo.cli import answers
from wenmo.errors import InputError
from wenmo.folder import load_folder
from wenmo.inference.loading import load
from wenmo.sklearn import TextClassifier

TINY = [
    *("-o", "model.embedding_size=8", "-o", "model.num_filters=6", "-o", "model.kernel_sizes=[1, 2]"),
    *("-o", "training.max_epochs=4", "-o", "training.batch_size=8", "-o", "training.learning_rate=0.02"),
]
LONG = ("I saw a cat and then a dog", "there was a cat")
_NOUNS = ["cat", "dog", "bird", "horse", "fish", "cow"]


def pairs(num_rows: int, seed: int = 0) -> str:
    """Pairs that mean the same if they name the same animal; no two are equal."""
    rng = random.Random(seed)
    lines = ["label\ttext_a\ttext_b\n"]
    for i in range(num_rows):
        first, other = rng.sample(_NOUNS, 2)
        label, second = ("same", first) if i % 2 else ("other", other)
        lines.append(f"{label}\tI saw a {first} n{i}\tthere was a {second} n{i + 1000}\n")
    return "".join(lines)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.tsv"
    path.write_text(pairs(160), encoding="utf-8")
    return path


def test_pairs_are_trained_evaluated_answered_and_embedded(wenmo, data, tmp_path):
    out = tmp_path / "model"
    trained = wenmo("train", data, "--model", "textcnn", *TINY, "--out", out, "--json")
    assert trained.code == 0, trained.stderr
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert config["pair"] == "siamese"
    assert 'pair = "siamese"' in (out / "recipe.toml").read_text(encoding="utf-8")
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "144 pairs" in card and "compares them" in card
    test = tmp_path / "test.tsv"
    test.write_text(pairs(20, seed=1), encoding="utf-8")
    assert json.loads(wenmo("evaluate", out, test, "--json").stdout)["rows"] == 20
    lines = wenmo("predict", out, test, "--json").stdout.splitlines()
    assert len(lines) == 20 and set(json.loads(lines[0])["probabilities"]) == {"other", "same"}
    vectors = json.loads(wenmo("embed", out, test, "--out", tmp_path / "v.npy", "--json").stdout)
    assert vectors["hidden_size"] == 4 * 12
    again = wenmo("train", "--recipe", out / "recipe.toml", "--out", tmp_path / "again")
    assert again.code == 0
    weights = [(folder / "model.safetensors").read_bytes() for folder in (out, tmp_path / "again")]
    assert weights[0] == weights[1]


def test_joined_pairs_have_a_separator_in_the_vocabulary(wenmo, data, tmp_path):
    assert wenmo("train", data, "--model", "bag", "-o", "task.pair=joined", "--out", tmp_path / "m").code == 0
    folder = load_folder(tmp_path / "m")
    assert folder.task.config.pair == "joined"
    assert folder.tokenizer.vocabulary[2] == "[SEP]"
    assert json.loads((tmp_path / "m" / "tokenizer_config.json").read_text())["sep_token"] == "[SEP]"
    assert wenmo("predict", tmp_path / "m", data).code == 0


@pytest.mark.parametrize("model", ["tfidf", "nbsvm"])
def test_the_linear_baselines_see_which_words_two_texts_share(wenmo, data, tmp_path, model):
    """No word alone tells the label: only whether both texts have it."""
    result = wenmo("train", data, "--model", model, "--out", tmp_path / "m", "--json")
    assert json.loads(result.stdout)["dev"]["accuracy"]["value"] >= 0.9
    assert load_folder(tmp_path / "m").task.extractor_config.comparison == "symmetric"


def test_pairs_are_compared_with_their_linear_baselines_and_shown(wenmo, data, tmp_path):
    out = tmp_path / "compared"
    done = wenmo("compare", data, "--models", "textcnn", *TINY, "--out", out, "--json")
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    assert {row["model"] for row in result["rows"] if row["failed"] is None} == {"textcnn", "tfidf", "nbsvm"}
    assert result["data"]["pairs"] is True
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "128 pairs" in page
    assert wenmo("predict", out / "winner", data).code == 0


def test_a_run_on_pairs_is_resumed_and_gone_on_from(wenmo, data, tmp_path):
    out = tmp_path / "model"
    call = ["train", data, "--model", "textcnn", *TINY, "--out", out]
    assert wenmo(*call).code == 0
    assert wenmo(*call, "--resume").code == 0  # finished: left alone
    more = wenmo("train", data, "--from", out, "--out", tmp_path / "more", "-o", "training.max_epochs=1")
    assert more.code == 0, more.stderr
    assert load_folder(tmp_path / "more").task.config.pair == "siamese"
    single = wenmo("train", data, "--text-column", "text_a", "--from", out, "--out", tmp_path / "single")
    assert single.code == 2 and "task.pair" in single.stderr


def test_a_single_text_given_to_a_model_of_pairs_is_a_wrong_call(wenmo, data, tmp_path):
    assert wenmo("train", data, "--model", "nbsvm", "--out", tmp_path / "m").code == 0
    (tmp_path / "texts.txt").write_text("a cat\n", encoding="utf-8")
    answer = wenmo("predict", tmp_path / "m", tmp_path / "texts.txt")
    assert answer.code == 2
    assert (
        "texts.txt:1 is a single text, and this model reads pairs; bring the columns text_a and text_b" in answer.stderr
    )


def test_a_terminal_shows_both_texts_and_takes_pairs_with_a_tab(wenmo, data, tmp_path, monkeypatch, capsys):
    assert wenmo("train", data, "--model", "nbsvm", "--out", tmp_path / "m").code == 0
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(answers, "results", lambda: terminal)
    model = load(tmp_path / "m")
    answers.print_answers(
        model,
        str(data),
        text_column=None,
    )
    assert "n0 | there was a" in terminal.file.getvalue().splitlines()[0]
    typed = io.StringIO("I saw a cat\tthere was a cat\nalone\n")
    typed.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", typed)
    answers.print_answers(
        model,
        "-",
        text_column=None,
    )
    assert terminal.file.getvalue().splitlines()[-1].startswith("same ")
    assert "no tab in this line" in capsys.readouterr().err


def test_named_columns_are_read_as_pairs(wenmo, tmp_path):
    table = tmp_path / "t.tsv"
    table.write_text(pairs(60).replace("text_a\ttext_b", "asked\tknown"), encoding="utf-8")
    named = ["--text-column", "asked", "--text-b-column", "known"]
    assert wenmo("train", table, *named, "--model", "nbsvm", "--out", tmp_path / "m").code == 0
    assert wenmo("predict", tmp_path / "m", table, *named).code == 0
    assert wenmo("evaluate", tmp_path / "m", table, *named).code == 0
    assert wenmo("check", table, *named).code == 0


def test_one_text_of_a_pair_can_be_named_instead(wenmo, data, tmp_path):
    assert wenmo("train", data, "--text-column", "text_a", "--model", "nbsvm", "--out", tmp_path / "m").code == 0
    assert load_folder(tmp_path / "m").task.config.pair == "none"


def test_pairs_asked_of_single_texts_are_a_wrong_call(wenmo, train_file, tmp_path):
    answer = wenmo("train", train_file, "--model", "bag", "-o", "task.pair=joined", "--out", tmp_path / "m")
    assert answer.code == 2
    assert "train.tsv:2: a single text, and task.pair=joined reads pairs" in answer.stderr


def test_pairs_and_trees_are_calibrated_and_promised(wenmo, data, tree, tmp_path):
    more = ["-o", "task.calibrate=true", "-o", "data.calibration_share=0.3"]
    assert wenmo("train", data, "--model", "textcnn", *TINY, *more, "--out", tmp_path / "pairs").code == 0
    assert wenmo("predict", tmp_path / "pairs", data).code == 0
    calibrated = ["-o", "task.calibrate=true", "--hierarchy-separator", "/", "--out", tmp_path / "tree"]
    done = wenmo("train", tree, "--model", "textcnn", *TINY, *calibrated)
    assert done.code == 0, done.stderr
    assert load_folder(tmp_path / "tree").task.paths is not None


def test_long_pairs_are_read_in_windows_but_not_when_joined(wenmo, data, tmp_path):
    long = ["-o", "data.max_length=4", "-o", "data.long_texts=windows", "--model", "textcnn", *TINY]
    assert wenmo("train", data, *long, "--out", tmp_path / "m").code == 0
    alone, company = (load(tmp_path / "m").probabilities(each) for each in ([LONG], [("a", "b"), LONG]))
    assert abs(alone[0] - company[1]).max() < 1e-5
    assert wenmo("embed", tmp_path / "m", data, "--pooling", "mean", "--out", tmp_path / "v.npy").code == 0
    joined = wenmo("train", data, *long, "-o", "task.pair=joined", "--out", tmp_path / "j")
    assert joined.code == 2 and "data.long_texts=windows" in joined.stderr
    by_itself = wenmo("train", data, *long[:4], "--model", "transformer", "--out", tmp_path / "t")
    assert by_itself.code == 2 and "data.long_texts=windows" in by_itself.stderr  # it joins pairs unasked


# ---- labels in a tree ------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    labels = {"animal/cat": "meows", "animal/dog/big": "howls", "animal/dog/small": "yaps", "weather": "rains"}
    rng, lines = random.Random(0), ["label\ttext\n"]
    for i in range(120):
        label = sorted(labels)[i % 4]
        words = [labels[label], *rng.sample(_NOUNS, 2), f"n{i}", "alive" if label.startswith("animal") else "outside"]
        lines.append(f"{label}\t{' '.join(words)}\n")
    path = tmp_path / "tree.tsv"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("model", ["textcnn", "tfidf"])
def test_labels_in_a_tree_from_file_to_answers(wenmo, tree, tmp_path, model):
    out = tmp_path / "model"
    settings = TINY if model == "textcnn" else []
    done = wenmo("train", tree, "--model", model, *settings, "--hierarchy-separator", "/", "--out", out, "--json")
    assert done.code == 0, done.stderr
    dev = json.loads(done.stdout)["dev"]
    assert dev["accuracy_level_1"]["value"] >= dev["accuracy_level_2"]["value"] >= dev["accuracy_level_3"]["value"]
    assert dev["accuracy_level_3"] == dev["accuracy"]
    assert dev["hierarchical_f1"]["value"] >= dev["accuracy"]["value"]
    answer = json.loads(wenmo("predict", out, tree, "--json").stdout.splitlines()[1])
    assert [level["label"] for level in answer["levels"]][-1] == answer["label"]
    chances = [level["probability"] for level in answer["levels"]]
    assert chances == sorted(chances, reverse=True)
    below = [p for label, p in answer["probabilities"].items() if label.startswith("animal/")]
    assert chances[0] == pytest.approx(sum(below) if answer["label"] != "weather" else chances[-1], abs=1e-4)


def test_the_levels_stand_in_tables_too(wenmo, tree, tmp_path):
    out = tmp_path / "model"
    assert wenmo("train", tree, "--model", "tfidf", "--hierarchy-separator", "/", "--out", out).code == 0
    head, *rows = wenmo("predict", out, tree).stdout.splitlines()
    columns = head.split("\t")
    assert columns[:4] == ["label", "probability", "level_1", "level_1.probability"] and "level_3" in columns
    for row in rows:
        cells = dict(zip(columns, row.split("\t"), strict=True))
        levels = [cells[f"level_{i}"] for i in (1, 2, 3) if cells[f"level_{i}"]]
        assert levels[-1] == cells["label"]
    assert wenmo("predict", out, tree, "--out", tmp_path / "a.parquet").code == 0


def test_a_tree_grows_when_training_goes_on(wenmo, tree, tmp_path):
    out = tmp_path / "model"
    assert wenmo("train", tree, "--model", "textcnn", *TINY, "--hierarchy-separator", "/", "--out", out).code == 0
    tree.write_text(
        tree.read_text() + "".join(f"animal/cow\tmoos alive n{i}\n" for i in range(500, 520)), encoding="utf-8"
    )
    grown = tmp_path / "grown"
    assert wenmo("train", tree, "--from", out, "--out", grown, "-o", "training.max_epochs=1").code == 0
    assert "animal/cow" in load_folder(grown).task.outputs
    other = wenmo("train", tree, "--from", out, "-o", "task.hierarchy_separator=:", "--out", tmp_path / "other")
    assert other.code == 2 and "hierarchy_separator" in other.stderr


def test_slashes_are_plain_unless_asked(wenmo, tree, tmp_path):
    assert wenmo("train", tree, "--model", "tfidf", "--out", tmp_path / "m").code == 0
    answer = json.loads(wenmo("predict", tmp_path / "m", tree, "--json").stdout.splitlines()[0])
    assert "levels" not in answer and "animal/cat" in answer["probabilities"]


def test_a_model_of_pairs_is_calibrated_whatever_its_columns_are_called(wenmo, data, tmp_path):
    assert wenmo("train", data, "--model", "tfidf", "--out", tmp_path / "model").code == 0
    fresh = tmp_path / "fresh.tsv"
    fresh.write_text(pairs(120, seed=1).replace("label\ttext_a\ttext_b", "gold\tpremise\tclaim"), encoding="utf-8")
    columns = ["--label-column", "gold", "--text-column", "premise", "--text-b-column", "claim"]
    answer = wenmo("calibrate", tmp_path / "model", fresh, "--out", tmp_path / "sure", *columns, "--json")
    assert answer.code == 0, answer.stderr
    assert json.loads(answer.stdout)["rows"] == 60


def test_a_model_of_pairs_is_no_estimator(wenmo, data, tmp_path):
    assert wenmo("train", data, "--model", "tfidf", "--out", tmp_path / "model").code == 0
    with pytest.raises(InputError, match=r"reads pairs.*use wenmo\.load"):
        TextClassifier.load(tmp_path / "model")
