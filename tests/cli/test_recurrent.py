"""The presets of recurrent models, each through every verb, as a person runs them."""

import json

import numpy as np
import pytest
from safetensors.torch import load_file

RECURRENT = ["rnn", "lstm", "gru", "bilstm", "bigru"]
SMALL = [
    *("-o", "model.embedding_size=8", "-o", "model.num_units=8", "-o", "model.embedding_dropout_prob=0.1"),
    *("-o", "training.max_epochs=6", "-o", "training.batch_size=8", "-o", "training.learning_rate=0.02"),
]


@pytest.fixture(scope="module", params=RECURRENT)
def learnt(request, trained, tmp_path_factory):
    """A small model of each preset, trained from the command line, and the name of the preset."""
    from wenmo.cli import main

    out = tmp_path_factory.mktemp(request.param) / "model"
    arguments = ["train", trained.parent / "train.tsv", "--model", request.param, *SMALL, "--out", out]
    assert main([str(argument) for argument in arguments]) == 0
    return out, request.param


def test_every_preset_learns_what_the_words_give_away(learnt, wenmo, trained):
    answer = wenmo("evaluate", learnt[0], trained.parent / "test.tsv", "--json")
    assert json.loads(answer.stdout)["metrics"]["accuracy"]["value"] >= 0.85


def test_the_packed_runtime_answers_as_torch_does(learnt, wenmo, trained):
    answers = {}
    for runtime in ("packed", "torch", "auto"):
        said = wenmo("predict", learnt[0], trained.parent / "test.tsv", "--runtime", runtime, "--json")
        assert said.code == 0, said.stderr
        answers[runtime] = [json.loads(line) for line in said.stdout.splitlines()]
    assert len(answers["torch"]) == 40
    assert answers["auto"] == answers["packed"]
    for one, other in zip(answers["packed"], answers["torch"], strict=True):
        assert one["label"] == other["label"]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_texts_become_vectors_by_any_pooling(learnt, wenmo, trained, tmp_path):
    width = 16 if learnt[1].startswith("bi") else 8
    for pooling in ("max", "mean", None):
        how = ["--pooling", pooling] if pooling else []
        out = tmp_path / f"{pooling}.npy"
        assert wenmo("embed", learnt[0], trained.parent / "test.tsv", "--out", out, *how).code == 0
        assert np.load(out).shape == (40, width)
    np.testing.assert_allclose(np.load(tmp_path / "max.npy"), np.load(tmp_path / "None.npy"), atol=1e-6)


def test_a_run_goes_on_from_the_model(learnt, wenmo, train_file, tmp_path):
    shown = wenmo("train", train_file, "--from", learnt[0], "--out", tmp_path / "next", "-o", "training.max_steps=2")
    assert shown.code == 0, shown.stderr
    before, after = (load_file(path / "model.safetensors") for path in (learnt[0], tmp_path / "next"))
    assert before.keys() == after.keys()


def test_the_saved_recipe_gives_the_same_weights_again(learnt, wenmo, tmp_path):
    assert wenmo("train", "--recipe", learnt[0] / "recipe.toml", "--out", tmp_path / "again").code == 0
    first, again = (load_file(path / "model.safetensors") for path in (learnt[0], tmp_path / "again"))
    assert all(first[name].equal(again[name]) for name in first)


@pytest.mark.parametrize("name", RECURRENT)
def test_a_trace_shows_what_the_model_does_to_a_text(wenmo, name):
    answer = wenmo("models", name, "--trace", "not a bad film", "-o", "model.num_units=7", "--json")
    assert answer.code == 0, answer.stderr
    gates = {"rnn": 1, "lstm": 4, "gru": 3, "bilstm": 4, "bigru": 3}[name]
    shapes = [tuple(step["shape"]) for step in json.loads(answer.stdout)["steps"]]
    directions = 2 if name.startswith("bi") else 1
    assert shapes == [(4, 300), *[(4, 7 * gates)] * directions, (4, 7 * directions), (1, 7 * directions)]


def test_word_vectors_set_the_width_as_for_textcnn(wenmo, train_file, tmp_path):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("great 1 0 0 0\nawful -1 0 0 0\n", encoding="utf-8")
    call = ["train", train_file, "--model", "bigru", "--vectors", vectors, "-o", "model.channels=static"]
    assert wenmo(*call, "-o", "training.max_steps=2", "--out", tmp_path / "m").code == 0
    config = json.loads((tmp_path / "m" / "config.json").read_text(encoding="utf-8"))
    assert (config["embedding_size"], config["channels"]) == (4, "static")
    words = load_file(tmp_path / "m" / "model.safetensors")["extractor.embeddings.words.weight"]
    assert [1, 0, 0, 0] in words.tolist()


def test_a_comparison_plans_and_ranks_them(wenmo, train_file, tmp_path):
    call = [
        "compare",
        train_file,
        "--models",
        "bilstm,gru",
        *SMALL,
        "--budget",
        "20s",
        "--out",
        tmp_path / "cmp",
        "--json",
    ]
    answer = wenmo(*call)
    assert answer.code == 0, answer.stderr
    rows = {row["model"]: row for row in json.loads(answer.stdout)["rows"]}
    assert set(rows) == {"tfidf", "nbsvm", "bilstm", "gru"}
    assert all(row["failed"] is None for row in rows.values())
    assert "plan: bilstm" in answer.stderr


def test_an_option_of_another_cell_is_a_wrong_call(wenmo, train_file, tmp_path):
    answer = wenmo("train", train_file, "--model", "bigru", "-o", "model.activation=relu", "--out", tmp_path / "m")
    assert answer.code == 2
    assert "activation is for cell='rnn'" in answer.stderr
