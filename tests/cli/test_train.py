"""``wenmo train`` from the command line."""

import json
import re
import tomllib

import pytest
from safetensors.torch import load_file


def test_train_prints_one_json_document_and_nothing_else(wenmo, tiny, train_file, tmp_path):
    answer = wenmo("train", train_file, *tiny, "--out", tmp_path / "model", "--json")
    assert answer.code == 0
    result = json.loads(answer.stdout)
    assert answer.stdout.count("\n") == 1
    assert result["model"] == str(tmp_path / "model")
    assert (result["task"], result["test"]) == ("classify", {})
    assert result["steps"] > 0 and result["seconds"] > 0 and result["parameters"] > 0
    assert {"value", "low", "high"} == set(result["dev"]["accuracy"])
    assert result["dev"]["accuracy"]["low"] <= result["dev"]["accuracy"]["value"] <= result["dev"]["accuracy"]["high"]


def test_the_summary_has_dev_and_test_beside_each_other_and_the_next_command(
    wenmo, tiny, train_file, trained, tmp_path
):
    answer = wenmo("train", train_file, "--test", trained.parent / "test.tsv", *tiny, "--out", tmp_path / "model")
    assert answer.code == 0
    heading = answer.stdout.splitlines()[0]
    assert heading.index("dev (95 % interval)") < heading.index("test (95 % interval)")
    assert re.search(r"accuracy\s+\d+\.\d\s+\(\d+\.\d–\d+\.\d\)\s+\d+\.\d\s+\(", answer.stdout)
    assert f"wenmo predict {tmp_path / 'model'} FILE" in answer.stdout


def test_progress_goes_to_standard_error(wenmo, tiny, train_file, tmp_path):
    answer = wenmo("train", train_file, *tiny, "--out", tmp_path / "model")
    assert re.search(r"textcnn: step \d+ of \d+, loss \d+\.\d+, dev accuracy \d+\.\d %", answer.stderr)
    assert "step" not in answer.stdout.splitlines()[0]


def test_a_small_textcnn_learns_what_the_words_give_away(wenmo, trained):
    answer = wenmo("evaluate", trained, trained.parent / "test.tsv", "--json")
    assert json.loads(answer.stdout)["metrics"]["accuracy"]["value"] >= 0.95


def test_the_saved_recipe_gives_the_same_weights_again(wenmo, tiny, train_file, tmp_path):
    assert wenmo("train", train_file, *tiny, "--seed", "7", "--out", tmp_path / "first").code == 0
    assert wenmo("train", "--recipe", tmp_path / "first" / "recipe.toml", "--out", tmp_path / "again").code == 0
    first, again = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "again"))
    assert first.keys() == again.keys()
    assert all(first[name].equal(again[name]) for name in first)


def test_another_seed_gives_other_weights(wenmo, tiny, train_file, tmp_path):
    weights = []
    for seed in ("1", "2"):
        assert wenmo("train", train_file, *tiny, "--seed", seed, "--out", tmp_path / seed).code == 0
        weights.append(load_file(tmp_path / seed / "model.safetensors"))
    assert not all(weights[0][name].equal(weights[1][name]) for name in weights[0])


def test_the_command_line_wins_over_the_recipe(wenmo, train_file, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'[data]\ntrain = "{train_file.as_posix()}"\n[model]\nname = "textcnn"\nembedding_size = 8\nnum_filters = 4\n'
        "[training]\nmax_epochs = 1\nseed = 3\n",
        encoding="utf-8",
    )
    answer = wenmo("train", "--recipe", recipe, "-o", "model.num_filters=5", "--seed", "4", "--out", tmp_path / "model")
    assert answer.code == 0, answer.stderr
    saved = (tmp_path / "model" / "recipe.toml").read_text(encoding="utf-8")
    assert "num_filters = 5" in saved
    assert "embedding_size = 8" in saved
    assert re.search(r"^seed = 4$", saved, flags=re.MULTILINE)


def test_a_finished_run_is_neither_overwritten_nor_done_again(wenmo, tiny, train_file, tmp_path):
    first = wenmo("train", train_file, *tiny, "--out", tmp_path / "model", "--json")
    weights = (tmp_path / "model" / "model.safetensors").read_bytes()
    again = wenmo("train", train_file, *tiny, "--out", tmp_path / "model")
    assert (again.code, again.stdout) == (2, "")
    assert "choose another --out" in again.stderr
    resumed = wenmo("train", train_file, *tiny, "--out", tmp_path / "model", "--resume", "--json")
    assert resumed.code == 0
    assert json.loads(resumed.stdout) == json.loads(first.stdout)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == weights


def test_resume_begins_where_there_is_nothing_to_resume(wenmo, tiny, train_file, tmp_path):
    assert wenmo("train", train_file, *tiny, "--out", tmp_path / "model", "--resume").code == 0
    assert (tmp_path / "model" / "config.json").exists()


