"""Recipes: built from presets, files, values and overrides; refused with the field and the fix."""

import tomllib
from pathlib import Path

import pytest
import tomli_w

from wenmo.errors import InputError
from wenmo.training.recipe import Recipe


def test_later_settings_win_over_earlier_ones(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('[model]\nname = "textcnn"\nnum_filters = 7\nembedding_size = 9\n[training]\nseed = 3\n')
    recipe = Recipe.build(file=file, values={"training": {"seed": 4}}, overrides=["model.num_filters=8"])
    assert (recipe.model.num_filters, recipe.model.embedding_size, recipe.training.seed) == (8, 9, 4)  # type: ignore[attr-defined]


def test_a_recipe_makes_the_round_trip_through_toml() -> None:
    for name in ("textcnn", "bag", "transformer", "tfidf", "nbsvm"):
        recipe = Recipe.build(model=name, overrides=["training.batch_tokens=4096", "data.tokenizer=rjieba"])
        again = Recipe.from_dict(tomllib.loads(tomli_w.dumps(recipe.to_dict())))
        assert again == recipe and type(again.model) is type(recipe.model)
        assert again.training.batch_size is None and again.training.batch_tokens == 4096


def test_the_tokenizer_may_be_named_by_its_segmenter_alone() -> None:
    recipe = Recipe.build(model="tfidf", overrides=["data.tokenizer=characters", "data.tokenizer.min_frequency=5"])
    assert recipe.data.tokenizer.segmenter == "characters"
    assert recipe.data.tokenizer.min_frequency == 5
    assert recipe.data.tokenizer.word_ngrams == (1, 2), "the preset's own settings were lost"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.learningrate=1"], "training.learningrate: .* did you mean 'learning_rate'"),
        (["trainin.seed=1"], "trainin: .* did you mean 'training'"),
        (["model.num_filter=3"], "did you mean 'num_filters'"),
        (["training.optimizer=lion"], "training.optimizer"),
        (["training.batch_size=3", "training.max_epochs=x"], "training.max_epochs"),
        (["data.tokenizer.lower=true"], "no field 'lower'"),
        (["data.tokenizer.min_frequency=often"], "data.tokenizer.min_frequency: .* integer"),
        (["model.pooling=median"], "pooling"),
        (["task.dropout_prob=2"], "dropout_prob"),
        (["training.accumulation_steps=0"], "training.accumulation_steps: .* greater than or equal to 1"),
        (["training.max_epochs=-1"], "training.max_epochs: .* greater than 0"),
        (["data.dev_share=1"], "data.dev_share: .* less than 1"),
        (["data.max_length=-5"], "data.max_length"),
        (["nonsense"], "write path.to.field=value"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.build(model="textcnn", overrides=overrides)


def test_an_unknown_model_and_no_model_are_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="the models are textcnn"):
        Recipe.build(model="textcn")
    with pytest.raises(InputError, match="--model textcnn"):
        Recipe.build()


def test_a_file_about_one_model_does_not_hold_for_another(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('[model]\nmodel_type = "textcnn"\nnum_filters = 7\n[training]\nseed = 3\n')
    recipe = Recipe.build(model="bag", file=file)
    assert recipe.model.model_type == "bag" and recipe.training.seed == 3


def test_the_saved_recipe_of_one_preset_says_nothing_about_another_of_its_class(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    overrides = ["model.regularization=4.0", "data.tokenizer.min_frequency=7", "data.dev_share=0.3"]
    saved = Recipe.build(model="nbsvm", overrides=overrides)
    file.write_text(tomli_w.dumps(saved.to_dict()))
    again, other = Recipe.build(model="nbsvm", file=file), Recipe.build(model="tfidf", file=file)
    assert again == saved
    assert other.model == Recipe.build(model="tfidf").model and other.data.tokenizer.min_frequency == 2
    assert other.data.dev_share == 0.3


def test_a_recipe_that_only_changes_its_presets_own_values_is_still_about_it(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('[model]\nname = "tfidf"\nuse_idf = false\n')
    assert Recipe.build(model="tfidf", file=file).model.use_idf is False  # type: ignore[attr-defined]


def test_a_file_may_name_its_model_beside_the_call(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('[model]\nname = "textcnn"\nnum_filters = 7\n[training]\nseed = 3\n')
    same, other = Recipe.build(model="textcnn", file=file), Recipe.build(model="bag", file=file)
    assert same.model.num_filters == 7 and same.training.seed == 3  # type: ignore[attr-defined]
    assert other.model.model_type == "bag" and other.training.seed == 3


def test_a_file_wins_over_what_is_below_it(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("[data]\ntest_share = 0.3\n")
    below = {"data": {"test_share": 0.1, "dev_share": 0.2}}
    recipe = Recipe.build(model="textcnn", below=below, file=file)
    assert (recipe.data.test_share, recipe.data.dev_share) == (0.3, 0.2)


def test_a_model_that_cannot_learn_a_task_is_refused_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("some words\n", encoding="utf-8")
    values = {"data": {"train": str(tmp_path / "book.txt")}}
    with pytest.raises(InputError, match="a linear model cannot generate; it can classify"):
        Recipe.build(model="tfidf", values=values)
    assert Recipe.build(model="gru", values=values).task.task == "generate"
