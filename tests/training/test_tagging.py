"""Runs of taggers: resumed bit for bit, with word vectors, from the recipe that was saved."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from wenmo.errors import InputError
from wenmo.folder import load_folder
from wenmo.inference.loading import load
from wenmo.inference.tagging import Tagger
from wenmo.interchange.allennlp import read_elmo
from wenmo.tasks.tagging import Tagging
from wenmo.training.progress import Observer
from wenmo.training.run import train

TaggedFile = Callable[..., Path]
SMALL = [
    *("model.embedding_size=6", "model.num_units=5", "training.batch_size=8", "training.patience=0"),
    *("training.save_steps=4", "training.max_epochs=2", "model.character_features=cnn", "model.character_size=4"),
    "task.trained_scheme=BIOES",
]


class Stop(Observer):
    """Pulls the plug at a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def stepped(self, step: int, loss: float) -> None:
        if step == self._step:
            raise RuntimeError("the plug is pulled")


def test_a_run_that_was_killed_gives_the_weights_of_one_that_was_not(tagged_file: TaggedFile, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"dev": tagged_file("dev.conll", 10, seed=1), "model": "bilstm", "overrides": SMALL}
    whole = train(tagged_file(), out=tmp_path / "whole", **settings)
    assert whole.steps == 16
    with pytest.raises(RuntimeError, match="the plug"):
        train(tagged_file(), out=tmp_path / "cut", observers=[Stop(10)], **settings)
    again = train(tagged_file(), out=tmp_path / "cut", resume=True, **settings)
    assert again.steps == 16 and again.dev == whole.dev
    weights, others = (load_folder(tmp_path / name).task.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_elmo_learns_from_random_weights_and_comes_back_from_its_folder(
    tagged_file: TaggedFile, tmp_path: Path
) -> None:
    overrides = ["model.num_units=64", "training.batch_size=8", "training.max_epochs=5"]
    dev = tagged_file("dev.conll", 10, seed=1)
    run = train(tagged_file(), dev=dev, model="elmo", out=tmp_path / "elmo", overrides=overrides)
    assert run.dev["f1"]["value"] > 0.5
    tagger = load(run.model)
    assert isinstance(tagger, Tagger)
    sentences = [["Xaver", "saw", "Bonnville"], ["the"]]
    together, alone = tagger.predict_words(sentences), [tagger.predict_words([each])[0] for each in sentences]
    assert together == alone
    again = train(out=tmp_path / "again", recipe=Path(run.model) / "recipe.toml")
    weights, others = (load_folder(folder).task.state_dict() for folder in (run.model, again.model))
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_tagger_on_a_published_elmo_learns_its_head_and_the_mixture(
    tagged_file: TaggedFile, tmp_path: Path, data_folder: Path
) -> None:
    elmo = data_folder.parent / "reference" / "elmo"
    if not elmo.is_dir():
        pytest.skip(f"no reference outputs of ELMo: {elmo} is not a folder")
    dev = tagged_file("dev.conll", 10, seed=1)
    overrides = ["training.batch_size=8", "training.max_epochs=6", "training.learning_rate=0.05"]
    run = train(tagged_file(), dev=dev, model=f"elmo:{elmo}", out=tmp_path / "tagger", overrides=overrides)
    assert run.dev["f1"]["value"] > 0.2
    weights = load_folder(run.model).task.extractor.state_dict()
    published = read_elmo(elmo).weights
    moved = {name for name in published if not torch.equal(weights[name], published[name])}
    assert moved == {"mix.weights", "mix.gamma"}
    again = train(tagged_file(), dev=dev, model=str(elmo / "options.json"), out=tmp_path / "again", overrides=overrides)
    assert again.dev == run.dev
    with pytest.raises(InputError, match="write --model elmo"):
        train(tagged_file(), model=f"bert:{elmo}", out=tmp_path / "bert")


def test_words_that_only_the_vectors_know_keep_theirs(tagged_file: TaggedFile, tmp_path: Path) -> None:
    lines = [f"{word} {' '.join(['0.5'] * 6)}\n" for word in ("anna", "bob", "zebra", "Capital")]
    (tmp_path / "vectors.txt").write_text("".join(lines))
    call: dict[str, Any] = {"model": "bilstm", "vectors": tmp_path / "vectors.txt"}
    overrides = [*SMALL, "training.max_steps=1", "data.keep_vector_words=true"]
    train(tagged_file(), out=tmp_path / "model", overrides=overrides, **call)
    folder = load_folder(tmp_path / "model")
    assert isinstance(folder.task, Tagging)
    place = folder.tokenizer.vocabulary.index("zebra")
    table: Any = folder.task.extractor.embeddings
    assert torch.equal(table.words.weight[place], torch.full((6,), 0.5))
    assert "capital" not in folder.tokenizer.vocabulary and "Capital" not in folder.tokenizer.vocabulary
    plain = train(tagged_file(), out=tmp_path / "plain", overrides=[*SMALL, "training.max_steps=1"], **call)
    assert "zebra" not in load_folder(plain.model).tokenizer.vocabulary


def test_settings_that_mean_nothing_to_a_tagger_are_refused(tagged_file: TaggedFile, tmp_path: Path) -> None:
    for overrides, message in (
        (["data.keep_vector_words=true"], "no vectors are named"),
        (["training.sampling=balanced"], "leave it out"),
        (["data.window_overlap=0.25"], "reads every token once"),
        (["data.long_texts=tail"], r"data\.long_texts=tail"),
        (["data.calibration_share=0.2"], "promises are made by classifiers"),
        (["task.class_weights=balanced"], "class_weights"),
    ):
        with pytest.raises(InputError, match=message):
            train(tagged_file(), model="bilstm", out=tmp_path / "model", overrides=overrides)


def test_only_taggers_look_into_words(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("label\ttext\n" + "".join(f"good\ta n{i}\nbad\tb m{i}\n" for i in range(20)))
    with pytest.raises(InputError, match=r"model\.character_features is for taggers"):
        train(tmp_path / "x.tsv", model="bilstm", out=tmp_path / "m", overrides=["model.character_features=cnn"])
