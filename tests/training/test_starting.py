"""Runs that start from a checkpoint: which settings, whose tokenizer, which weights; and made again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import wenmo
from wenmo.errors import InputError
from wenmo.folder import load_folder
from wenmo.text.pretrained import PretrainedTokenizer
from wenmo.training.optimization import build_optimizers, rate_factor
from wenmo.training.progress import Silent
from wenmo.training.recipe import Recipe
from wenmo.training.settings import TrainingSettings

ROWS = [("good film", "yes"), ("bad plot", "no"), ("a great story", "yes"), ("the film is poor", "no")]


@pytest.fixture
def bert(tmp_path: Path, save_bert: Callable[..., Any]) -> Path:
    save_bert(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.tsv"
    path.write_text("text\tlabel\n" + "".join(f"{text} {i}\t{label}\n" for i in "bcdef" for text, label in ROWS))
    return path


def test_a_checkpoint_brings_its_model_its_tokenizer_and_settings_for_fine_tuning(bert: Path) -> None:
    recipe = Recipe.build(model=f"bert:{bert}", overrides=["training.max_epochs=2"])
    assert (recipe.model.model_type, recipe.model.hidden_size, recipe.model.vocab_size) == ("bert", 16, 74)
    assert (recipe.data.tokenizer.segmenter, recipe.data.max_length) == ("pretrained", 40)
    training = recipe.training
    assert (training.learning_rate, training.warmup_share, training.batch_size) == (3e-5, 0.1, 32)
    assert training.max_epochs == 2
    assert recipe.task.dropout_prob == 0.1  # type: ignore[attr-defined]
    assert Recipe.build(model=str(bert)).model == recipe.model
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_another_model_on_the_command_line_leaves_a_files_checkpoint(bert: Path, tmp_path: Path) -> None:
    import tomli_w

    file = tmp_path / "recipe.toml"
    file.write_text(tomli_w.dumps(Recipe.build(model=str(bert)).to_dict()))
    assert Recipe.build(file=file).checkpoint == str(bert)
    other = Recipe.build(model="textcnn", file=file)
    assert (other.checkpoint, other.data.tokenizer.segmenter) == (None, "auto")
    file.write_text(f'checkpoint = "{bert}"\n')
    assert Recipe.build(file=file).model.hidden_size == 16


@pytest.mark.parametrize(
    ("model", "overrides", "message"),
    [
        ("bert:{}/none", [], "there is no folder"),
        ("gpt2:{}/bert", [], "the checkpoint is a bert"),
        ("bert:{}/bert", ["data.max_length=41"], "max_position_embeddings=40"),
    ],
)
def test_what_cannot_be_started_from_is_refused(bert: Path, model: str, overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.build(model=model.format(bert.parent), overrides=overrides)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.tokenizer=words", "reads with the checkpoint's tokenizer"),
        ("model.num_hidden_layers=3", "leave the sizes out"),
        ("model.intermediate_size=32", "leave the sizes out"),
    ],
)
def test_settings_that_are_the_checkpoints_are_refused(
    bert: Path, reviews: Path, tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        wenmo.train(reviews, model=f"bert:{bert}", out=tmp_path / "out", overrides=[override])


def test_a_classifier_starts_from_the_weights_of_the_checkpoint(bert: Path, reviews: Path, tmp_path: Path) -> None:
    overrides = ["training.learning_rate=0.0", "training.max_epochs=1"]
    result = wenmo.train(reviews, model=f"bert:{bert}", out=tmp_path / "out", overrides=overrides)
    assert result.task == "classify"
    folder = load_folder(tmp_path / "out")
    assert isinstance(folder.tokenizer, PretrainedTokenizer)
    from wenmo.interchange.huggingface import read_checkpoint

    for name, weight in read_checkpoint(bert).weights.items():
        assert torch.equal(folder.task.extractor.state_dict()[name], weight), name
    assert "checkpoint" in (tmp_path / "out" / "README.md").read_text()


def test_a_classifier_learns_and_its_saved_recipe_makes_it_again(bert: Path, reviews: Path, tmp_path: Path) -> None:
    overrides = [
        "training.learning_rate=0.01",
        "training.max_epochs=15",
        "training.patience=0",
        "training.batch_size=8",
    ]
    wenmo.train(reviews, dev=reviews, model=f"bert:{bert}", out=tmp_path / "out", overrides=overrides)
    texts = [text for text, _ in ROWS]
    first = wenmo.load(tmp_path / "out")
    assert [answer.label for answer in first.predict(texts)] == [label for _, label in ROWS]
    wenmo.train(recipe=tmp_path / "out" / "recipe.toml", out=tmp_path / "again")
    again = wenmo.load(tmp_path / "again")
    assert (first.probabilities(texts) == again.probabilities(texts)).all()


def test_a_checkpoint_with_a_larger_vocabulary_than_table_is_refused(bert: Path, reviews: Path, tmp_path: Path) -> None:
    with (bert / "vocab.txt").open("a") as file:
        file.write("more\nand\nmore still\neven more\n")
    with pytest.raises(InputError, match="has 75 ids, but the model has vectors for 74"):
        wenmo.train(reviews, model=f"bert:{bert}", out=tmp_path / "out")


def test_norms_and_biases_do_not_decay() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2))
    settings = TrainingSettings(optimizer="adamw", learning_rate=0.5, weight_decay=0.1, decay="matrices")
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    build_optimizers(module, settings, lazy_rows=False)[0].step()
    for name, parameter in module.named_parameters():
        factor = 0.95 if name == "0.weight" else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)


def test_a_tenth_of_the_updates_warms_up() -> None:
    settings = TrainingSettings(schedule="linear", warmup_share=0.1)
    found = [rate_factor(step, 20, settings) for step in (1, 2, 3, 20)]
    assert found == [0.5, 1.0, 1.0, 1 - 17 / 18]
    with pytest.raises(ValueError, match="not both"):
        TrainingSettings(warmup_share=0.1, warmup_steps=5)


class StopsAt(Silent):
    """As Ctrl-C, but at a known step."""

    def stepped(self, step: int, loss: float) -> None:
        if step == 5:
            raise KeyboardInterrupt


def test_a_stopped_run_goes_on_bit_for_bit(bert: Path, reviews: Path, tmp_path: Path) -> None:
    settings = ["learning_rate=0.01", "max_epochs=2", "batch_size=5", "save_steps=2"]
    overrides = [f"training.{setting}" for setting in settings]
    wenmo.train(reviews, model=f"bert:{bert}", out=tmp_path / "whole", overrides=overrides)
    with pytest.raises(KeyboardInterrupt):
        wenmo.train(reviews, model=f"bert:{bert}", out=tmp_path / "stopped", overrides=overrides, observers=[StopsAt()])
    wenmo.train(reviews, model=f"bert:{bert}", out=tmp_path / "stopped", overrides=overrides, resume=True)
    whole, stopped = (load_folder(tmp_path / name).task.state_dict() for name in ("whole", "stopped"))
    assert all(whole[name].equal(stopped[name]) for name in whole)


def test_a_masked_language_model_starts_a_classifier_with_a_new_pooler(
    tmp_path: Path, reviews: Path, save_bert: Callable[..., Any]
) -> None:
    save_bert(tmp_path / "mlm", "BertForMaskedLM")
    overrides = ["training.learning_rate=0.0", "training.max_epochs=1"]
    for seed in (0, 1):
        wenmo.train(reviews, model=str(tmp_path / "mlm"), out=tmp_path / f"out{seed}", overrides=overrides, seed=seed)
    first, second = (load_folder(tmp_path / f"out{seed}").task.state_dict() for seed in (0, 1))
    different = {name for name in first if not first[name].equal(second[name])}
    assert different == {"extractor.pooler.dense.weight", "classifier.weight"}


def test_the_estimator_takes_a_checkpoint(bert: Path) -> None:
    from wenmo.sklearn import TextClassifier

    texts, labels = [f"{text} {i}" for i in "bcdef" for text, _ in ROWS], [label for _ in "bcdef" for _, label in ROWS]
    assert TextClassifier(f"bert:{bert}", max_epochs=1).fit(texts, labels).predict_proba(texts).shape == (20, 2)
