"""What a budget makes of a recurrent model's settings."""

from pathlib import Path

import pytest

from wenmo.experiments.budget import plan_network
from wenmo.models.recurrent import RecurrentConfig
from wenmo.training.corpus import Corpus, read_corpus
from wenmo.training.recipe import DataSettings, Recipe


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    path = tmp_path / "reviews.tsv"
    lines = [f"{('good', 'bad')[i % 2]}\tscene {i} was {('fine', 'poor')[i % 2]}" for i in range(40)]
    path.write_text("\n".join(["label\ttext", *lines]) + "\n", encoding="utf-8")
    return read_corpus(DataSettings(train=str(path)))


def recipe_of(*overrides: str) -> Recipe:
    return Recipe.build(model="bilstm", overrides=["training.batch_size=10", *overrides])


def test_without_a_budget_the_trial_only_tells_how_long_it_takes(corpus: Corpus) -> None:
    plan = plan_network(recipe_of(), corpus, None)
    assert plan.recipe == recipe_of()
    assert plan.epochs == 20 and plan.seconds > 0


def test_a_budget_that_nothing_fits_makes_the_layers_as_small_as_they_get(corpus: Corpus) -> None:
    plan = plan_network(recipe_of(), corpus, 1e-4)
    assert isinstance(plan.recipe.model, RecurrentConfig)
    assert (plan.recipe.model.embedding_size, plan.recipe.model.num_units) == (18, 18)
    assert plan.epochs == 1.0 and plan.recipe.training.max_seconds == pytest.approx(0.8e-4)


def test_given_vectors_keep_their_width_and_what_rests_on_it(corpus: Corpus, tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("fine " + "1 " * 64 + "\n", encoding="utf-8")
    # Two directions of 32 units are as wide as the vectors, which they add: with fewer units there is nothing to add.
    residual = ["model.embedding_size=64", "model.channels=static", "model.num_units=32", "model.residual=true"]
    plan = plan_network(recipe_of(*residual, f"data.vectors={vectors}"), corpus, 1e-4)
    assert isinstance(plan.recipe.model, RecurrentConfig)
    assert (plan.recipe.model.embedding_size, plan.recipe.model.num_units) == (64, 32)