def test_going_on_with_new_labels_keeps_the_old_ones_and_tells_what_was_forgotten(wenmo, trained, tmp_path):
    more = tmp_path / "more.tsv"
    rows = [f"{('pos', 'odd')[i % 2]}\t{('lovely', 'strange')[i % 2]} film number {i}" for i in range(60)]
    more.write_text("label\ttext\n" + "\n".join(rows) + "\n", encoding="utf-8")
    answer = wenmo("train", more, "--from", trained, "--out", tmp_path / "model", "--json")
    assert answer.code == 0, answer.stderr
    result = json.loads(answer.stdout)
    labels = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))["id2label"]
    assert labels == {"0": "neg", "1": "pos", "2": "odd"}
    assert set(result["forgotten"]) == {"rows", "before", "after"}
    again = wenmo("train", more, "--from", trained, "--out", tmp_path / "again")
    assert "before" in again.stdout and "after" in again.stdout


def test_word_vectors_tell_their_coverage(wenmo, tiny, train_file, tmp_path):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("lovely " + "0.5 " * 8 + "\nawful " + "-0.5 " * 8 + "\n", encoding="utf-8")
    answer = wenmo("train", train_file, "--vectors", vectors, *tiny, "--out", tmp_path / "model")
    assert answer.code == 0
    assert re.search(r"note: .*2 of \d+", answer.stderr)


def test_several_labels_of_a_text_are_separated_as_asked(wenmo, tiny, tmp_path):
    data = tmp_path / "data.tsv"
    rows = [f"{('a', 'b', 'a;b')[i % 3]}\t{('alpha', 'beta', 'alpha beta')[i % 3]} number {i}" for i in range(90)]
    data.write_text("label\ttext\n" + "\n".join(rows) + "\n", encoding="utf-8")
    answer = wenmo("train", data, "--label-separator", ";", *tiny, "--out", tmp_path / "model")
    assert answer.code == 0, answer.stderr
    assert "micro F1" in answer.stdout  # differs from the accuracy here
    labels = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))["label2id"]
    assert set(labels) == {"a", "b"}


def test_rows_of_a_group_stay_together_and_time_splits_by_the_latest(wenmo, tiny, tmp_path):
    data = tmp_path / "data.csv"
    rows = [f"{('pos', 'neg')[i % 2]},film {i},g{i // 4},2026-01-{i % 28 + 1:02d}" for i in range(80)]
    data.write_text("label,text,author,day\n" + "\n".join(rows) + "\n", encoding="utf-8")
    for column in ("--group-column=author", "--time-column=day"):
        answer = wenmo("train", data, column, *tiny, "--out", tmp_path / column)
        assert answer.code == 0, answer.stderr


def test_what_helps_rare_labels_is_an_option_each(wenmo, tiny, train_file, tmp_path):
    options = ("--sampling", "balanced", "--loss", "focal", "--label-smoothing", "0.1")
    assert wenmo("train", train_file, *tiny, *options, "--out", tmp_path / "drawn").code == 0
    recipe = tomllib.loads((tmp_path / "drawn" / "recipe.toml").read_text())
    assert (recipe["task"]["loss"], recipe["task"]["label_smoothing"]) == ("focal", 0.1)
    assert recipe["training"]["sampling"] == "balanced"
    linear = ("--model", "tfidf", "--class-weights", "balanced", "--out", tmp_path / "linear")
    assert wenmo("train", train_file, *linear).code == 0
    assert load_file(tmp_path / "linear" / "model.safetensors").keys() == {
        "classifier.bias", "classifier.weight", "extractor.idf", "extractor.weights.weight",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "tfidf", "--loss", "focal"), "a linear model fits its own convex loss"),
        (("--model", "bag", "--class-weights", "balanced", "--sampling", "balanced"), "Set one of them"),
        (("--model", "bag", "--class-weights", "heavy"), "task.class_weights"),
        (("--model", "bag", "--loss", "hinge"), "task.loss"),
        (("--model", "bag", "--label-smoothing", "1"), "label_smoothing must be at least 0 and below 1"),
        (("--model", "bag", "-o", "task.focal_gamma=-1"), "focal_gamma must not be negative"),
        (("--model", "bag", "-o", "data.long_texts=middle"), "data.long_texts"),
    ],
)
def test_options_for_rare_labels_that_cannot_work(wenmo, train_file, options, message, tmp_path):
    answer = wenmo("train", train_file, *options, "--out", tmp_path / "model")
    assert answer.code == 2 and message in answer.stderr
    assert not (tmp_path / "model").exists()


def test_a_comparison_gives_baselines_what_they_can_use(wenmo, train_file, tmp_path):
    overrides = ("-o", "task.loss=focal", "-o", "training.max_epochs=1", "-o", "model.embedding_size=4")
    answer = wenmo("compare", train_file, "--models", "bag", *overrides, "--out", tmp_path / "all", "--json")
    assert answer.code == 0 and all(row["value"] is not None for row in json.loads(answer.stdout)["rows"])
    losses = {
        name: tomllib.loads((tmp_path / "all" / "models" / name / "recipe.toml").read_text())["task"]["loss"]
        for name in ("tfidf", "bag")
    }
    assert losses == {"tfidf": "cross_entropy", "bag": "focal"}
