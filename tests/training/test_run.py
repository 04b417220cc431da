"""From a recipe to a model folder, and on from there."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from wenmo.data.long_texts import LongTexts
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.folder import load_folder, weights_digest
from wenmo.inference.loading import load
from wenmo.tasks.classification import ClassificationConfig
from wenmo.training.corpus import encode, read_corpus
from wenmo.training.recipe import Recipe
from wenmo.training.run import run, train
from wenmo.training.settings import DataSettings


@pytest.fixture
def small(small_recipe: Recipe) -> list[str]:
    """Overrides that train in a second."""
    model, training = small_recipe.model.to_dict(), small_recipe.training
    return [
        f"model.embedding_size={model['embedding_size']}",
        f"model.num_filters={model['num_filters']}",
        f"training.max_epochs={training.max_epochs}",
        f"training.batch_size={training.batch_size}",
        f"training.learning_rate={training.learning_rate}",
    ]


def test_a_saved_recipe_gives_the_same_weights_again(reviews: Path, small: list[str], tmp_path: Path) -> None:
    first = train(reviews, model="textcnn", out=tmp_path / "first", overrides=small, seed=3)
    again = train(recipe=tmp_path / "first" / "recipe.toml", out=tmp_path / "again")
    weights = [weights_digest(tmp_path / name / "model.safetensors") for name in ("first", "again")]
    assert weights[0] == weights[1]
    assert first.dev == again.dev and first.dev["accuracy"]["value"] > 0.9


def test_the_saved_recipe_holds_every_size_and_label(reviews: Path, small: list[str], tmp_path: Path) -> None:
    train(reviews, model="textcnn", out=tmp_path / "model", overrides=small)
    recipe = tomllib.loads((tmp_path / "model" / "recipe.toml").read_text())
    assert recipe["model"]["vocab_size"] == load_folder(tmp_path / "model").tokenizer.vocab_size > 100
    assert recipe["task"]["labels"] == ["bad", "good"]
    assert recipe["data"]["tokenizer"]["segmenter"] == "words"
    card = (tmp_path / "model" / "README.md").read_text()
    assert "Words that were not in the training data are unknown to it." in card
    assert "`bad`, `good`" in card and "SHA-256" in card and "| dev | accuracy |" in card


@pytest.mark.parametrize("name", ["tfidf", "nbsvm", "bag"])
def test_every_baseline_learns_and_comes_back_from_its_folder(name: str, reviews: Path, tmp_path: Path) -> None:
    overrides = ["model.embedding_size=16", "model.num_buckets=64", "training.learning_rate=0.05"]
    result = train(reviews, model=name, out=tmp_path / name, overrides=overrides if name == "bag" else [])
    assert result.dev["accuracy"]["value"] > 0.9
    folder = load_folder(tmp_path / name)
    dev = read_corpus(DataSettings(train=str(reviews)), ClassificationConfig()).dev
    store = encode(dev, folder.tokenizer, folder.task.config, LongTexts())
    answers = folder.task.answer_store(store, torch.device("cpu"))
    right = folder.task.is_right(folder.task.gold(store), answers).mean()
    assert right == pytest.approx(result.dev["accuracy"]["value"])
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


def test_word_vectors_set_the_width_and_are_told_by_their_coverage(
    reviews: Path, small: list[str], tmp_path: Path
) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("fine 1 0 0 0\nbad -1 0 0 0\nthe 0 1 0 0\nunheard 9 9 9 9\n")
    without_size = [override for override in small if "embedding_size" not in override]
    result = train(reviews, model="textcnn", out=tmp_path / "model", overrides=without_size, vectors=vectors)
    config = load_folder(tmp_path / "model").task.extractor_config.to_dict()
    assert (config["embedding_size"], config["channels"]) == (4, "non-static")
    assert any("3 of" in note for note in result.notes), result.notes
    with pytest.raises(InputError, match=r"vectors have 4 numbers, but model\.embedding_size is 8"):
        train(reviews, model="textcnn", out=tmp_path / "other", overrides=small, vectors=vectors)
    with pytest.raises(InputError, match="takes no word vectors"):
        train(reviews, model="tfidf", out=tmp_path / "other", vectors=vectors)


def test_static_vectors_stay_as_they_were_given(reviews: Path, small: list[str], tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("fine 1 0 0 0 0 0 0 0\nbad -1 0 0 0 0 0 0 0\n")
    train(reviews, model="textcnn", out=tmp_path / "m", overrides=[*small, "model.channels=static"], vectors=vectors)
    folder = load_folder(tmp_path / "m")
    row = folder.tokenizer.vocabulary.index("fine")
    assert folder.task.extractor.embeddings.words.weight[row].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]  # type: ignore[union-attr]


def test_a_run_goes_on_from_a_model_with_new_labels_and_says_what_was_forgotten(
    reviews: Path, small: list[str], tmp_path: Path
) -> None:
    train(reviews, model="textcnn", out=tmp_path / "old", overrides=small)
    new = tmp_path / "new.tsv"
    lines = [f"mixed\tthe film was so so really {i}" for i in range(60)]
    lines += [f"good\tlovely cast and plot m{i}" for i in range(60)]
    new.write_text("label\ttext\n" + "\n".join(lines) + "\n")
    result = train(new, start=tmp_path / "old", out=tmp_path / "next")
    folder = load_folder(tmp_path / "next")
    assert folder.task.config.labels == ("bad", "good", "mixed")
    assert result.forgotten is not None and result.forgotten["rows"] > 20
    assert set(result.forgotten) == {"rows", "before", "after"}
    assert result.dev["accuracy"]["value"] > 0.8
    with pytest.raises(InputError, match="leave --model out"):
        train(new, start=tmp_path / "old", out=tmp_path / "x", model="bag")


def test_what_holds_for_a_run_that_goes_on(reviews: Path, small: list[str], tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("fine 1 0 0 0\nbad -1 0 0 0\n")
    narrow = [override for override in small if "embedding_size" not in override]
    train(reviews, model="textcnn", out=tmp_path / "old", overrides=narrow, vectors=vectors)
    file = tmp_path / "recipe.toml"
    file.write_text("[training]\nlearning_rate = 0.005\nmax_steps = 2\n")
    train(reviews, start=tmp_path / "old", recipe=file, out=tmp_path / "next")
    recipe = load_folder(tmp_path / "next").recipe
    assert recipe["training"]["learning_rate"] == 0.005, "the file was not listened to"
    assert recipe["training"]["batch_size"] == 20, "the model's own recipe was not listened to"
    assert recipe["model"]["channels"] == "non-static"
    assert f"--from {tmp_path / 'old'}" in (tmp_path / "next" / "README.md").read_text()
    train(start=tmp_path / "old", recipe=tmp_path / "next" / "recipe.toml", out=tmp_path / "again")
    weights = [weights_digest(tmp_path / name / "model.safetensors") for name in ("next", "again")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.num_filters=5", "the sizes of the model"),
        ("data.tokenizer=characters", "the tokenizer is the model's own"),
        ("data.vectors=vectors.txt", "the word vectors are the model's own"),
    ],
)
def test_a_run_that_goes_on_refuses_to_be_another_model(
    override: str, message: str, reviews: Path, small: list[str], tmp_path: Path
) -> None:
    train(reviews, model="textcnn", out=tmp_path / "old", overrides=[*small, "training.max_steps=1"])
    with pytest.raises(InputError, match=message):
        train(reviews, start=tmp_path / "old", out=tmp_path / "next", overrides=[override])


def test_old_data_that_have_changed_say_nothing_of_what_was_forgotten(
    reviews: Path, small: list[str], tmp_path: Path
) -> None:
    train(reviews, model="textcnn", out=tmp_path / "old", overrides=small)
    with reviews.open("a", encoding="utf-8") as file:
        file.writelines(f"mixed\tso so {i}\n" for i in range(40))
    result = train(reviews, start=tmp_path / "old", out=tmp_path / "next", overrides=["training.max_steps=1"])
    assert load_folder(tmp_path / "next").task.config.labels == ("bad", "good", "mixed")
    assert result.forgotten is None


def test_going_on_without_an_update_keeps_the_known_rows_of_the_head(
    reviews: Path, small: list[str], tmp_path: Path
) -> None:
    train(reviews, model="textcnn", out=tmp_path / "old", overrides=small)
    new = tmp_path / "new.tsv"
    new.write_text("label\ttext\n" + "".join(f"{'ab'[i % 2]}\tgood film {i}\n" for i in range(40)))
    frozen = ["training.learning_rate=1e-30", "training.max_steps=1", "training.weight_decay=0"]
    train(new, start=tmp_path / "old", out=tmp_path / "next", overrides=frozen)
    old, next_ = load_folder(tmp_path / "old"), load_folder(tmp_path / "next")
    assert next_.task.config.labels == ("bad", "good", "a", "b")
    torch.testing.assert_close(next_.task.classifier.weight[:2], old.task.classifier.weight)
    assert next_.task.classifier.weight[2:].abs().max() < 1e-6


def test_a_folder_that_is_taken_is_refused_and_a_finished_run_is_left_alone(
    reviews: Path, small: list[str], tmp_path: Path
) -> None:
    first = train(reviews, model="textcnn", out=tmp_path / "model", overrides=small)
    before = (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(InputError, match="a model stands there already"):
        train(reviews, model="textcnn", out=tmp_path / "model", overrides=small)
    again = train(reviews, model="textcnn", out=tmp_path / "model", overrides=small, resume=True)
    assert again.to_dict() == first.to_dict()
    assert (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_two_processes_make_the_updates_of_one(reviews: Path, small: list[str], tmp_path: Path) -> None:
    settings = [*small, "training.max_steps=8", "training.optimizer=sgd", "training.learning_rate=0.3"]
    settings += ["task.dropout_prob=0", "training.lazy_rows=false", "data.bucket=0", "training.patience=0"]
    halves = [setting.replace("batch_size=20", "batch_size=10") for setting in settings]
    train(reviews, model="textcnn", out=tmp_path / "one", overrides=[*settings])
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    halved = [part for setting in halves for part in ("-o", setting)]
    done = subprocess.run(
        [*command, "-m", "wenmo", "train", str(reviews), "--model", "textcnn", "--out", str(tmp_path / "two"), *halved],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("use it") == 1, "every process told the result"
    one, two = (load_folder(tmp_path / name).task.state_dict() for name in ("one", "two"))
    for name, weight in one.items():
        torch.testing.assert_close(weight, two[name], rtol=0, atol=1e-5)  # float32, another order of sums


def test_the_texts_of_a_run_are_read_once_and_its_hash_is_kept(
    reviews: Path, small_recipe: Recipe, tmp_path: Path
) -> None:
    corpus = read_corpus(small_recipe.data, small_recipe.task)
    run(small_recipe, tmp_path / "model", corpus=corpus)
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert metrics["data_sha256"] == read_corpus(small_recipe.data, small_recipe.task).digest()


def test_one_class_and_one_label_unseen_in_train_are_refused(tmp_path: Path, small: list[str]) -> None:
    one = tmp_path / "one.tsv"
    one.write_text("label\ttext\n" + "".join(f"a\ttext {i}\n" for i in range(30)))
    with pytest.raises(InputError, match="a classifier needs two"):
        train(one, model="textcnn", out=tmp_path / "m", overrides=small)
    none = tmp_path / "none.jsonl"
    none.write_text("".join(f'{{"text": "text {i}", "labels": []}}\n' for i in range(30)))
    with pytest.raises(InputError, match="no row has a label"):
        train(none, model="textcnn", out=tmp_path / "m", overrides=small)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a file stands in the way"):
        train(one, model="textcnn", out=tmp_path / "file", overrides=small)
    two = tmp_path / "two.tsv"
    two.write_text("label\ttext\n" + "".join(f"{'ab'[i % 2]}\ttext {i}\n" for i in range(30)))
    dev = tmp_path / "dev.tsv"
    dev.write_text("label\ttext\na\tx\nc\ty\n")
    with pytest.raises(InputError, match=r"dev\.tsv:3: the label 'c' was not seen in training"):
        train(two, dev=dev, model="textcnn", out=tmp_path / "m", overrides=small)


def test_a_store_in_a_file_gives_the_same_weights_and_is_gone_afterwards(
    small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(small_recipe, tmp_path / "memory")
    monkeypatch.setattr("wenmo.training.corpus._CHARACTERS_IN_MEMORY", 100)
    opened: list[Path] = []
    really_open = TokenStore.open

    def note(path: Path) -> TokenStore:
        opened.append(path)
        return really_open(path)

    monkeypatch.setattr(TokenStore, "open", note)
    run(small_recipe, tmp_path / "file")
    assert [path.name for path in opened] == ["train-0.arrow", "dev-0.arrow"]
    weights = [weights_digest(tmp_path / name / "model.safetensors") for name in ("memory", "file")]
    assert weights[0] == weights[1]
    assert not (tmp_path / "file" / "stores").exists()


def test_a_recipe_finds_its_data_below_the_folder_of_data_sets(
    reviews: Path, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sets" / "films").mkdir(parents=True)
    reviews.rename(tmp_path / "sets" / "films" / "train.tsv")
    (tmp_path / "sets" / "vectors.txt").write_text("fine 1 0\nbad -1 0\n")
    monkeypatch.setenv("WENMO_DATA", str(tmp_path / "sets"))
    overrides = [override for override in small if "embedding_size" not in override]
    result = train("films/train.tsv", model="textcnn", out=tmp_path / "m", overrides=overrides, vectors="vectors.txt")
    assert result.dev["accuracy"]["value"] > 0.8
    monkeypatch.delenv("WENMO_DATA")
    with pytest.raises(InputError, match=r"films/train\.tsv does not exist"):
        train("films/train.tsv", model="textcnn", out=tmp_path / "n", overrides=overrides)


def test_a_few_rows_of_a_large_train_find_the_regularization(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wenmo.training.linear._ROWS_FOR_CHOOSING", 90)
    result = train(reviews, model="tfidf", out=tmp_path / "m")
    chosen = tomllib.loads((tmp_path / "m" / "recipe.toml").read_text())["model"]["regularization"]
    assert chosen in (1.0, 3.0, 10.0, 30.0) and result.dev["accuracy"]["value"] > 0.9


@pytest.fixture
def unbalanced(tmp_path: Path) -> Path:
    """400 texts, 20 of them rare; a word tells them half of the time."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(400):
        label = "rare" if i % 20 == 0 else "often"
        words = [f"w{n}" for n in rng.integers(0, 30, 8)]
        if rng.random() < (0.8 if label == "rare" else 0.1):
            words[0] = "sign"
        lines.append(f"{label}\t{' '.join(words)} n{i}")
    path = tmp_path / "unbalanced.tsv"
    path.write_text("label\ttext\n" + "\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("name", ["textcnn", "tfidf"])
@pytest.mark.parametrize("treatment", [{"class_weights": "balanced"}, {"sampling": "balanced"}])
def test_rare_labels_are_found_when_they_are_asked_for(
    name: str, treatment: dict[str, str], unbalanced: Path, small: list[str], tmp_path: Path
) -> None:
    overrides = [*small, "data.dev_share=0"] if name == "textcnn" else ["data.dev_share=0"]

    def rare(place: str, **more: str) -> float:
        train(unbalanced, model=name, out=tmp_path / place, overrides=overrides, **more)  # type: ignore[arg-type]
        folder = load_folder(tmp_path / place)
        rows = [
            row
            for row in read_corpus(DataSettings(train=str(unbalanced), dev_share=0), ClassificationConfig()).train
            if row.label == "rare"
        ]
        store = encode(rows, folder.tokenizer, folder.task.config, LongTexts())
        return float(folder.task.answer_store(store, torch.device("cpu"))[:, 1].mean())

    if name == "tfidf" and "sampling" in treatment:
        with pytest.raises(InputError, match="a linear model is fitted on all texts at once"):
            rare("linear", **treatment)
        return
    assert rare("treated", **treatment) > rare("plain") + 0.2


@pytest.mark.parametrize("how", ["tail", "head+tail", "windows"])
def test_long_texts_are_read_in_use_as_they_were_in_training(how: str, small: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = []
    for i in range(200):
        words = [f"w{n}" for n in rng.integers(0, 20, 30)]
        words[28 if how != "windows" else 15] = ("fine", "bad")[i % 2]
        lines.append(f"{('good', 'poor')[i % 2]}\t{' '.join(words)} n{i}")
    (tmp_path / "long.tsv").write_text("label\ttext\n" + "\n".join(lines) + "\n")
    overrides = [*small, "training.max_epochs=8", "data.max_length=8", f"data.long_texts={how}"]
    result = train(tmp_path / "long.tsv", model="textcnn", out=tmp_path / "model", overrides=overrides)
    assert result.dev["accuracy"]["value"] > 0.9, "the word that tells stands behind the head"
    assert any("180 training texts are" in note and "(data.max_length)" in note for note in result.notes), result.notes
    used = load(tmp_path / "model")
    dev = read_corpus(DataSettings(train=str(tmp_path / "long.tsv")), ClassificationConfig()).dev
    answers = used.predict([row.text for row in dev])
    right = np.mean([answer.label == row.label for answer, row in zip(answers, dev, strict=True)])
    assert right == pytest.approx(result.dev["accuracy"]["value"])
    more = train(
        tmp_path / "long.tsv", start=tmp_path / "model", out=tmp_path / "more", overrides=["training.max_steps=2"]
    )
    assert load_folder(tmp_path / "more").recipe["data"]["long_texts"] == how and more.forgotten is not None
    assert more.forgotten["before"]["accuracy"]["value"] == pytest.approx(result.dev["accuracy"]["value"])
