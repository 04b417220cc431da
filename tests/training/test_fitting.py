"""Settings that cannot apply to a model are refused, and are not passed on to baselines."""

import pytest

from wenmo.errors import InputError
from wenmo.training.fitting import refuse_what_cannot_apply, without_what_cannot_apply
from wenmo.training.recipe import Recipe

OF_NETWORKS = ["task.loss=focal", "task.label_smoothing=0.1", "training.sampling=balanced"]


@pytest.mark.parametrize("override", OF_NETWORKS)
@pytest.mark.parametrize("model", ["tfidf", "nbsvm"])
def test_a_linear_model_refuses_what_only_a_network_has(model: str, override: str) -> None:
    recipe = Recipe.build(model=model, overrides=[override])
    with pytest.raises(InputError, match=f"{override}.*a linear model .*leave it out, or choose a network"):
        refuse_what_cannot_apply(recipe)
    refuse_what_cannot_apply(without_what_cannot_apply(recipe))
    network = Recipe.build(model="textcnn", overrides=[override])
    refuse_what_cannot_apply(network)
    assert without_what_cannot_apply(network) == network


def test_a_linear_model_keeps_its_class_weights_beside_networks() -> None:
    recipe = Recipe.build(model="tfidf", overrides=["task.class_weights=balanced", *OF_NETWORKS])
    kept = without_what_cannot_apply(recipe)
    assert kept == Recipe.build(model="tfidf", overrides=["task.class_weights=balanced"])


def test_a_linear_model_reads_whole_texts_or_their_head() -> None:
    refuse_what_cannot_apply(Recipe.build(model="tfidf", overrides=["data.long_texts=windows"]))
    cut = Recipe.build(model="tfidf", overrides=["data.long_texts=windows", "data.max_length=50"])
    with pytest.raises(InputError, match=r"data\.long_texts=windows.*set data\.max_length=0"):
        refuse_what_cannot_apply(cut)
    beside_networks = without_what_cannot_apply(cut)
    refuse_what_cannot_apply(beside_networks)
    assert beside_networks.data.max_length == 0  # the networks read all windows


def test_rare_labels_are_not_helped_twice() -> None:
    twice = ["task.class_weights=balanced", "training.sampling=balanced"]
    with pytest.raises(InputError, match="Set one of them"):
        refuse_what_cannot_apply(Recipe.build(model="bag", overrides=twice))
