"""What a budget makes of a model's settings."""

from pathlib import Path

import pytest

from wenmo.experiments import budget
from wenmo.experiments.budget import _smaller, plan_network
from wenmo.models.recurrent import RecurrentConfig
from wenmo.models.registry import build_model, config_from_dict, preset, with_sizes
from wenmo.tasks.classification import ClassificationConfig
from wenmo.training.corpus import Corpus, read_corpus
from wenmo.training.recipe import Recipe
from wenmo.training.settings import DataSettings


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    path = tmp_path / "reviews.tsv"
    lines = [f"{('good', 'bad')[i % 2]}\tscene {i} was {('fine', 'poor')[i % 2]}" for i in range(40)]
    path.write_text("\n".join(["label\ttext", *lines]) + "\n", encoding="utf-8")
    return read_corpus(DataSettings(train=str(path)), ClassificationConfig())


def recipe_of(*overrides: str) -> Recipe:
    return Recipe.build(model="bilstm", overrides=["training.batch_size=10", *overrides])


def test_without_a_budget_the_trial_only_tells_how_long_it_takes(corpus: Corpus) -> None:
    plan = plan_network(recipe_of(), corpus, None)
    assert plan.recipe == recipe_of()
    assert plan.epochs == 20 and plan.seconds > 0


def test_a_budget_halves_layers_as_long_as_that_saves_time(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten seconds an epoch, half of them whatever the width: three epochs in 0.8 * 22 s want 5.9 s each.
    def seconds(recipe: Recipe, _: Corpus) -> float:
        assert isinstance(recipe.model, RecurrentConfig)
        return 5 + recipe.model.num_units / 30

    monkeypatch.setattr(budget, "_seconds_of_an_epoch", seconds)
    plan = plan_network(recipe_of(), corpus, 22)
    assert isinstance(plan.recipe.model, RecurrentConfig)
    # 150 units take 10 s and 75 take 7.5; 37 would take 6.2, which is more than four fifths of it.
    assert (plan.recipe.model.embedding_size, plan.recipe.model.num_units) == (150, 75)
    assert plan.epochs == pytest.approx(22 * 0.8 / 7.5, abs=0.06)
    assert plan.recipe.training.max_seconds == pytest.approx(22 * 0.8)


def test_layers_that_cost_what_they_are_wide_get_as_small_as_they_may(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "_seconds_of_an_epoch", lambda recipe, _: recipe.model.num_units)
    plan = plan_network(recipe_of(), corpus, 1)
    assert isinstance(plan.recipe.model, RecurrentConfig)
    # Narrower word vectors alone would save nothing here.
    assert (plan.recipe.model.embedding_size, plan.recipe.model.num_units) == (37, 18)
    assert plan.epochs == 1.0


def test_given_vectors_keep_their_width_and_what_rests_on_it(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_seconds_of_an_epoch", lambda recipe, _: recipe.model.num_units)
    # Two directions of 32 units are as wide as the vectors, which they add: with fewer units there is nothing to add.
    fields = ["model.embedding_size=64", "model.channels=static", "model.num_units=32", "model.residual=true"]
    plan = plan_network(recipe_of(*fields), corpus, 1)
    assert isinstance(plan.recipe.model, RecurrentConfig)
    assert (plan.recipe.model.embedding_size, plan.recipe.model.num_units) == (64, 32)


@pytest.mark.parametrize(
    ("fields", "sizes"),
    [
        ({}, [(64, 256), (32, 128), (16, 64), (16, 32), (16, 16)]),  # from (128, 512)
        ({"hidden_size": 100, "intermediate_size": 20}, [(48, 20), (24, 20)]),  # four heads of an even width
        ({"hidden_size": 36, "num_attention_heads": 18, "intermediate_size": 20}, []),
    ],
)
def test_a_transformer_becomes_narrower_and_keeps_its_heads(
    fields: dict[str, int], sizes: list[tuple[int, int]]
) -> None:
    config = config_from_dict({**preset("transformer").default_config().to_dict(), **fields})
    found = []
    while (smaller := _smaller(config)) is not None:
        config = smaller
        build_model(with_sizes(config, 10, 2))
        found.append((config.hidden_size, config.intermediate_size))  # type: ignore[attr-defined]
    assert found == sizes


def test_a_textcnn_becomes_narrower_unless_its_vectors_are_given() -> None:
    config = config_from_dict({"model_type": "textcnn", "embedding_size": 64, "num_filters": 40})
    smaller = _smaller(config)
    assert smaller is not None and smaller.to_dict()["embedding_size"] == 32 and smaller.to_dict()["num_filters"] == 20
    given = _smaller(config_from_dict({**config.to_dict(), "channels": "static"}))
    assert given is not None and given.to_dict()["embedding_size"] == 64 and given.to_dict()["num_filters"] == 20
    assert _smaller(config_from_dict({**config.to_dict(), "embedding_size": 20, "num_filters": 20})) is None
